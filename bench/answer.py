"""One request and what came of it, as the client saw it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Ask:
    """A greedy completion of exactly `tokens` tokens.

    prompt: token ids, or messages for the chat route. watched: tell how many tokens each event of
    the stream carries and takes back. fields: more fields of the body.
    """

    prompt: Sequence[int] | Sequence[dict[str, str]]
    tokens: int
    mod: str | None = None
    watched: bool = False
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def is_chat(self) -> bool:
        return isinstance(self.prompt[0], dict)

    def body(self, model: str) -> dict[str, Any]:
        """What is posted."""
        body: dict[str, Any] = {
            "model": f"{model}/{self.mod}" if self.mod else model,
            "messages" if self.is_chat else "prompt": list(self.prompt),
            "max_tokens": self.tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.watched:
            body["return_token_ids"] = True
            if self.mod:
                body["stream_removed"] = True
        return {**body, **self.fields}


@dataclass(frozen=True)
class Event:
    """One event of a stream that brought tokens: when, in seconds since the request was sent.

    removed: tokens that it took back before. ids: those it brought, empty unless watched.
    """

    time: float
    ids: list[int] = field(default_factory=list)
    removed: int = 0


@dataclass(frozen=True)
class Answer:
    """A whole stream. `usage` is the server's own count. `end`: when the stream was over."""

    ask: Ask
    events: list[Event]
    usage: dict[str, Any]
    end: float
    text: str = ""

    @property
    def tokens(self) -> int:
        return int(self.usage["completion_tokens"])

    @property
    def first(self) -> float:
        """Time to the first token, in seconds."""
        return self.events[0].time

    @property
    def tpot(self) -> float:
        """Seconds for each token after the first, by the server's count of them."""
        return (self.events[-1].time - self.first) / (self.tokens - 1)

    @property
    def ids(self) -> list[int]:
        """The tokens that stayed. Only of a watched request."""
        kept: list[int] = []
        for event in self.events:
            del kept[len(kept) - event.removed :]
            kept += event.ids
        return kept

    @property
    def gaps(self) -> list[tuple[float, Event]]:
        """Each event but the first, with the seconds since the one before."""
        pairs = zip(self.events, self.events[1:], strict=False)
        return [(later.time - earlier.time, later) for earlier, later in pairs]


@dataclass(frozen=True)
class Block:
    """What one run of requests took, or several runs together.

    wall and cores: seconds, the latter of the server's processor time. segments: vLLM requests of
    sessions with mods. late: segments that ended because mods missed the soft deadline.
    """

    answers: list[Answer]
    wall: float
    cores: float
    segments: int = 0
    late: int = 0

    def __add__(self, other: Block) -> Block:
        return Block(
            self.answers + other.answers,
            self.wall + other.wall,
            self.cores + other.cores,
            self.segments + other.segments,
            self.late + other.late,
        )

    @property
    def tokens(self) -> int:
        """In the answers, by the server's count."""
        return sum(answer.tokens for answer in self.answers)


def speed(block: Block) -> float:
    """Output tokens a second."""
    return block.tokens / block.wall


def cost(block: Block) -> float:
    """Core-microseconds per output token, of the server's whole process tree."""
    return 1e6 * block.cores / block.tokens


def tpot(block: Block) -> float:
    """Milliseconds per output token after the first, the mean over requests."""
    return 1e3 * statistics.fmean(answer.tpot for answer in block.answers)


def tpot_without_mods(block: Block) -> float:
    """The same over the requests that named no mod."""
    plain = [answer for answer in block.answers if answer.ask.mod is None]
    return 1e3 * statistics.fmean(answer.tpot for answer in plain)
