"""The HTTP door: it stays open while the engine is away, and closes in good order.

The first SIGTERM or SIGINT lets requests that run the model finish and takes no more of them; the
second ends them. vLLM's own loop would stop the engine first, and end with the engine.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from server.api.readiness import Readiness

log = logging.getLogger("concordance")

CLOSING_S = 2
"""How long connections have to close that are left when everything is done: streams of logs."""
LOOK_S = 0.1


class Door:
    """Serves an application until it is told to stop. under_way: requests that run the model."""

    def __init__(self, readiness: Readiness, under_way: Callable[[], int], drain_s: float) -> None:
        self._readiness, self._under_way, self._drain_s = readiness, under_way, drain_s
        self._told = asyncio.Event()
        self._hurry = asyncio.Event()

    async def serve(self, app: Any, sock: socket.socket, options: Namespace) -> None:
        """Returns when the door is closed."""
        server, refresher = _server(app, options)
        app.state.server = server
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        closing = asyncio.create_task(self._close(server))
        try:
            await server.serve(sockets=[sock])
        finally:
            closing.cancel()
            if refresher is not None:
                refresher.stop()

    def stop(self) -> None:
        """Finish what is under way; the second time, do not."""
        (self._hurry if self._told.is_set() else self._told).set()

    async def _close(self, server: Any) -> None:
        await self._told.wait()
        self._readiness.stopping = True
        left = self._under_way()
        if left:
            log.warning(
                "stopping: %d requests have %g seconds to finish (stop again to end them)",
                left, self._drain_s,
            )  # fmt: skip
        limit = time.monotonic() + self._drain_s
        while self._under_way() and time.monotonic() < limit and not self._hurry.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), LOOK_S)
        if self._under_way():
            log.warning("%d requests were not finished", self._under_way())
        server.should_exit = True
        await self._hurry.wait()
        server.force_exit = True


def _server(app: Any, options: Namespace) -> tuple[Any, Any]:
    """vLLM's web server with its options, and what watches its certificates."""
    import uvicorn
    from vllm.entrypoints.launchers.launcher import NoSignalServer
    from vllm.entrypoints.launchers.utils.constants import (
        H11_MAX_HEADER_COUNT_DEFAULT,
        H11_MAX_INCOMPLETE_EVENT_SIZE_DEFAULT,
    )
    from vllm.entrypoints.launchers.utils.server_utils import get_uvicorn_log_config
    from vllm.entrypoints.launchers.utils.ssl import SSLCertRefresher

    more: dict[str, Any] = {}
    log_config = get_uvicorn_log_config(options)
    if log_config is not None:
        more["log_config"] = log_config
    config: Any = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        log_level=options.uvicorn_log_level,
        access_log=not options.disable_uvicorn_access_log,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=CLOSING_S,
        ssl_keyfile=options.ssl_keyfile,
        ssl_certfile=options.ssl_certfile,
        ssl_ca_certs=options.ssl_ca_certs,
        ssl_cert_reqs=options.ssl_cert_reqs,
        ssl_ciphers=options.ssl_ciphers,
        **more,
    )
    config.h11_max_incomplete_event_size = (
        options.h11_max_incomplete_event_size or H11_MAX_INCOMPLETE_EVENT_SIZE_DEFAULT
    )
    config.h11_max_header_count = options.h11_max_header_count or H11_MAX_HEADER_COUNT_DEFAULT
    config.load()
    refresher = None
    if options.enable_ssl_refresh:
        refresher = SSLCertRefresher(
            ssl_context=config.ssl,
            key_path=config.ssl_keyfile,
            cert_path=config.ssl_certfile,
            ca_path=config.ssl_ca_certs,
        )
    return NoSignalServer(config), refresher
