"""What one session's mods did and said: the part of the trace that only the machine can know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MAX_ENTRIES = 10_000
"""Entries kept of each kind; past that they are counted, not kept."""


@dataclass
class Record:
    """Bounded lists of plain dicts, in the order things happened."""

    actions: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    calls: int = 0
    dropped: int = 0

    def action(self, **entry: Any) -> None:
        self._keep(self.actions, entry)

    def failure(self, **entry: Any) -> None:
        self._keep(self.failures, entry)

    def log(self, mod: str, text: str) -> None:
        self._keep(self.logs, {"mod": mod, "text": text[:4096]})

    def as_dict(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "actions": self.actions,
            "failures": self.failures,
            "logs": self.logs,
            "dropped": self.dropped,
        }

    def _keep(self, entries: list[dict[str, Any]], entry: dict[str, Any]) -> None:
        if len(entries) < MAX_ENTRIES:
            entries.append(entry)
        else:
            self.dropped += 1


class Speaker:
    """Whose `print` is heard now: one handler runs at a time in a host."""

    record: Record | None = None
    mod: str = ""


speaker = Speaker()
