"""Who decides for a session: its machine, in this process or behind a mods' host.

The loop is plain synchronous code that waits for each answer, so a driver that speaks to another
process is one that blocks. In this process no deadline holds: it is for mods that are trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from mods.runtime.decisions import Decision, Next, SessionSpec
from mods.runtime.machine import Machine
from mods.runtime.seat import LoadedMod
from mods.sdk.events import FloatRow


class Driver(Protocol):
    """One session, as `Machine` has it. `row` belongs to the newest decision, where it has one."""

    row: FloatRow | None

    @property
    def floor(self) -> int: ...
    def open(self) -> Next: ...
    def decide(
        self, segment: int, position: int, token: int, logits: FloatRow | None = None
    ) -> Decision: ...
    def tail(self, segment: int, position: int, token: int) -> Next: ...
    def close(self, reason: str) -> dict[str, Any]: ...


class Chain(Protocol):
    """The mods of a request. reads_logits: whether any of them wants the rows."""

    @property
    def reads_logits(self) -> bool: ...
    def start(self, spec: SessionSpec) -> Driver: ...


class InProcess:
    """Mods that run here, each session with a machine of its own."""

    def __init__(self, mods: Sequence[LoadedMod], tokenizer: Any) -> None:
        self._mods, self._tokenizer = mods, tokenizer
        self.reads_logits = any(mod.traits.logits for mod in mods)

    def start(self, spec: SessionSpec) -> Driver:
        return Machine(spec, self._mods, self._tokenizer)
