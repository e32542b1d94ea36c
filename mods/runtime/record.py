"""What one session's mods did and said: the part of the trace that only the machine can know."""

from __future__ import annotations

from array import array
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from mods.runtime.tape import Tape

MAX_ENTRIES = 10_000
"""Entries kept of each kind; past that they are counted, not kept."""


@dataclass
class Record:
    """Bounded lists of plain dicts, in the order things happened."""

    actions: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] | None = None
    """What the mods were told, where somebody asked for it."""
    calls: int = 0
    seconds: float = 0.0
    """Time in handlers' own code."""
    dropped: int = 0
    tape: Tape = field(default_factory=Tape)

    def action(self, *, call: int = -1, **entry: Any) -> None:
        """call: the number of the call that it came of, -1 if of none."""
        self._keep(self.actions, entry, self.tape.action_calls, call)

    def failure(self, *, call: int = -1, **entry: Any) -> None:
        self._keep(self.failures, entry, self.tape.failure_calls, call)

    def event(self, entry: dict[str, Any]) -> None:
        assert self.events is not None, "nobody asked for events"
        if len(self.events) < MAX_ENTRIES:
            self.events.append(entry)
        else:
            self.dropped += 1

    def log(self, mod: str, text: str) -> None:
        self._keep(
            self.logs, {"mod": mod, "text": text[:4096]}, self.tape.log_calls, self.calls - 1
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "seconds": self.seconds,
            "actions": self.actions,
            "failures": self.failures,
            "logs": self.logs,
            "dropped": self.dropped,
            **({} if self.events is None else {"events": self.events}),
        }

    def _keep(
        self, entries: list[dict[str, Any]], entry: dict[str, Any], calls: array[int], call: int
    ) -> None:
        if len(entries) < MAX_ENTRIES:
            entries.append(entry)
            calls.append(call)
        else:
            self.dropped += 1


Voice = tuple[Record, str]
"""Where a mod's prints are kept, and the mod's name."""


class Speaker:
    """Whose `print` is heard now, None while no handler runs.

    By context: a handler that waits, and a task that it began, keep their own voice.
    """

    def __init__(self) -> None:
        self.voice: ContextVar[Voice | None] = ContextVar("voice", default=None)


speaker = Speaker()
