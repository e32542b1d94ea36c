"""A client that does not read loses its connection; what waits for it is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from server.api.slow_reader import with_patience

PIECE = b"x" * 2**16


class Fountain:
    """Streams for ever, until its client is gone."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.sent = 0
        self.gone = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        send = with_patience(send, self.patience)
        await receive()
        leaving = asyncio.ensure_future(receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not leaving.done():
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            self.sent += len(PIECE)
            await asyncio.sleep(0)
        assert leaving.result()["type"] == "http.disconnect"
        self.gone.set()


@contextlib.asynccontextmanager
async def served(app: Any) -> Any:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        config = uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve([sock]))
        try:
            yield sock.getsockname()[1]
        finally:
            server.should_exit = server.force_exit = True
            await task


async def test_who_does_not_read_is_cut_off_and_never_gets_much() -> None:
    fountain = Fountain(patience=0.3)
    async with served(fountain) as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with asyncio.timeout(20):
                await fountain.gone.wait()
            # What the kernel and the web server hold, and no more.
            assert fountain.sent < 2**26


async def test_who_reads_slowly_but_steadily_is_left_alone() -> None:
    fountain = Fountain(patience=2.0)
    async with served(fountain) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        got = 0
        while got < 2**24:
            got += len(await reader.read(2**20))
        assert not fountain.gone.is_set()
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(20):
            await fountain.gone.wait()


async def test_where_there_is_no_connection_nothing_is_changed() -> None:
    async def send(message: Any) -> None: ...

    assert with_patience(send, 1.0) is send
