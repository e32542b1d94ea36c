"""What it costs generation that every request is traced: one server, `trace` said per request.

The whole of it runs beside the engine on the same cores: the spool, the writer, and the embedded
Postgres that the writer ships to. Each place asks several times in a row, so that traces are
shipped while others are generated, and between two blocks it is waited until all is shipped: what
one block left behind is not paid for by the next.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.answer import Ask, Block, cost, speed, tpot
from bench.client import Client
from bench.estimate import median_of
from bench.models import DEMO, SMALL
from bench.processes import tree_seconds
from bench.row import Finding, Row, at_least
from bench.run import AGAIN, BASE, Run, check_equal, compare, whole
from bench.server import Program, Server
from server.traces.status import ShippingStatus, lag

KEPT = (("CONCORDANCE_EMBEDDED_POSTGRES", "true"), ("CONCORDANCE_TRACE", "off"))
"""Small requests that only warm a connection leave no trace."""
SMALL_OURS, DEMO_OURS = Program("ours", SMALL, settings=KEPT), Program("ours", DEMO, settings=KEPT)
AT_ONCE = 16
IN_A_ROW = 3
TOKENS = 32
"""Of an answer."""
DEMO_TOKENS = 128
LINGER = 2.5
"""Seconds after a block: vLLM spins for one of them, and the writer tells once a second how far
it is. The same on all sides."""
PATIENCE = 60.0

OFF: dict[str, Any] = {"trace": "off"}


def home_of(server: Server) -> Path:
    return server.log.parent


async def shipped(server: Server, least: int = 0) -> None:
    """Wait until the writer has shipped all, and at least so many.

    Raises `RuntimeError` if it does not come to that.
    """
    spool = home_of(server) / "spool"
    for _ in range(int(PATIENCE / 0.25)):
        if ShippingStatus.load(spool).shipped >= least and lag(spool) == 0:
            return
        await asyncio.sleep(0.25)
    raise RuntimeError(f"the writer has {lag(spool)} bytes left: {ShippingStatus.load(spool)}")


def spent(server: Server) -> float:
    """Processor seconds of the server, its writer, and their Postgres, which is nobody's child."""
    data = home_of(server) / "postgres" / "data"
    seconds = tree_seconds(server.pid)
    with suppress(FileNotFoundError):
        seconds += tree_seconds(int((data / "postmaster.pid").read_text().split()[0]))
    return seconds


async def sides(
    run: Run, program: Program, levels: tuple[str, ...], tokens: int
) -> dict[str, list[Block]]:
    """Rounds at `off`, at these levels, and at `off` again."""
    client = await run.client(program)
    for level in levels:
        fields = (OFF, {"trace": level})
        await check_equal(run, (client, None), (client, None), fields=fields)
    await shipped(client.server, 1)  # Postgres is made at the first start
    block = partial(_block, run, client, tokens)
    off = partial(block, "off")
    named = {level: partial(block, level) for level in levels}
    rounds = await run.rounds({BASE: off, **named, AGAIN: off})
    await _check_kept(client, sum(len(whole(rounds[level]).answers) for level in levels))
    return rounds


async def _block(run: Run, client: Client, tokens: int, level: str) -> Block:
    prompts = run.prompts(client.server.program)
    fields = {"trace": level}
    places = [
        [Ask(prompts.fresh(), run.scale.of(tokens), fields=fields) for _ in range(IN_A_ROW)]
        for _ in range(AT_ONCE)
    ]
    before = spent(client.server)
    found = await client.block(places)
    await asyncio.sleep(LINGER)
    await shipped(client.server)
    return replace(found, cores=spent(client.server) - before)


async def _check_kept(client: Client, traced: int) -> None:
    """Raises `RuntimeError` unless every request left its trace."""
    async with client.awake() as connection:
        durable, dropped = await connection.counters(
            "concordance_traces_total", "concordance_traces_dropped_total"
        )
    if dropped or durable < traced:
        raise RuntimeError(f"{traced} requests left {durable} traces, and {dropped} were dropped")


async def slowed(run: Run, *, level: str) -> Finding:
    """Output tokens a second with traces over those without."""
    rounds = await sides(run, SMALL_OURS, (level,), TOKENS)
    base, traced = whole(rounds[BASE]), whole(rounds[level])
    return Finding(
        compare(rounds, level, speed),
        compare(rounds, AGAIN, speed),
        {
            "tokens_per_second": [speed(base), speed(traced)],
            "tpot_ms": [tpot(base), tpot(traced)],
            "core_us_per_token": [cost(base), cost(traced)],
        },
    )


async def added_cost(run: Run) -> Finding:
    """Core-microseconds that a trace of level `tokens` adds to a token of the demo model."""
    rounds = await sides(run, DEMO_OURS, ("tokens", "full"), DEMO_TOKENS)
    added = {
        level: median_of(
            [cost(b) - cost(a) for a, b in zip(rounds[BASE], rounds[level], strict=True)]
        )
        for level in ("tokens", "full", AGAIN)
    }
    return Finding(
        added["tokens"],
        None,
        {
            "full": added["full"].as_json(),
            "off_again": added[AGAIN].as_json(),
            "core_us_per_token": [cost(whole(rounds[n])) for n in (BASE, "tokens", "full")],
            "tokens_per_second": [speed(whole(rounds[n])) for n in (BASE, "tokens", "full")],
        },
    )


ROWS = [
    *(
        Row(
            f"traces-{level}",
            f"output tokens/s, traces of level {level} ÷ off, {AT_ONCE} at once",
            (SMALL_OURS,),
            partial(slowed, level=level),
            at_least(least),
        )
        for level, least in (("tokens", 0.97), ("full", 0.93))
    ),
    Row(
        "traces-demo",
        f"added by a trace to a token of the demo model, with writer and Postgres, {AT_ONCE} at"
        " once",
        (DEMO_OURS,),
        added_cost,
        unit="core-µs",
    ),
]
