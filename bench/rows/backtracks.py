"""Taking 16 tokens back: from the newest token before to the first one after, as a client sees it.

It is counted in decode steps, the median gap between two tokens of the same stream, where an
ordinary token is 1. What a restart computes again depends on where in a block of the cache (32
tokens) the kept ones end, so every place is visited once: the mod takes back when its output is 17
tokens long, then 18, and so on. The floor is the mean of as many ordinary gaps.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from bench.answer import Answer, Ask
from bench.client import Client, Connection
from bench.estimate import mean_of
from bench.models import SMALL
from bench.mods import TAKE_BACK_FROM, takes_back
from bench.prompts import SHORT
from bench.row import Finding, Row, at_most
from bench.run import Run
from bench.server import Program

OURS = Program("ours", SMALL)
RESIDUES = 32
"""Places within a block of the cache."""
SEATS = 64
"""Requests that the engine runs at once."""
QUEUED_TIMES = 8
NEIGHBOUR_TOKENS = 96
"""A neighbour's answer, where neighbours come and go."""
LONG = 3500
"""A neighbour's answer, where they are to outlast the measurement."""


def steps_of(answer: Answer) -> tuple[list[float], list[float]]:
    """Gaps at which tokens were taken back, and ordinary ones, in decode steps."""
    ordinary = [gap for gap, event in answer.gaps if not event.removed]
    step = statistics.median(ordinary)
    taken = [gap / step for gap, event in answer.gaps if event.removed]
    return taken, [gap / step for gap in ordinary]


def finding(answer: Answer, times: int) -> Finding:
    """The mean over all places, which count alike."""
    taken, ordinary = steps_of(answer)
    if len(taken) != times:
        raise RuntimeError(f"expected {times} places where tokens were taken, got {len(taken)}")
    step = statistics.median(gap for gap, event in answer.gaps if not event.removed)
    return Finding(
        mean_of(taken),
        mean_of(ordinary[:: max(1, len(ordinary) // times)]),
        {
            "step_ms": 1e3 * step,
            "steps_least": min(taken),
            "steps_median": statistics.median(taken),
            "steps_most": max(taken),
        },
    )


@asynccontextmanager
async def crowd(
    run: Run, connection: Connection, count: int, tokens: int, waiting: int = 0
) -> AsyncIterator[None]:
    """So many requests without mods, beside the measured one, each asking again when answered.

    Begins when all but the `waiting` have their first token.
    """
    prompts, started, everybody = run.prompts(OURS), 0, asyncio.Event()

    def begun() -> None:
        nonlocal started
        started += 1
        if started >= count - waiting:
            everybody.set()

    async def place() -> None:
        while True:
            await connection.ask(Ask(prompts.fresh(), tokens), begun)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(place()) for _ in range(count)]
        await everybody.wait()
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def prepare(run: Run, times: int) -> tuple[Client, str]:
    """A client, and the name of a mod that takes back so many times."""
    name = f"takes_back_{times}"
    return await run.client(OURS, {name: takes_back(name, times)}), name


def asking(run: Run, mod: str, times: int, context: int) -> Ask:
    """A request with so many tokens of prompt that is long enough for the mod to be done."""
    tokens = TAKE_BACK_FROM + times + 1
    return Ask(run.prompts(OURS).fresh(context), tokens, mod, watched=True)


async def measure(run: Run, *, context: int, neighbours: int) -> Finding:
    client, mod = await prepare(run, RESIDUES)
    run.watch.expect(1)
    async with client.awake(mod) as connection, AsyncExitStack() as stack:
        if neighbours:
            await stack.enter_async_context(crowd(run, connection, neighbours, LONG))
        answer = await connection.ask(asking(run, mod, RESIDUES, context))
    run.watch.step()
    return finding(answer, RESIDUES)


async def queued(run: Run) -> Finding:
    """With 64 running and 64 waiting, which come and go; beside it the same alone."""
    times = run.scale.of(QUEUED_TIMES)
    client, mod = await prepare(run, times)
    run.watch.expect(2)
    async with client.awake(mod) as connection:
        alone = finding(await connection.ask(asking(run, mod, times, SHORT)), times)
        run.watch.step()
        async with crowd(run, connection, 2 * SEATS - 1, NEIGHBOUR_TOKENS, SEATS):
            answer = await connection.ask(asking(run, mod, times, SHORT))
        run.watch.step()
    found = finding(answer, times)
    return Finding(
        found.estimate, found.floor, {"steps_alone": alone.estimate.as_json(), **found.facts}
    )


ROWS = [
    *(
        Row(
            f"backtrack-{context}{'-busy' if neighbours else ''}",
            f"a backtrack of 16 at {context} tokens, "
            + (f"{neighbours + 1} running" if neighbours else "alone"),
            (OURS,),
            partial(measure, context=context, neighbours=neighbours),
            at_most(3),
            "steps",
        )
        for neighbours in (0, SEATS - 1)
        for context in (512, 1800)
    ),
    Row(
        "backtrack-queued",
        f"a backtrack of 16 with {SEATS} running and {SEATS} waiting",
        (OURS,),
        queued,
        unit="steps",
    ),
]
