"""What came of a session: its output, and where each token came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mods.runtime.decisions import Fail, Finish, PassedEnd, Usage


@dataclass(frozen=True)
class Piece:
    """What a stream shows next: tokens, and the text that is safe with them."""

    tokens: list[int]
    text: str


@dataclass
class Generation:
    """One finished session.

    text: what was shown, all of it where the session finished. finish_reason: `stop`, `length`,
    `tool_calls`, `error` or `aborted`. stop_reason: the stop string or stop token id, None for
    end of sequence. logprobs: by token, of the model's own row; None for a token that entered by
    prefill. failure: why it failed, else None. replaced: a mod replaced all output. record: what
    the mods did and said.
    """

    request_id: str
    prompt: list[int]
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    finish_reason: str = "aborted"
    stop_reason: int | str | None = None
    usage: Usage = field(default_factory=Usage)
    logprobs: list[float | None] = field(default_factory=list)
    tool_calls: list[dict[str, Any]] | None = None
    passed_ends: list[PassedEnd] = field(default_factory=list)
    replaced: bool = False
    failure: Fail | None = None
    record: dict[str, Any] = field(default_factory=dict)

    def finish(self, finish: Finish) -> None:
        """Take over what a finished session says of itself."""
        self.finish_reason, self.stop_reason = finish.reason, finish.stop_reason
        self.tool_calls, self.replaced = finish.tool_calls, finish.replaced
        self.usage, self.passed_ends = finish.usage, list(finish.passed_ends)

    def fail(self, fail: Fail) -> None:
        """Take over how a session failed."""
        self.finish_reason, self.failure = "error", fail
        self.usage = fail.usage or self.usage
