"""What holds here: found out by trying, and told by `/health`."""

from __future__ import annotations

from typing import Any

import msgspec


class Sandbox(msgspec.Struct, frozen=True):
    """What a confined process could not do when it tried.

    holds: layers whose every trial failed as it should. broken: by layer, what could be done
    that should not be, or why it was not tried. kernel: what is not the same everywhere.
    trusted: nothing was tried, because mods are not confined.
    """

    holds: list[str] = []
    broken: dict[str, str] = {}
    kernel: dict[str, str] = {}
    trusted: bool = False

    @property
    def closed(self) -> bool:
        """Whether strangers' code may run."""
        return bool(self.holds) and not self.broken

    def as_dict(self) -> dict[str, Any]:
        if self.trusted:
            return {"on": False, "why": "mods are trusted"}
        return {"on": self.closed, "holds": self.holds, "broken": self.broken, **self.kernel}

    def __str__(self) -> str:
        return "; ".join(f"{layer}: {what}" for layer, what in self.broken.items()) or "it holds"
