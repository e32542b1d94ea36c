"""What a session's machine says, and what it is told: small structs that travel as msgpack.

A *decision* is for the engine: one row, one step. A *next* is for the session: what to do once
a segment has ended. Token ids are indices into the vocabulary; positions count output tokens.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mods.sdk.confidence import Confidence
from mods.sdk.constraints import Constraint


class Leave(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """Sample this row as if there were no mod."""


class Shape(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Edit this row's logits, then sample. `row` means: take the whole row from shared memory."""

    bias: dict[int, float] = {}
    ban: list[int] = []
    allow: list[int] | None = None
    temperature: float | None = None
    row: bool = False


class Force(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Make this token the row's sample."""

    token: int


class EndSegment(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """End this vLLM request: the session goes on, or ends, outside the engine."""


Decision = Leave | Shape | Force | EndSegment

LEAVE = Leave()
END_SEGMENT = EndSegment()


class Sureness(msgspec.Struct, frozen=True, array_like=True):
    """Of one row of logits: its entropy in nats, its likeliest tokens and their log-probabilities,
    likeliest first."""

    entropy: float
    tokens: list[int]
    logprobs: list[float]


def confidence_of(sureness: Sureness) -> Confidence:
    """What a mod is told of it."""
    return Confidence(sureness.entropy, tuple(sureness.tokens), tuple(sureness.logprobs))


def sureness_of(confidence: Confidence) -> Sureness:
    """What the machine is told, where the confidence was found without a worker."""
    return Sureness(confidence.entropy, list(confidence.tokens), list(confidence.logprobs))


class PassedEnd(msgspec.Struct, frozen=True, array_like=True):
    """An end that a mod went past: it stays in the context and out of the text.

    index: the output token that completed it. stop: the stop string, or None for a token id.
    """

    index: int
    stop: str | None = None


class Usage(msgspec.Struct, array_like=True):
    """Tokens by origin. sampled + forced survive in the output; erased were taken back."""

    sampled: int = 0
    forced: int = 0
    erased: int = 0


class Held(msgspec.Struct, frozen=True, array_like=True):
    """A constraint that holds from output token number `start` until it is complete.

    start: -1 where it holds from the end of the reasoning, which has not come yet. whole: it is
    the request's own, which goes on to hold when it is complete: then only an end may come.
    """

    constraint: Constraint
    start: int
    whole: bool = False


class Resume(msgspec.Struct, tag="resume", tag_field="next"):
    """Start the next segment: the engine's first `keep` output tokens, then `tokens`.

    segment: the number that its feeds must carry. late: the last one ended although the machine
    had decided otherwise, because its decision did not come in time. erased: tokens taken back so
    far, which tells draws at the same position apart. floor: how many output tokens no mod may
    take back any more. prompt and max_tokens: set when a mod replaced them. held: the constraints
    in force. quiet: nobody needs to be asked before one of them is complete, or the segment ends;
    reach: how many of the newest tokens may meanwhile be taken back, None for all.
    barred: tokens that led to a dead end from here, and may not be the next one.
    """

    segment: int
    keep: int
    tokens: list[int]
    floor: int
    prompt: list[int] | None = None
    max_tokens: int | None = None
    passed_ends: list[PassedEnd] = []
    late: bool = False
    erased: int = 0
    held: list[Held] = []
    quiet: bool = False
    reach: int | None = 0
    barred: list[int] = []


class Finish(msgspec.Struct, tag="finish", tag_field="next"):
    """The request is over: the engine's first `keep` output tokens, then `tokens`, are its output.

    reason: `stop`, `length` or `tool_calls`. stop_reason: the stop string or the stop token
    id, None for end of sequence. text_replaced: a mod replaced all output.
    """

    keep: int
    tokens: list[int]
    reason: str
    usage: Usage
    stop_reason: int | str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    passed_ends: list[PassedEnd] = []
    replaced: bool = False


class Fail(msgspec.Struct, tag="fail", tag_field="next"):
    """The request failed: an HTTP status, an error type and a message for the client."""

    status: int
    type: str
    message: str
    usage: Usage | None = None


Next = Resume | Finish | Fail


class SessionSpec(msgspec.Struct):
    """Everything a machine must know about one request.

    session: our own id, never reused. max_context: prompt and output together, in tokens.
    eos: end-of-sequence ids that end unless `ignore_eos`. sentinel: the id that ends a
    segment; it is never drawn. vocabulary: the width of a row of logits.
    conversation, tools, response_format: the request as the client sent it, for the SDK.
    constraint: what the whole output must be. reasoning_end: the token after which it holds, None
    if it holds from the first. jump: whether what it leaves no choice about enters unsampled.
    tracked: whether the machine follows it token by token, or only when something is amiss.
    prefill_run: from this many waiting tokens on, a run enters as one prefill (by a new segment),
    not by steps. tells_events: whether the record is to have every event, for whoever looks at it.
    """

    session: int
    request_id: str
    prompt: list[int]
    max_tokens: int
    max_context: int
    vocabulary: int
    sentinel: int
    eos: list[int] = []
    ignore_eos: bool = False
    stop_token_ids: list[int] = []
    stop: list[str] = []
    skip_special_tokens: bool = True
    min_tokens: int = 0
    conversation: list[dict[str, Any]] = []
    tools: list[dict[str, Any]] = []
    response_format: dict[str, Any] | None = None
    constraint: Constraint | None = None
    reasoning_end: int | None = None
    jump: bool = False
    tracked: bool = True
    prefill_run: int = 8
    tells_events: bool = False
