"""One run of the bench: what its rows have at hand, and rounds of sides in turn."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Protocol, Self, TypeVar

from bench.answer import Ask
from bench.client import Client
from bench.estimate import Estimate, ratio_of
from bench.progress import Watch
from bench.prompts import Prompts
from bench.server import Program, Servers


class Addable(Protocol):
    """What blocks are: those of one side in one round are added up."""

    def __add__(self, other: Self, /) -> Self: ...


Measured = TypeVar("Measured", bound=Addable)

BASE, AGAIN = "base", "base again"
"""Names of sides: `again` is the base once more, for the noise floor."""
CHECKED_PROMPTS = 4
CHECKED_TOKENS = 32


@dataclass(frozen=True)
class Scale:
    """How much is measured. rounds: of every comparison. work: of a block, 1 for all of it."""

    rounds: int = 7
    work: float = 1.0

    def of(self, amount: int, least: int = 1) -> int:
        """An amount of work at this scale."""
        return max(least, round(amount * self.work))


FULL = Scale()
QUICK = Scale(rounds=3, work=0.5)


class Run:
    """Servers, clients and prompts for the rows, and their progress."""

    def __init__(self, servers: Servers, scale: Scale, watch: Watch | None = None) -> None:
        self.servers, self.scale, self.watch = servers, scale, watch or Watch()
        self._prompts: dict[Program, Prompts] = {}
        self._clients: dict[int, Client] = {}

    def prompts(self, program: Program) -> Prompts:
        """The one source of this program's prompts."""
        if program not in self._prompts:
            seed = zlib.crc32(f"{program.side} {program.model.name}".encode())
            self._prompts[program] = Prompts(program.model.vocabulary, seed)
        return self._prompts[program]

    async def client(self, program: Program, mods: Mapping[str, str] | None = None) -> Client:
        """A client of the program's server, which has these mods, by name and source."""
        server = await self.servers.get(program)
        if server.pid not in self._clients:
            self._clients[server.pid] = Client(server, self.servers, self.prompts(program))
        client = self._clients[server.pid]
        if mods:
            await client.upload(dict(mods))
        return client

    def places(
        self, program: Program, count: int, tokens: int, mods: Sequence[str | None] = (None,)
    ) -> list[list[Ask]]:
        """Places that ask once each, with fresh prompts. mods: in turn over the places."""
        prompts = self.prompts(program)
        return [[Ask(prompts.fresh(), tokens, mods[i % len(mods)])] for i in range(count)]

    async def rounds(
        self, sides: Mapping[str, Callable[[], Awaitable[Measured]]], count: int | None = None
    ) -> dict[str, list[Measured]]:
        """Measure the sides in turn: A B C C B A is a round, so that drift falls on all alike.

        Returns by side each round's two blocks together.
        """
        count = count or self.scale.rounds
        self.watch.expect(2 * count * len(sides))
        found: dict[str, list[Measured]] = {name: [] for name in sides}
        for _ in range(count):
            blocks: dict[str, list[Measured]] = {name: [] for name in sides}
            for name in [*sides, *reversed([*sides])]:
                blocks[name].append(await sides[name]())
                self.watch.step()
            for name, measured in blocks.items():
                found[name].append(reduce(add, measured))
        return found


def compare(
    rounds: Mapping[str, list[Measured]], side: str, value: Callable[[Measured], float]
) -> Estimate:
    """A side over the base, by rounds."""
    pairs = zip(rounds[BASE], rounds[side], strict=True)
    return ratio_of((value(one), value(other)) for one, other in pairs)


def whole(blocks: list[Measured]) -> Measured:
    """All rounds of a side together."""
    return reduce(add, blocks)


async def check_equal(
    run: Run,
    one: tuple[Client, str | None],
    other: tuple[Client, str | None],
    tokens: int = CHECKED_TOKENS,
    fields: tuple[dict[str, Any], dict[str, Any]] = ({}, {}),
) -> None:
    """Raise `RuntimeError` unless both sides, a client and a mod each, write the same tokens.

    fields: more of each side's body.
    """
    prompts = run.prompts(one[0].server.program)
    fresh = [prompts.fresh() for _ in range(CHECKED_PROMPTS)]
    first, second = [
        await _answers(client, [Ask(p, tokens, mod, watched=True, fields=more) for p in fresh])
        for (client, mod), more in zip((one, other), fields, strict=True)
    ]
    for a, b in zip(first, second, strict=True):
        if a != b:
            raise RuntimeError(f"the sides write different tokens: {a} and {b}")


async def _answers(client: Client, asks: list[Ask]) -> list[list[int]]:
    """The tokens that answer these, asked one after the other."""
    return [answer.ids for answer in (await client.block([asks])).answers]
