"""One request after the other: who is served when, and what becomes of those who go away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from vllm.sampling_params import SamplingParams
from vllm.v1.engine import EngineCoreOutput, EngineCoreRequest, FinishReason
from vllm.v1.engine.exceptions import EngineDeadError

from server.engine.reference.core import ReferenceCore
from server.engine.reference.worker import Ticket

LENGTH = 3
"""Tokens of every answer."""


class FakeWorker:
    """Counts instead of computing. `gate` holds the next token back until it is set."""

    def __init__(self) -> None:
        self.served: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.held = threading.Event()
        self._name = ""
        self._count = 0

    def begin(self, ticket: Ticket) -> None:
        self._name, self._count = ticket.name, 0
        self.served.append(ticket.name)
        if ticket.name == "broken":
            raise ValueError("this prompt cannot be computed")

    def step(self) -> EngineCoreOutput:
        self.held.set()
        assert self.gate.wait(10)
        self._count += 1
        done = FinishReason.LENGTH if self._count == LENGTH else None
        return EngineCoreOutput(self._name, [self._count], finish_reason=done)


def request(name: str, arrival: float = 0.0, priority: int = 0) -> EngineCoreRequest:
    params = SamplingParams(max_tokens=LENGTH)
    return EngineCoreRequest(
        name, [5], None, params, None, arrival, None, None, None, priority=priority
    )


def run(story: Callable[[ReferenceCore, FakeWorker], Awaitable[None]]) -> None:
    async def tell() -> None:
        worker: Any = FakeWorker()
        core = ReferenceCore(worker)
        try:
            await asyncio.wait_for(story(core, worker), 20)
        finally:
            worker.gate.set()
            core.shutdown()

    asyncio.run(tell())


async def finished(core: ReferenceCore, count: int) -> dict[str, FinishReason]:
    """How the next `count` requests to finish do so, in that order."""
    ends: dict[str, FinishReason] = {}
    while len(ends) < count:
        for output in (await core.get_output_async()).outputs:
            if output.finish_reason is not None:
                ends[output.request_id] = output.finish_reason
    return ends


async def hold(core: ReferenceCore, worker: FakeWorker) -> None:
    """A request called `first` is under way, and stays so until the gate opens."""
    worker.gate.clear()
    await core.add_request_async(request("first"))
    assert await asyncio.to_thread(worker.held.wait, 10)


def test_requests_are_served_by_priority_then_by_arrival() -> None:
    async def story(core: ReferenceCore, worker: FakeWorker) -> None:
        await hold(core, worker)
        await core.add_request_async(request("third", arrival=3))
        await core.add_request_async(request("second", arrival=2))
        await core.add_request_async(request("urgent", arrival=9, priority=-1))
        await core.add_request_async(request("also second", arrival=2))
        worker.gate.set()
        ends = await finished(core, 5)
        assert list(ends) == ["first", "urgent", "second", "also second", "third"]
        assert set(ends.values()) == {FinishReason.LENGTH}

    run(story)


def test_a_request_that_nobody_waits_for_is_dropped() -> None:
    async def story(core: ReferenceCore, worker: FakeWorker) -> None:
        await hold(core, worker)
        await core.add_request_async(request("gone", arrival=1))
        await core.add_request_async(request("next", arrival=2))
        await core.abort_requests_async(["gone", "first", "never heard of"])
        worker.gate.set()
        assert list(await finished(core, 1)) == ["next"]
        assert worker.served == ["first", "next"]

    run(story)


def test_a_request_that_cannot_be_computed_fails_alone() -> None:
    async def story(core: ReferenceCore, worker: FakeWorker) -> None:
        await core.add_request_async(request("broken", arrival=1))
        await core.add_request_async(request("sound", arrival=2))
        assert await finished(core, 2) == {
            "broken": FinishReason.ERROR, "sound": FinishReason.LENGTH,
        }  # fmt: skip
        assert not core.resources.engine_dead

    run(story)


def test_a_model_that_is_stuck_gives_no_sign_of_life() -> None:
    async def story(core: ReferenceCore, worker: FakeWorker) -> None:
        assert await core.is_sleeping_async() is False
        await hold(core, worker)
        asked = asyncio.create_task(core.is_sleeping_async())
        await asyncio.sleep(0.05)
        assert not asked.done()
        worker.gate.set()
        assert await asked is False

    run(story)


def test_how_many_run_and_wait_is_told() -> None:
    async def story(core: ReferenceCore, worker: FakeWorker) -> None:
        await hold(core, worker)
        await core.add_request_async(request("second", arrival=1))
        worker.gate.set()
        seen = []
        while not seen or seen[-1] != (0, 0):
            stats = (await core.get_output_async()).scheduler_stats
            assert stats is not None
            seen.append((stats.num_running_reqs, stats.num_waiting_reqs))
        assert seen[0] == (1, 1)
        assert (1, 0) in seen

    run(story)


def test_a_core_that_breaks_says_so_to_whoever_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(core: ReferenceCore, worker: FakeWorker) -> None:
        async def lost() -> Ticket:
            raise RuntimeError("lost my place")

        monkeypatch.setattr(core, "_next", lost)
        await core.add_request_async(request("any"))
        with pytest.raises(EngineDeadError):
            await core.get_output_async()
        assert core.resources.engine_dead

    run(story)
