"""A session without mods, for the sake of its constraint: its machine runs in this process.

It takes the place of a mods' host. Nothing of a stranger's runs here, so nothing has to be kept
apart; and the worker asks nobody, because nobody would answer anything but "go on".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mods.runtime.compile import Traits
from mods.runtime.decisions import EndSegment, Fail, Next, SessionSpec
from mods.runtime.machine import Machine
from mods.runtime.spans import Matchers
from mods.sdk.errors import ModError


class LocalHost:
    """Speaks as `mods.runtime.host.client.Host` does, of sessions without mods."""

    address = ""
    traits: Sequence[Traits] = ()

    def __init__(self, tokenizer: Any, matchers: Matchers) -> None:
        self._tokenizer, self._matchers = tokenizer, matchers
        self._machines: dict[int, Machine] = {}

    async def open(self, spec: SessionSpec) -> Next:
        """The session's first `Resume`."""
        try:
            machine = Machine(spec, (), self._tokenizer, matchers=self._matchers)
        except ModError as error:
            return Fail(error.status, error.type, str(error))
        self._machines[spec.session] = machine
        return machine.open()

    def follow(
        self, session: int, segment: int, position: int, token: int, earlier: Sequence[int]
    ) -> bool:
        """Take in what the engine drew. Returns whether the segment must end now."""
        decision = self._machines[session].decide(segment, position, token, earlier=earlier)
        return isinstance(decision, EndSegment)

    async def tail(
        self, session: int, segment: int, position: int, token: int, earlier: Sequence[int] = ()
    ) -> Next:
        return self._machines[session].tail(segment, position, token, earlier)

    async def close(
        self, session: int, reason: str, tells: bool = False, traces: bool = False
    ) -> dict[str, Any]:
        machine = self._machines.pop(session, None)
        if machine is None:
            return {}
        record = machine.close(reason)
        return {**record, "tape": machine.tape()} if traces else record

    def floor(self, session: int) -> int:
        machine = self._machines.get(session)
        return machine.floor if machine is not None else 0
