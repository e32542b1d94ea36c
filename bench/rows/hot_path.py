"""Where the time of one token goes on its way past a mod: each part alone, without a model.

A real host process runs the mod; the worker's part of a step and the server's part of a stream run
here, as they do there. What is counted is processor time, so that a busy machine does not matter
much; only the way there and back is time on the clock.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from bench.estimate import median_of
from bench.models import SMALL
from bench.mods import BRANCHES
from bench.row import Finding, Row
from bench.run import Run
from mods.runtime.decisions import Resume, SessionSpec
from mods.runtime.host.client import Host
from mods.runtime.host.feed import Feeds
from mods.runtime.host.pool import HostPool
from mods.runtime.package import Package
from processors.batch import Batch
from processors.rows import Row as BatchRow
from processors.rows import SegmentArgs

ROWS_AT_ONCE = 16
STEPS = 400
WARM_UP = 20
PROMPT = 64
FORWARD_S = 0.01
"""Stands for the forward pass, while which a host decides."""
PATIENCE_S = 1.0


async def measure(run: Run) -> Finding:
    folder, steps = SMALL.folder(), run.scale.of(STEPS)
    run.watch.expect(steps)
    with tempfile.TemporaryDirectory() as home:
        pool, feeds = HostPool(Path(home) / "hosts", folder), Feeds()
        await pool.start()
        try:
            async with pool.acquire("bench", [Package.from_source(BRANCHES)], {}) as host:
                spent, there_and_back = await timed(run, host, feeds, steps)
        finally:
            feeds.close()
            await pool.stop()
    facts = {f"{name}_us": statistics.median(times) for name, times in spent.items()}
    facts["text_us"] = text_of_a_token(folder, steps)
    facts["new_segment_us"] = 1e6 * statistics.median(there_and_back)
    whole = [sum(parts) for parts in zip(spent["feed"], spent["host"], spent["edit"], strict=True)]
    estimate = median_of([one + facts["text_us"] for one in whole])
    return Finding(estimate, None, facts)


async def timed(
    run: Run, host: Host, feeds: Feeds, steps: int
) -> tuple[dict[str, list[float]], list[float]]:
    """Microseconds of each part of each row's step, and seconds of a new segment's round trip."""
    batch = await opened(host, feeds, steps)
    spent: dict[str, list[float]] = {"feed": [], "wait": [], "host": [], "edit": []}
    for number in range(WARM_UP + steps):
        step = one_step(batch, host)
        if number >= WARM_UP:
            for name, seconds in step.items():
                spent[name].append(1e6 * seconds / ROWS_AT_ONCE)
            run.watch.step()
    return spent, [await round_trip(host, number) for number in range(1000, 1040)]


async def opened(host: Host, feeds: Feeds, steps: int) -> Batch:
    """A batch whose rows are sessions of this host."""
    batch = Batch(feeds, PATIENCE_S)
    for session in range(1, ROWS_AT_ONCE + 1):
        spec = spec_of(session, 2 * steps)
        step = await host.open(spec)
        assert isinstance(step, Resume), f"the session did not begin: {step}"
        args = SegmentArgs(
            host.address, session, step.segment, 0, 0, spec.sentinel, False, 1.0, session
        )
        batch.rows[session - 1] = BatchRow(args, spec.prompt, [])
    return batch


def spec_of(session: int, max_tokens: int) -> SessionSpec:
    return SessionSpec(
        session=session,
        request_id=f"request-{session}",
        prompt=list(range(5, 5 + PROMPT)),
        max_tokens=max_tokens,
        max_context=2 * max_tokens + PROMPT,
        vocabulary=SMALL.vocabulary,
        sentinel=SMALL.vocabulary - 1,
    )


def one_step(batch: Batch, host: Host) -> dict[str, float]:
    """One step of the engine. Returns seconds by part: the worker's, and the host's beside them."""
    logits = torch.zeros(ROWS_AT_ONCE, SMALL.vocabulary)
    host_before, began = processor_seconds(host.pid), time.thread_time()
    batch.begin()
    fed = time.thread_time()
    time.sleep(FORWARD_S)
    clock, before = time.perf_counter(), time.thread_time()
    batch.apply(logits)
    edited, elapsed = time.thread_time() - before, time.perf_counter() - clock
    assert batch.late == batch.refused == 0, "the host did not keep up"
    for index, row in batch.rows.items():
        row.output = [*row.output, 40 + (len(row.output) + index) % 500]
    return {
        "feed": fed - began,
        "wait": max(0.0, elapsed - edited),
        "host": processor_seconds(host.pid) - host_before,
        "edit": edited,
    }


async def round_trip(host: Host, session: int) -> float:
    """Seconds from the end of one segment to what the next is to be, on the clock."""
    step = await host.open(spec_of(session, 64))
    assert isinstance(step, Resume)
    began = time.perf_counter()
    await host.tail(session, step.segment, 1, 40)
    seconds = time.perf_counter() - began
    await host.close(session, "done")
    return seconds


def text_of_a_token(folder: Path, tokens: int) -> float:
    """Processor microseconds of a streamed token in the server: its text, and what is given out."""
    from transformers import PreTrainedTokenizerFast
    from vllm.outputs import CompletionOutput, RequestOutput
    from vllm.sampling_params import RequestOutputKind, SamplingParams

    from server.engine.answer import Answer
    from server.engine.call import Call

    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    given: Any = SimpleNamespace(
        tokenizer=tokenizer, request_id="r", prompt_text=None, arguments={}, end_of_sequence=1
    )
    host: Any = None
    params = SamplingParams(output_kind=RequestOutputKind.DELTA)
    answer = Answer(given, Call([host], host), list(range(5, 5 + PROMPT)), params, 0, 0)
    outputs = []
    for number in range(tokens):
        part = CompletionOutput(0, "", [40 + number % 500], None, None)
        outputs.append(RequestOutput("r", None, [], None, [part], False))
    began = time.thread_time()
    for output in outputs:
        answer.take(output)
        answer.show(len(answer.tokens), judged=True)
    return 1e6 * (time.thread_time() - began) / tokens


def processor_seconds(pid: int) -> float:
    """What the process's thread has run."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


ROWS = [
    Row(
        "hot-path",
        "processor time of a token under a mod that branches, without the model, 16 at once",
        (),
        measure,
        unit="µs",
    )
]
