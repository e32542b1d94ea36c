"""A server that streams as ours does, with the measured mods built in and a model of no size.

A step takes a fixed time. What a mod costs here is known, so that rows can be held to it.
"""

from __future__ import annotations

import asyncio
import json
import os
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from bench.mods import RUN_AT, RUN_FROM, TAKE_BACK, TAKE_BACK_FROM
from bench.server import Program, Server, Servers

STEP = 0.004
"""Seconds."""
RESTART_STEPS = 3
"""Steps that a backtrack, or a run that enters at once, takes instead of one."""

Event = tuple[int, list[int], int]
"""Steps to wait, then the tokens that come, and how many were taken back before them."""


def token(prompt: list[int], position: int) -> int:
    return zlib.crc32(repr((prompt, position)).encode()) % 1000


def plain(prompt: list[int], first: int, end: int) -> Iterator[Event]:
    yield from ((1, [token(prompt, position)], 0) for position in range(first, end))


def events(prompt: list[int], tokens: int, mod: str) -> Iterator[Event]:
    """The stream of a request with this mod, or without one if it is empty."""
    kind, _, amount = mod.rpartition("_")
    length = int(amount) if kind else 0
    if kind in ("steps", "once"):
        run = list(range(RUN_FROM, RUN_FROM + length))
        after = RUN_AT + length
        yield from plain(prompt, 0, RUN_AT)
        if kind == "steps":
            yield from ((1, [one], 0) for one in run)
            yield from plain(prompt, after, tokens)
        else:
            yield RESTART_STEPS, [*run, token(prompt, after)], 0
            yield from plain(prompt, after + 1, tokens)
    elif kind == "takes_back" and tokens > TAKE_BACK_FROM:
        yield from plain(prompt, 0, TAKE_BACK_FROM)
        for newest in range(TAKE_BACK_FROM, TAKE_BACK_FROM + length):
            kept = newest - TAKE_BACK
            yield RESTART_STEPS, [token(prompt, kept)], TAKE_BACK
            yield from plain(prompt, kept + 1, newest + 1)
        yield from plain(prompt, TAKE_BACK_FROM + length, tokens)
    else:
        yield from plain(prompt, 0, tokens)


def chunk(choice: dict[str, Any]) -> bytes:
    return line({"choices": [{"index": 0, "text": "", **choice}]})


def line(content: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(content, separators=(",", ":")).encode() + b"\n\n"


class FakeServer:
    """wrong: it writes other tokens than the others do. tracing: how many times as long a step
    takes in a request that is traced. loses: it keeps no trace.
    """

    def __init__(self, wrong: bool = False, tracing: float = 1.0, loses: bool = False) -> None:
        self.levels: Counter[str] = Counter()
        self._tracing, self._loses = tracing, loses
        self.uploaded: list[str] = []
        self.running = self.most = 0
        self._wrong = wrong
        self.app = web.Application()
        self.app.router.add_post("/v1/completions", self._complete)
        self.app.router.add_post("/v1/mods", self._upload)
        self.app.router.add_get("/metrics", self._metrics)

    async def _upload(self, request: web.Request) -> web.Response:
        self.uploaded.append((await request.json())["source"])
        return web.json_response({})

    async def _metrics(self, _: web.Request) -> web.Response:
        kept = 0 if self._loses else self.levels["tokens"] + self.levels["full"]
        return web.Response(
            text=f"concordance_segments_total 5.0\nconcordance_traces_total {kept}.0\n"
        )

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        mod = body["model"].split("/")[2:]
        level = body.get("trace", "off")
        self.levels[level] += 1
        step = STEP if level == "off" else STEP * self._tracing
        reply = web.StreamResponse()
        await reply.prepare(request)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            prompt = [*body["prompt"], 1] if self._wrong else body["prompt"]
            for steps, ids, removed in events(prompt, body["max_tokens"], "".join(mod)):
                await asyncio.sleep(steps * step)
                if removed and body.get("stream_removed"):
                    await reply.write(chunk({"removed": {"tokens": removed}}))
                told = {"token_ids": ids} if body.get("return_token_ids") else {}
                await reply.write(chunk(told))
        finally:
            self.running -= 1
        usage = {"completion_tokens": body["max_tokens"]}
        await reply.write(line({"choices": [], "usage": usage}))
        return reply


class FakeServers(Servers):
    """`Servers` whose programs are fakes in this process, none of which sleeps or starts."""

    def __init__(self, urls: dict[str, str]) -> None:
        super().__init__()
        self.woken: list[str] = []
        self._urls = urls

    async def get(self, program: Program) -> Server:
        # A pid tells clients apart, and that one's processor time is looked up.
        pid = os.getpid() if program.side == "ours" else os.getppid()
        return Server(program, self._urls[program.side], pid, Path())

    def wake(self, server: Server | None) -> None:
        self.woken.append(server.program.side if server else "")

    def others(self, server: Server) -> float:
        return 0.0


@asynccontextmanager
async def fakes(**sides: FakeServer) -> AsyncIterator[FakeServers]:
    """These fakes on ports of their own, by side."""
    runners, urls = [], {}
    for side, fake in sides.items():
        runner = web.AppRunner(fake.app, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
        urls[side] = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield FakeServers(urls)
    finally:
        for runner in runners:
            await runner.cleanup()
