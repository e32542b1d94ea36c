"""The trace of one request as it is told: what `POST /v1/ingest` takes and `GET /logs/{id}` gives.

Five parts: `request`, `events`, `mod_calls`, `mod_logs` and `actions`. They are linked by
position: a call names the index of its event, a log line and an action that of their call.

    request
    events[7]      Sampled, step 3
    mod_calls[4]     event_sequence_order: 7
    mod_logs[0]        mod_call_sequence: 4
    actions[1]         mod_call_sequence: 4

This shape is for reading and for the wire. What is spooled and stored is a `Trace`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

VERSION = 1
"""Raised when a record can no longer be read by what came before it."""

MAX_COUNT = 2**31 - 1
MAX_CANDIDATES = 2**15 - 1
"""Likeliest tokens of one draw."""
MAX_NOTED = 100_000
"""Log lines, and actions, of one record."""

Id = Annotated[str, Meta(min_length=1, max_length=200)]
Name = Annotated[str, Meta(max_length=256)]
Tag = Annotated[str, Meta(min_length=1, max_length=100)]
Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Token = Count
Time = Annotated[datetime, Meta(tz=True)]
EventType = Literal["Prefilled", "ForwardPass", "Sampled", "Added", "Finished"]
Level = Literal["tokens", "full"]


def now() -> datetime:
    return datetime.now(UTC)


class ModUse(Struct, omit_defaults=True):
    """A mod of the request's chain, in order. digest: sha256 over its name, entry and files."""

    name: Name
    digest: Name = ""


class Usage(Struct, omit_defaults=True):
    """Tokens. sampled + forced survive in the output; erased were drawn or put in and left it."""

    prompt: Count = 0
    cached: Count = 0
    sampled: Count = 0
    forced: Count = 0
    erased: Count = 0


class Error(Struct, omit_defaults=True):
    """Why the request failed. status: the HTTP status."""

    message: str
    type: Name = ""
    status: Count = 0


class Request(Struct, omit_defaults=True, kw_only=True):
    """What was asked, by whom, and what came of it. One choice of one call.

    request_id: unique; a record with one that is stored already is not stored again.
    group_id: what the choices of one call share; `choice` is the index in it.
    user_prompt_token_ids: the prompt as it was computed, after `adjust_prefill` if there was one.
    parent_id, parent_step: the trace that this one replays, and the round from which it differs.
    """

    request_id: Id
    created_at: Time = field(default_factory=now)
    first_token_at: Time | None = None
    completed_at: Time | None = None
    group_id: Name = ""
    choice: Count = 0
    parent_id: Name = ""
    parent_step: Count | None = None
    model: Name = ""
    endpoint: Name = ""
    caller: Name = ""
    stream: bool = False
    level: Level = "tokens"
    messages: list[dict[str, Any]] = []
    tools: list[dict[str, Any]] = []
    response_format: dict[str, Any] | None = None
    user_prompt: str = ""
    user_prompt_token_ids: list[Token] = []
    max_tokens: Count | None = None
    temperature: float | None = None
    sampling: dict[str, Any] = {}
    mods: list[ModUse] = []
    final_text: str = ""
    final_token_ids: list[Token] = []
    finish_reason: Name = ""
    stop_reason: int | str | None = None
    tool_calls: list[dict[str, Any]] = []
    usage: Usage = field(default_factory=Usage)
    error: Error | None = None
    tags: list[Tag] = []

    @property
    def status(self) -> str:
        """`done`, `failed` or `aborted`."""
        if self.error is not None:
            return "failed"
        return "aborted" if self.finish_reason == "abort" else "done"

    @property
    def latency(self) -> float | None:
        """Seconds from the request to its end."""
        if self.completed_at is None:
            return None
        return (self.completed_at - self.created_at).total_seconds()

    @property
    def time_to_first_token(self) -> float | None:
        """Seconds from the request to its first token."""
        if self.first_token_at is None:
            return None
        return (self.first_token_at - self.created_at).total_seconds()


class Candidate(Struct, gc=False):
    """A token that could have been drawn, and the probability that it had."""

    token: Token
    probability: float


class Event(Struct, omit_defaults=True, gc=False):
    """Something that mods were told, or would have been.

    position: output tokens at that time. removed_tokens: those that left the output by what was
    answered to this event, oldest first; at `Sampled` the drawn one may be the last of them.
    output_tokens: those that were put in place of all output, and by whom.
    top_tokens, entropy (nats): of the draw of this round, in traces of level `full`.
    """

    event_type: EventType
    step: Count
    sequence_order: Count | None = None
    position: Count | None = None
    created_at: Time | None = None
    prompt_length: Count | None = None
    max_steps: Count | None = None
    top_tokens: Annotated[list[Candidate], Meta(max_length=MAX_CANDIDATES)] = []
    entropy: float | None = None
    sampled_token: Token | None = None
    probability: float | None = None
    added_tokens: list[Token] = []
    forced: bool = False
    mod_name: Name = ""
    removed_tokens: list[Token] = []
    output_tokens: list[Token] = []
    output_mod_name: Name = ""
    finish_reason: Name = ""


class ModCall(Struct, omit_defaults=True, gc=False):
    """One handler, called with one event. Milliseconds are kept to the microsecond."""

    event_sequence_order: Count
    mod_name: Annotated[Name, Meta(min_length=1)]
    execution_time_ms: Annotated[float, Meta(ge=0, le=2e6)] | None = None
    exception_occurred: bool = False
    exception_type: Name = ""
    exception_message: str = ""
    exception_traceback: str = ""


class ModLog(Struct, omit_defaults=True):
    """A line that a mod printed or logged."""

    log_message: str
    mod_name: Name = ""
    mod_call_sequence: Count | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class Action(Struct, omit_defaults=True):
    """What a mod answered, other than noop, or what came of it.

    tokens: what it put in. before: what they took the place of. overridden: another mod's action
    won. An action without a call came of another one: `cut` are tokens behind an end.
    """

    action_type: Name
    mod_call_sequence: Count | None = None
    mod_name: Name = ""
    event_type: EventType | None = None
    step: Count | None = None
    position: Count | None = None
    tokens: list[Token] = []
    before: list[Token] = []
    backtrack_steps: Count | None = None
    overridden: bool = False
    details: dict[str, Any] = {}


class Record(Struct, omit_defaults=True, kw_only=True):
    """A whole trace. `reading.read_record` makes one of what came from outside."""

    request: Request
    version: Count = field(default_factory=lambda: VERSION)
    events: list[Event] = []
    mod_calls: list[ModCall] = []
    mod_logs: Annotated[list[ModLog], Meta(max_length=MAX_NOTED)] = []
    actions: Annotated[list[Action], Meta(max_length=MAX_NOTED)] = []

    def to_json(self) -> bytes:
        """The body that `POST /v1/ingest` takes."""
        return msgspec.json.encode(self)
