"""Grammars on their way into the engine: tried out, sent ahead to the worker, then named.

No request that needs a grammar reaches the engine before the worker has it compiled, so that
compiling delays nobody else.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Protocol

import msgspec

from mods.runtime.decisions import Held
from mods.runtime.grammar.grammar import Grammar
from mods.runtime.host.channel import Channel
from mods.sdk.constraints import Constraint
from mods.sdk.errors import ConstraintError
from processors.grammars import KEPT_GRAMMARS, SOCKET_NAME, Prepare, Prepared

_DECODE = msgspec.msgpack.Decoder(Prepared).decode


class Admission(Protocol):
    """Tries a constraint out. Raises `ConstraintError` for one that is refused."""

    async def admit(self, constraint: Constraint) -> Grammar: ...


class GrammarLink:
    """The connection over which the worker is given grammars."""

    def __init__(self, run_dir: Path) -> None:
        self._path = str(run_dir / SOCKET_NAME)
        self._channel: Channel | None = None
        self._connecting = asyncio.Lock()
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Prepared]] = {}
        self._known: OrderedDict[str, None] = OrderedDict()
        """Digests of grammars that the worker surely still has, the newest last."""

    async def prepare(self, grammar: Grammar) -> None:
        """Returns once the worker has it compiled. Raises `ConstraintError` if it cannot."""
        if grammar.digest in self._known:
            self._known.move_to_end(grammar.digest)
            return
        async with self._connecting:
            if self._channel is None:
                self._channel = await self._connect()
        number = next(self._numbers)
        answer: asyncio.Future[Prepared] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._channel.send(Prepare(number, grammar))
            prepared = await answer
        finally:
            self._waiting.pop(number, None)
        if prepared.error is not None:
            raise ConstraintError(prepared.error)
        self._known[grammar.digest] = None
        if len(self._known) > KEPT_GRAMMARS // 2:
            self._known.popitem(last=False)

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()

    async def _connect(self) -> Channel:
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_unix_connection(
            lambda: Channel(_DECODE, self._heard, self._ended), self._path
        )
        return channel

    def _heard(self, prepared: Prepared) -> None:
        answer = self._waiting.get(prepared.id)
        if answer is not None and not answer.done():
            answer.set_result(prepared)

    def _ended(self) -> None:
        self._channel = None
        self._known.clear()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the engine's worker has ended"))


class EngineGrammars:
    """What sessions ask: have these constraints ready, and say under which names."""

    def __init__(self, admission: Admission, link: GrammarLink) -> None:
        self._admission, self._link = admission, link

    async def admit(self, constraint: Constraint) -> Grammar:
        """Try a constraint out before anything is begun. Raises `ConstraintError`."""
        return await self._admission.admit(constraint)

    async def ready(self, held: Sequence[Held]) -> list[tuple[str, int, bool]]:
        """Each as the worker wants to hear of it. Raises `ConstraintError`."""
        named = []
        for one in held:
            grammar = await self._admission.admit(one.constraint)
            await self._link.prepare(grammar)
            named.append((grammar.digest, one.start, one.whole))
        return named
