"""Whether a constraint may be used, found out before the request that needs it is let in.

It is compiled and tried out in a process that may die of it, but for plain ones, which are
compiled here. What came out is remembered, acceptances and refusals alike. Requests with the same
constraint at the same time wait for one trial.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from mods.runtime.grammar.compile import compile_constraint
from mods.runtime.grammar.grammar import Grammar
from mods.runtime.grammar.limits import check_size
from mods.runtime.grammar.plain import is_plain
from mods.runtime.grammar.trial import Trial
from mods.runtime.grammar.violations import Verdict
from mods.sdk.constraints import Constraint, digest
from mods.sdk.errors import ConstraintError
from server.constraints.protocol import Judge, Judged, Refused, Tried, TryOut
from server.constraints.triers import Triers

KEPT = 4096
"""Outcomes remembered; past that the one that was not asked for longest goes."""

KEPT_BYTES = 64 * 2**20
"""Of their grammars together."""

REFUSAL_SECONDS = 60.0
"""For which a refusal is remembered: with less load it might have been in time."""


@dataclass(frozen=True)
class Outcome:
    """What a trial came to. until: when it is forgotten, in seconds of the monotonic clock."""

    answer: Tried | Refused
    until: float
    size: int


class Admission:
    """One model's. Start it before it is asked, stop it in the end."""

    def __init__(self, triers: Triers) -> None:
        self._triers = triers
        self._kept: OrderedDict[str, Outcome] = OrderedDict()
        self._bytes = 0
        self._trying: dict[str, asyncio.Task[Tried | Refused]] = {}

    async def start(self) -> None:
        """Raises RuntimeError if nothing can be tried out."""
        await self._triers.start()

    async def stop(self) -> None:
        for task in list(self._trying.values()):
            task.cancel()
        await self._triers.stop()

    async def admit(self, constraint: Constraint, caller: str = "") -> Grammar:
        """The grammar to use. Raises `ConstraintError`, `BusyError`."""
        return (await self._trial(constraint, caller, at_once=is_plain)).grammar

    async def trial(self, constraint: Constraint, caller: str = "") -> Trial:
        """The same, with what it costs."""
        return await self._trial(constraint, caller, at_once=lambda _: False)

    async def _trial(
        self, constraint: Constraint, caller: str, at_once: Callable[[Constraint], bool]
    ) -> Trial:
        """What is remembered, or found out. at_once: whether compiling it here will do."""
        check_size(constraint)
        key = digest(constraint)
        answer = self._remembered(key)
        if answer is None and at_once(constraint):
            answer = self._compiled(key, constraint)
        answer = answer or await self._tried(key, constraint, caller)
        if isinstance(answer, Refused):
            raise ConstraintError(answer.reason, part=answer.part, position=answer.position)
        return answer.trial

    def _compiled(self, key: str, constraint: Constraint) -> Tried:
        """Compiled in this process. Raises `ConstraintError`."""
        began = time.perf_counter()
        grammar = compile_constraint(constraint, self._triers.options)
        compile_ms = round(1000 * (time.perf_counter() - began), 3)
        answer = Tried(Trial(grammar, compile_ms, 0.0, 0), 0)
        self._remember(key, answer)
        return answer

    async def judge(
        self, constraint: Constraint, text: str, *, finished: bool = True, caller: str = ""
    ) -> Verdict | None:
        """Whether a text keeps the constraint; None if that takes too long to find out."""
        answer = await self._triers.run(Judge(constraint, text, finished), caller)
        return answer.verdict if isinstance(answer, Judged) else None

    def _remembered(self, key: str) -> Tried | Refused | None:
        outcome = self._kept.get(key)
        if outcome is None:
            return None
        if outcome.until < time.monotonic():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return outcome.answer

    async def _tried(self, key: str, constraint: Constraint, caller: str) -> Tried | Refused:
        """One trial for all who ask meanwhile; it goes on if one of them gives up."""
        task = self._trying.get(key)
        if task is None:
            task = asyncio.create_task(self._try(key, constraint, caller))
            self._trying[key] = task
            task.add_done_callback(lambda _: self._trying.pop(key, None))
        return await asyncio.shield(task)

    async def _try(self, key: str, constraint: Constraint, caller: str) -> Tried | Refused:
        answer = await self._triers.run(TryOut(constraint), caller)
        assert isinstance(answer, (Tried, Refused)), f"a trier answered {type(answer).__name__}"
        self._remember(key, answer)
        return answer

    def _remember(self, key: str, answer: Tried | Refused) -> None:
        if isinstance(answer, Tried):
            outcome = Outcome(answer, float("inf"), answer.trial.grammar.size)
        else:
            outcome = Outcome(answer, time.monotonic() + REFUSAL_SECONDS, len(answer.reason))
        self._kept[key] = outcome
        self._bytes += outcome.size
        while len(self._kept) > KEPT or self._bytes > KEPT_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: str) -> None:
        self._bytes -= self._kept.pop(key).size
