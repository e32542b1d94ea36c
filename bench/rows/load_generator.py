"""vLLM's own load generator against stock vLLM and against us: our client is not to be believed
alone.

Its random data set, streams over completions, 16 at once.
"""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass
from functools import partial

from bench.child import Child
from bench.models import SMALL
from bench.row import Finding, Row
from bench.run import AGAIN, BASE, Run, compare, whole
from bench.server import Program

OURS, STOCK = Program("ours", SMALL), Program("stock", SMALL)
CONCURRENCY = 16
REQUESTS = 32
INPUT, OUTPUT = 16, 48
TOLD = ("output_throughput", "mean_ttft_ms", "p99_ttft_ms", "mean_tpot_ms", "p99_tpot_ms")


def options(url: str, requests: int, seed: int) -> list[str]:
    """The generator's command line. A seed of its own makes the prompts fresh."""
    given = {
        "backend": "openai",
        "base-url": url,
        "endpoint": "/v1/completions",
        "model": SMALL.name,
        "tokenizer": str(SMALL.folder()),
        "dataset-name": "random",
        "random-input-len": INPUT,
        "random-output-len": OUTPUT,
        "num-prompts": requests,
        "max-concurrency": CONCURRENCY,
        "temperature": 0,
        "seed": seed,
    }
    pairs = [(f"--{name}", str(value)) for name, value in given.items()]
    return [word for pair in pairs for word in pair] + ["--disable-tqdm", "--ignore-eos"]


@dataclass(frozen=True)
class Result:
    """What the generator says of one run, or of several together."""

    tokens: int
    seconds: float
    told: list[dict[str, float]]

    def __add__(self, other: Result) -> Result:
        return Result(
            self.tokens + other.tokens, self.seconds + other.seconds, self.told + other.told
        )


def throughput(result: Result) -> float:
    """Output tokens a second."""
    return result.tokens / result.seconds


async def measure(run: Run) -> Finding:
    servers = {program: (await run.client(program)).server for program in (OURS, STOCK)}
    requests, seeds = run.scale.of(REQUESTS), itertools.count(1)
    async with Child("bench.load_child") as child:

        async def block(program: Program) -> Result:
            run.servers.wake(servers[program])
            asked = options(servers[program].url, requests, next(seeds))
            found = await child.ask({"options": asked})
            if found["completed"] != requests:
                raise RuntimeError(f"{found['completed']} of {requests} requests were answered")
            told = {name: found[name] for name in TOLD}
            return Result(found["total_output_tokens"], found["duration"], [told])

        for program in servers:
            await block(program)  # to warm up
        stock, ours = partial(block, STOCK), partial(block, OURS)
        rounds = await run.rounds({BASE: stock, "ours": ours, AGAIN: stock})
    told = [whole(rounds[side]).told for side in (BASE, "ours")]
    return Finding(
        compare(rounds, "ours", throughput),
        compare(rounds, AGAIN, throughput),
        {name: [statistics.median(one[name] for one in side) for side in told] for name in TOLD},
    )


ROWS = [
    Row(
        "vllm-load",
        f"the same by vLLM's own load generator, {CONCURRENCY} at once",
        (OURS, STOCK),
        measure,
    )
]
