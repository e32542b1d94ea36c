"""Answers under JSON schemas, each request its own, none seen before.

Throughput and time to the first token are held against the same lengths without a schema; latency
against stock vLLM with its guidance backend, asked the same questions under the same schemas.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jsonschema
import numpy as np

from bench.answer import Ask, Block, cost, speed, tpot
from bench.client import Client
from bench.models import SMALL
from bench.row import Finding, Row, Target, at_least, at_most
from bench.run import AGAIN, BASE, Run, compare, whole
from bench.schemas import schemas
from bench.server import Program

JUMPS = Program("ours", SMALL)
STEPS = Program("ours", SMALL, settings=(("CONCORDANCE_JUMP_FORWARD", "false"),))
"""With tokens that the grammar forces drawn like any other."""
STOCK = Program("stock", SMALL, ("--structured-outputs-config", '{"backend": "guidance"}'))

CUT = 64
"""Tokens of an answer that is shorter than any text of its schema."""
CUT_PROPERTIES = 24
LONGEST = 1024
"""Tokens that no whole answer reaches."""
FIRST_TOKENS = 24
FIRST_IN_TURN = 4
"""Requests of one place, for the time to the first token."""
FORCED = 'concordance_tokens_total{origin="forced"}'


def format_of(schema: dict[str, Any]) -> dict[str, Any]:
    """The field that asks for it. No white space: a random model would write nothing else."""
    strict = {**schema, "x-guidance": {"whitespace_flexible": False}}
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": strict},
    }


class Questions:
    """Prompts with schemas, the same for whoever asks with this seed, each only once."""

    def __init__(self, run: Run, program: Program, seed: int, properties: int) -> None:
        self._prompts, self._schemas = run.prompts(program), schemas(seed, properties)
        self._asked: list[Ask] = []

    def asks(self, first: int, count: int, tokens: int) -> list[Ask]:
        """Number `first` to `first + count` of them."""
        while len(self._asked) < first + count:
            fields = {"response_format": format_of(next(self._schemas)), "ignore_eos": False}
            self._asked.append(Ask(self._prompts.fresh(), tokens, fields=fields))
        return self._asked[first : first + count]


def bare(asks: list[Ask]) -> list[Ask]:
    """The same without schemas."""
    return [replace(ask, fields={}) for ask in asks]


@dataclass
class Side:
    """One side's way through the questions: each block takes the next ones."""

    client: Client
    questions: Questions
    schemas: bool = True
    next: int = 0

    def take(self, count: int, tokens: int) -> list[Ask]:
        asks = self.questions.asks(self.next, count, tokens)
        self.next += count
        return asks if self.schemas else bare(asks)

    async def block(self, places: int, tokens: int, in_turn: int = 1) -> Block:
        asks = self.take(places * in_turn, tokens)
        return await self.client.block([asks[place::places] for place in range(places)])


def sides_of(
    run: Run, client: Client, properties: int, seeds: Iterator[int]
) -> tuple[Side, Side, Side]:
    """Without schemas, with, and without again: three ways through three lists."""
    program = client.server.program

    def side(constrained: bool) -> Side:
        return Side(client, Questions(run, program, next(seeds), properties), constrained)

    return side(False), side(True), side(False)


async def in_both(
    run: Run, seed: int, concurrency: int, tokens: int, in_turn: int = 1
) -> tuple[dict[str, list[Block]], dict[str, list[Block]]]:
    """Rounds of ours and of stock vLLM: without schemas, with, and (ours only) without again."""
    seeds = iter(range(seed, seed + 100))
    none, under, again = sides_of(run, await run.client(STEPS), CUT_PROPERTIES, seeds)
    stock_none, stock_under, _ = sides_of(run, await run.client(STOCK), CUT_PROPERTIES, seeds)
    named = {
        BASE: none, "schemas": under, AGAIN: again,
        "stock": stock_none, "stock schemas": stock_under,
    }  # fmt: skip
    rounds = await run.rounds(
        {name: partial(side.block, concurrency, tokens, in_turn) for name, side in named.items()}
    )
    return rounds, {BASE: rounds["stock"], "schemas": rounds["stock schemas"]}


async def throughput(run: Run, *, concurrency: int) -> Finding:
    """Output tokens a second with schemas over without, in ours and in stock vLLM."""
    rounds, theirs = await in_both(run, 100, concurrency, run.scale.of(CUT))
    base, measured = whole(rounds[BASE]), whole(rounds["schemas"])
    return Finding(
        compare(rounds, "schemas", speed),
        compare(rounds, AGAIN, speed),
        {
            "stock_ratio": compare(theirs, "schemas", speed).as_json(),
            "tokens_per_second": [speed(base), speed(measured)],
            "tpot_ms": [tpot(base), tpot(measured)],
            "core_us_per_token": [cost(base), cost(measured)],
        },
    )


