"""Starts `concai ingest` beside the server, and starts it again whenever it dies."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from server.traces.shipper import pause_after

log = logging.getLogger("concordance.traces")

STOP_SECONDS = 10.0
STEADY_SECONDS = 60.0
"""A process that ran for so long died of something new: it is started again without delay."""

_SECRETS = ("HF_TOKEN", "VLLM_API_KEY")


class Sidecar:
    """One child process, watched. `start` and `stop` it on the loop of the main thread: when the
    thread that starts it ends, it is killed.

    arguments: for `concai ingest`. environment: settings for it, in place of this process's.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = [sys.executable, "-m", "server.cli", "ingest", *arguments]
        self._command += ["--parent", str(os.getpid())]
        inherited = {name: value for name, value in os.environ.items() if name not in _SECRETS}
        self._environment = {**inherited, **environment}
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """Its process, None while there is none."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        self._watch = asyncio.create_task(self._keep_running())

    async def stop(self) -> None:
        """Let it finish what it is at, and end. Safe to call twice."""
        watch, self._watch = self._watch, None
        if watch is None:
            return
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _keep_running(self) -> None:
        attempt = 0
        while True:
            started = time.monotonic()
            self._process = await asyncio.create_subprocess_exec(
                *self._command, env=self._environment, stdin=asyncio.subprocess.DEVNULL
            )
            status = await self._process.wait()
            attempt = 0 if time.monotonic() - started > STEADY_SECONDS else attempt + 1
            log.warning("the ingest writer ended with status %d; it is started again", status)
            self.restarts += 1
            await asyncio.sleep(pause_after(attempt))
