"""The client against a small server of ours that streams as vLLM does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bench.answer import Ask
from bench.client import Connection, counter

CHUNKS: list[dict[str, Any]] = [
    {"choices": [{"text": "a", "token_ids": [1]}]},
    {"choices": [{"text": "bc", "token_ids": [2, 3]}]},
    {"choices": [{"text": "", "removed": {"index": 0, "text": "c", "tokens": 1}}]},
    {"choices": [{"text": "d", "token_ids": [4]}]},
]


def usage(tokens: int) -> dict[str, Any]:
    return {"choices": [], "usage": {"completion_tokens": tokens}}


@asynccontextmanager
async def serving(*chunks: dict[str, Any], status: int = 200) -> AsyncIterator[Connection]:
    """A connection to a server that answers every request with these events."""

    async def complete(request: web.Request) -> web.StreamResponse:
        await request.read()
        reply = web.StreamResponse(status=status)
        await reply.prepare(request)
        for chunk in chunks:
            line = json.dumps(chunk, separators=(",", ":"))
            await reply.write(f"data: {line}\n\n".encode())
        await reply.write(b"data: [DONE]\n\n")
        return reply

    app = web.Application()
    app.router.add_post("/v1/completions", complete)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            yield Connection(session, "base")
    finally:
        await runner.cleanup()


async def test_an_event_that_takes_back_and_the_next_tokens_are_one_gap() -> None:
    async with serving(*CHUNKS, usage(3)) as connection:
        answer = await connection.ask(Ask([9], 3, "m", watched=True))
    assert answer.ids == [1, 2, 4]
    assert [event.removed for event in answer.events] == [0, 0, 1]
    assert answer.text == "abcd"


async def test_without_watching_every_event_with_a_choice_counts_and_usage_does_not() -> None:
    begun: list[int] = []
    async with serving(*CHUNKS[:2], usage(3)) as connection:
        answer = await connection.ask(Ask([9], 3), lambda: begun.append(1))
    assert len(answer.events) == 2
    assert answer.tokens == 3
    assert answer.first <= answer.events[-1].time <= answer.end
    assert begun == [1]


async def test_an_answer_of_another_length_is_no_measurement() -> None:
    async with serving(*CHUNKS[:1], usage(1)) as connection:
        with pytest.raises(RuntimeError, match="expected 3 tokens"):
            await connection.ask(Ask([9], 3))


async def test_a_stream_that_breaks_off_is_no_measurement() -> None:
    async with serving(CHUNKS[0], {"error": {"message": "the mod is gone"}}) as connection:
        with pytest.raises(RuntimeError, match="the mod is gone"):
            await connection.ask(Ask([9], 3))


async def test_a_refusal_is_told_with_its_status() -> None:
    async with serving({"error": {"message": "no such model"}}, status=404) as connection:
        with pytest.raises(RuntimeError, match="404"):
            await connection.ask(Ask([9], 3))


def test_a_counter_is_the_sum_of_its_samples_alone() -> None:
    text = '# TYPE a_total counter\na_total{x="1"} 2.0\na_total{x="2"} 3.0\na_total_more 9.0\n'
    assert counter(text, "a_total") == 5
    assert counter(text, "b_total") == 0