def promptness(block: Block) -> float:
    """One over the mean time to a whole answer: twice as large is twice as fast."""
    return 1 / statistics.fmean(answer.end for answer in block.answers)


async def latency(run: Run, *, program: Program, concurrency: int) -> Finding:
    """Stock's mean time to a whole answer over ours, for the same questions."""
    ours, stock = await run.client(program), await run.client(STOCK)
    await check_answers(run, ours, stock, same=program is STEPS)
    questions, others = Questions(run, STOCK, 11, 6), Questions(run, STOCK, 12, 6)
    named = {
        BASE: Side(stock, questions), "ours": Side(ours, questions), AGAIN: Side(stock, others)
    }  # fmt: skip
    async with ours.awake() as connection:
        (before,) = await connection.counters(FORCED)
    rounds = await run.rounds(
        {name: partial(side.block, concurrency, LONGEST) for name, side in named.items()}
    )
    async with ours.awake() as connection:
        (after,) = await connection.counters(FORCED)
    base, measured = whole(rounds[BASE]), whole(rounds["ours"])
    return Finding(
        compare(rounds, "ours", promptness),
        compare(rounds, AGAIN, promptness),
        {
            "latency_ms": [1e3 / promptness(base), 1e3 / promptness(measured)],
            "answer_tokens": measured.tokens / len(measured.answers),
            "forced_share": (after - before) / measured.tokens,
            "core_us_per_token": [cost(base), cost(measured)],
        },
    )


async def check_answers(run: Run, ours: Client, stock: Client, *, same: bool) -> None:
    """Raise `RuntimeError` unless both keep the same schemas, and write the same under them.

    same: whether the text is compared. What enters by prefill flips near-ties in bfloat16, so where
    tokens are jumped over, texts may differ; in float32 the tests compare those, too.
    """
    asks = [replace(ask, watched=True) for ask in Questions(run, STOCK, 10, 6).asks(0, 4, LONGEST)]
    mine, theirs = [(await client.block([asks])).answers for client in (ours, stock)]
    for ask, one, other in zip(asks, mine, theirs, strict=True):
        schema = ask.fields["response_format"]["json_schema"]["schema"]
        for answer in (one, other):
            jsonschema.validate(json.loads(answer.text), schema)
        if same and one.text != other.text:
            raise RuntimeError(f"under one schema ours writes {one.text!r}, stock {other.text!r}")


def slowest_first(block: Block) -> float:
    """The 99th percentile of the time to the first token, in milliseconds."""
    return 1e3 * float(np.percentile([answer.first for answer in block.answers], 99))


async def first_token(run: Run, *, concurrency: int) -> Finding:
    """With schemas over without, in ours and in stock vLLM."""
    in_turn = run.scale.of(FIRST_IN_TURN)
    rounds, theirs = await in_both(run, 300, concurrency, FIRST_TOKENS, in_turn)
    both = [whole(rounds[name]) for name in (BASE, "schemas")]
    return Finding(
        compare(rounds, "schemas", slowest_first),
        compare(rounds, AGAIN, slowest_first),
        {
            "stock_ratio": compare(theirs, "schemas", slowest_first).as_json(),
            "p99_ms": [slowest_first(block) for block in both],
            "p50_ms": [
                1e3 * statistics.median(answer.first for answer in block.answers) for block in both
            ],
        },
    )


def _latency_row(name: str, says: str, program: Program, at_once: int, target: Target) -> Row:
    return Row(
        f"{name}-{at_once}",
        f"stock's guidance ÷ ours, mean time to a whole answer, {says}, {at_once} at once",
        (program, STOCK),
        partial(latency, program=program, concurrency=at_once),
        target,
    )


ROWS = [
    Row(
        "schemas-16",
        "each request under a schema of its own ÷ none, output tokens/s, 16 at once",
        (STEPS, STOCK),
        partial(throughput, concurrency=16),
        at_least(0.95),
    ),
    *(
        _latency_row("schema-latency", "every token drawn", STEPS, at_once, at_least(1.0))
        for at_once in (1, 16)
    ),
    *(
        _latency_row("schema-jumps", "forced tokens jumped", JUMPS, at_once, at_least(1.25))
        for at_once in (1, 16)
    ),
    Row(
        "schema-first",
        "p99 of the time to the first token, new schemas ÷ none, 16 at once",
        (STEPS, STOCK),
        partial(first_token, concurrency=16),
        at_most(1.3),
    ),
]
