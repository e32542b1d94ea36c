"""vLLM's engine core, as vLLM's front end sees one: requests in, tokens out, one at a time.

Requests wait in the order in which they came. A segment of a session keeps the place of its
request, so whoever is served goes on being served. A request that nobody waits for any more is
dropped, at once if it waits and after its next token if it is under way.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TypeVar

from vllm.tasks import SupportedTask
from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs, EngineCoreRequest, FinishReason
from vllm.v1.engine.core_client import EngineCoreClient
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.metrics.stats import SchedulerStats

from server.engine.reference.worker import ReferenceWorker, Ticket

T = TypeVar("T")
log = logging.getLogger("concordance")


class ReferenceCore(EngineCoreClient):
    """Owns the thread in which the model runs. All methods belong to the event loop."""

    engine_ranks_managed: Sequence[int] = (0,)

    def __init__(self, worker: ReferenceWorker) -> None:
        self.resources = SimpleNamespace(engine_dead=False)
        self._worker = worker
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reference")
        self._numbers = itertools.count()
        self._waiting: list[tuple[int, float, int, Ticket]] = []
        """A heap: priority, arrival, number."""
        self._wanted: set[str] = set()
        """Ids of the requests that somebody still waits for."""
        self._arrived = asyncio.Event()
        self._outputs: asyncio.Queue[EngineCoreOutputs | Exception] = asyncio.Queue()
        self._work: asyncio.Task[None] | None = None

    # What vLLM's front end calls.

    async def add_request_async(self, request: EngineCoreRequest) -> None:
        self._wanted.add(request.request_id)
        place = (request.priority, request.arrival_time, next(self._numbers))
        heapq.heappush(self._waiting, (*place, Ticket.of(request)))
        self._arrived.set()
        if self._work is None:
            self._work = asyncio.create_task(self._run())

    async def abort_requests_async(self, request_ids: list[str]) -> None:
        self._wanted.difference_update(request_ids)

    async def get_output_async(self) -> EngineCoreOutputs:
        output = await self._outputs.get()
        if isinstance(output, Exception):
            raise output
        return output

    async def get_supported_tasks_async(self) -> tuple[SupportedTask, ...]:
        return ("generate",)

    async def is_sleeping_async(self) -> bool:
        """Never. The answer comes between two tokens, so it shows that the model moves."""
        return await self._in_thread(lambda: False)

    async def reset_prefix_cache_async(
        self, reset_running_requests: bool = False, reset_connector: bool = False
    ) -> bool:
        """Nothing is kept for new requests."""
        return True

    async def reset_mm_cache_async(self) -> None:
        """Nothing to reset."""

    async def reset_encoder_cache_async(self) -> None:
        """Nothing to reset."""

    def shutdown(self, timeout: float | None = None) -> None:
        if self._work is not None:
            self._work.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    # One request after the other.

    async def _run(self) -> None:
        try:
            while True:
                await self._serve(await self._next())
        except Exception:
            log.exception("the reference engine stopped")
            self.resources.engine_dead = True
            self._outputs.put_nowait(EngineDeadError())

    async def _next(self) -> Ticket:
        while True:
            while self._waiting:
                *_, ticket = heapq.heappop(self._waiting)
                if ticket.name in self._wanted:
                    return ticket
            self._arrived.clear()
            await self._arrived.wait()

    async def _serve(self, ticket: Ticket) -> None:
        """Draw until the request ends. What goes wrong with it fails this request alone."""
        name = ticket.name
        try:
            await self._in_thread(lambda: self._worker.begin(ticket))
            while name in self._wanted:
                output = await self._in_thread(self._worker.step)
                if output.finished:
                    self._wanted.discard(name)
                self._give([output])
        except Exception:
            log.exception("the model failed on request %s", name)
            self._give([EngineCoreOutput(name, [], finish_reason=FinishReason.ERROR)])
        finally:
            self._wanted.discard(name)
            self._give([], running=0)

    def _give(self, outputs: list[EngineCoreOutput], running: int = 1) -> None:
        stats = SchedulerStats(num_running_reqs=running, num_waiting_reqs=len(self._waiting))
        self._outputs.put_nowait(EngineCoreOutputs(outputs=outputs, scheduler_stats=stats))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
