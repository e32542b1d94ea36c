"""vLLM's engine core in its processes: asked, failed, buried, and started anew under one front end.

vLLM's front end (`AsyncLLM`: tokenizer, detokenizers, metrics) lives in this process and outlives
the core; everything above holds on to it. So only the core behind it is replaced.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from vllm.v1.engine.core_client import EngineCoreClient
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.engine.output_processor import LoRARequestStates
from vllm.v1.executor import Executor
from vllm.v1.metrics.stats import SchedulerStats

from server.engine.processes import Process, family

BURIAL_S = 10.0
"""How long vLLM may take to put away what is left of a dead core."""


class VllmCore:
    """The core behind an `AsyncLLM`. See `Core` in `keeper.py` for what is asked of it."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._family: list[Process] = []
        self._segments: set[Path] = set()
        self._given_up = False
        self._meet()

    @property
    def is_dead(self) -> bool:
        """Whether vLLM knows that its core has ended."""
        return bool(self._engine.errored)

    async def answer(self) -> None:
        """Returns once the core has answered between two steps."""
        await self._engine.is_sleeping()

    @property
    def seconds(self) -> float:
        """Processor time that its processes have used."""
        return sum(process.seconds for process in self._family)

    @property
    def is_stopped(self) -> bool:
        """Whether somebody has stopped one of its processes with a signal."""
        return any(process.is_stopped for process in self._family)

    def fail_open(self) -> None:
        """End every request and every question that is under way with `EngineDeadError`."""
        self._engine.output_processor.propagate_error(EngineDeadError())
        for question in list(self._engine.engine_core.utility_results.values()):
            if not question.done():
                question.set_exception(EngineDeadError())

    async def bury(self) -> None:
        """Kill what is left of its processes, and take away what they leave in shared memory."""
        for process in self._family:
            process.kill()
        putting_away = asyncio.to_thread(self._engine.engine_core.shutdown, timeout=0)
        with suppress(TimeoutError):
            await asyncio.wait_for(putting_away, BURIAL_S)
        for segment in self._segments:
            segment.unlink(missing_ok=True)

    async def revive(self) -> None:
        """Start another core. Raises whatever vLLM raises if it does not start."""
        engine = self._engine
        # A fork of this process would hold on to clients' connections.
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
        # vLLM adds the new core's blocks to the old one's.
        engine.vllm_config.cache_config.num_gpu_blocks = None
        core = await asyncio.to_thread(self._start)
        await self._forget()
        engine.engine_core = core
        engine._run_output_handler()
        await engine.reset_mm_cache()
        self._meet()

    def _start(self) -> Any:
        """On a thread of its own: vLLM waits until the core is loaded."""
        config = self._engine.vllm_config
        core = EngineCoreClient.make_async_mp_client(
            vllm_config=config,
            executor_class=Executor.get_class(config),
            log_stats=self._engine.log_stats,
        )
        if self._given_up:
            core.shutdown(timeout=0)
            raise RuntimeError("the server has stopped")
        return core

    def give_up(self) -> None:
        """End a core that is being started. `revive` then fails."""
        self._given_up = True
        for child in multiprocessing.active_children():
            for process in family(child.pid or 0):
                process.kill()

    async def _forget(self) -> None:
        """Nothing of the old core's requests is left in the front end."""
        engine, processor = self._engine, self._engine.output_processor
        handler, engine.output_handler = engine.output_handler, None
        if handler is not None:
            # It must not tell the new core's requests of the old one's death.
            handler.cancel()
            await asyncio.wait({handler})
        for known in (
            processor.request_states, processor.parent_requests, processor.external_req_ids
        ):  # fmt: skip
            known.clear()
        processor.lora_states = LoRARequestStates(processor.log_stats)
        if engine.logger_manager is not None:
            engine.logger_manager.record(SchedulerStats(), None)

    def _meet(self) -> None:
        """Remember who the core's processes are, for the day when they must be killed."""
        multiprocessing.active_children()  # asking takes leave of those that were killed
        manager = self._engine.engine_core.resources.engine_manager
        roots = [child.pid for child in manager.processes] if manager is not None else []
        self._family = [process for root in roots for process in family(root)]
        self._segments = {part for process in self._family for part in process.segments()}
