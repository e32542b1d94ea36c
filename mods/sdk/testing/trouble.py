"""What an engine may do wrong, and is entitled to: mods must not notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trouble:
    """Misbehaviour by the number of the engine's step, over all of a session's segments.

    repeat: the feed comes again, as after a preemption. stale: a feed of an older segment comes
    too. late: the verdict did not arrive in time, so the segment ends although the machine said
    otherwise. lost: the segment ends with no new token at all. again: the tail comes twice.
    abort: the step before which the client goes away.
    """

    repeat: frozenset[int] = frozenset()
    stale: frozenset[int] = frozenset()
    late: frozenset[int] = frozenset()
    lost: frozenset[int] = frozenset()
    again: frozenset[int] = frozenset()
    abort: int | None = None

    def in_words(self) -> str:
        """What it does at which steps, "" if nothing."""
        kinds = ("repeat", "stale", "late", "lost", "again")
        return "; ".join(
            f"{kind} at steps {', '.join(map(str, sorted(steps)))}"
            for kind in kinds
            if (steps := getattr(self, kind))
        )


NO_TROUBLE = Trouble()
