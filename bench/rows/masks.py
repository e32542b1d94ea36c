"""What a mask costs: the time to fill one row at a vocabulary of 131,072, without a server.

Each schema's matcher goes along a random text of its own; every row on the way is timed.
"""

from __future__ import annotations

import itertools
import random
import time
from typing import Any

import numpy as np

from bench.estimate import median_of
from bench.models import WIDE
from bench.row import Finding, Row, at_most
from bench.run import Run
from bench.schemas import schemas
from mods.runtime.grammar.compile import compile_constraint
from mods.runtime.grammar.matcher import Matcher
from mods.runtime.grammar.vocabulary import Vocabulary
from mods.sdk.constraints import json_schema
from mods.sdk.tokenizer import load_tokenizer

SCHEMAS = 64
STEPS = 160
"""Rows of one text, at most."""


async def measure(run: Run) -> Finding:
    vocabulary = Vocabulary.from_tokenizer(load_tokenizer(WIDE.folder()), WIDE.vocabulary)
    count = run.scale.of(SCHEMAS)
    run.watch.expect(count)
    walks = []
    for seed, schema in enumerate(itertools.islice(schemas(7), count)):
        walks.append(walk(schema, vocabulary, random.Random(seed)))
        run.watch.step()
    every = np.concatenate(walks)
    return Finding(
        median_of([float(np.median(times)) for times in walks]),
        None,
        {
            "rows": len(every),
            "p50_us": float(np.percentile(every, 50)),
            "p99_us": float(np.percentile(every, 99)),
            "first_us": float(np.median([times[0] for times in walks])),
        },
    )


def walk(schema: dict[str, Any], vocabulary: Vocabulary, drawn: random.Random) -> list[float]:
    """Microseconds for each row of a random text under this schema."""
    matcher = Matcher(compile_constraint(json_schema(schema)), vocabulary)
    row = vocabulary.row()
    times: list[float] = []
    while len(times) < STEPS and not matcher.stopped:
        began = time.perf_counter()
        matcher.fill(row)
        times.append(1e6 * (time.perf_counter() - began))
        token = drawn.choice(vocabulary.allowed(row))
        if matcher.consume([token]) != 1:
            raise RuntimeError(f"token {token} was allowed and then refused")
    return times


ROWS = [
    Row(
        "mask-131k",
        "p50 of filling one row's mask, vocabulary of 131,072, JSON schemas",
        (),
        measure,
        at_most(50),
        unit="µs",
    )
]
