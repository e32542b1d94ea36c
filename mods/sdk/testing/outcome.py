"""What came of a session, whoever drove it: the engine, the oracle or a scripted fake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mods.runtime.decisions import Decision, Fail, Finish, PassedEnd, Usage
from mods.sdk.events import Token


@dataclass
class Outcome:
    """The end of one session.

    reason: as `Finished` says it. status, type, message: of a failure. prompt: the one that was
    computed. shown: what a stream had shown, each time it showed more. decisions: by output
    position, for each draw; None where they cannot be known. record: the machine's own account.
    written: the output as the machine has it, each token with the mod that it is from.
    segments: how many there were. asked: how many draws were asked for.
    drawn: how many tokens were drawn. constrained: whether
    anything was held to a constraint.
    """

    tokens: list[int]
    reason: str
    status: int = 200
    type: str | None = None
    message: str = ""
    prompt: list[int] = field(default_factory=list)
    stop_reason: int | str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    passed_ends: list[PassedEnd] = field(default_factory=list)
    replaced: bool = False
    usage: Usage | None = None
    shown: list[Sequence[int]] = field(default_factory=list)
    decisions: list[tuple[int, Decision]] | None = None
    record: dict[str, Any] = field(default_factory=dict)
    written: list[Token] = field(default_factory=list)
    segments: int = 0
    asked: int = 0
    drawn: int = 0
    constrained: bool = False

    @property
    def failed(self) -> bool:
        return self.status != 200

    def finish(self, finish: Finish, tokens: list[int]) -> None:
        """Take over what a finished session says of itself."""
        self.tokens, self.reason, self.stop_reason = tokens, finish.reason, finish.stop_reason
        self.tool_calls, self.replaced = finish.tool_calls, finish.replaced
        self.passed_ends, self.usage = list(finish.passed_ends), finish.usage

    def fail(self, fail: Fail) -> None:
        """Take over how a session failed."""
        self.reason, self.usage = "error", fail.usage
        self.status, self.type, self.message = fail.status, fail.type, fail.message
