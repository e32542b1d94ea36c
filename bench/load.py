"""The requests: so many at once, each with a prompt that was never asked before.

A prompt that comes again is in the prefix cache, and would be measured as cheaper than it is.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from types import TracebackType
from typing import Any

import httpx

from bench.measure import Block, tree_seconds
from bench.server import Server
from server.demo import MODEL_NAME

MAX_TOKENS = 64
TOKENS_PER_BLOCK = 512
"""At least so many, or two requests in a row at every place: the kernel counts in ticks of 10 ms.
"""
SETTLE = 0.1
"""Seconds for what comes after the last answer, before processor time is read."""
TASK = "Say what you know of it: its capital, its colours, its numbers, and how you would count it."


class Load:
    """One client of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._numbers = itertools.count(100_000)
        self._client = httpx.AsyncClient(
            base_url=server.url,
            timeout=300,
            trust_env=False,  # no proxy on the way to this machine
            # The server closes what is idle for five seconds: let go of it before that.
            limits=httpx.Limits(max_connections=None, keepalive_expiry=2),
        )

    async def __aenter__(self) -> Load:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    def fresh(self) -> str:
        """A prompt whose first block of tokens is new, as long as every other."""
        return f"{next(self._numbers)} is the number of a country. {TASK}"

    async def upload(self, source: str) -> None:
        await self._post("/v1/mods", {"source": source})

    async def ask(self, prompt: str, mod: str | None) -> dict[str, Any]:
        """One greedy completion of `MAX_TOKENS` tokens, whatever the model would end it with.

        Raises `RuntimeError` if the answer is not as long as that.
        """
        body = {
            "model": f"{MODEL_NAME}/{mod}" if mod else MODEL_NAME,
            "prompt": prompt,
            "max_tokens": MAX_TOKENS,
            "temperature": 0,
            "ignore_eos": True,
        }
        answer = await self._post("/v1/completions", body)
        if answer["usage"]["completion_tokens"] != MAX_TOKENS:
            raise RuntimeError(f"expected {MAX_TOKENS} tokens, got {answer['usage']}")
        return answer

    async def block(self, concurrency: int, mod: str | None) -> Block:
        """Requests from `concurrency` places, each asking again when it has its answer."""
        in_a_row = max(2, TOKENS_PER_BLOCK // (MAX_TOKENS * concurrency))
        places = [[self.fresh() for _ in range(in_a_row)] for _ in range(concurrency)]
        counted = await self._counters()
        spent, began = tree_seconds(self._server.pid), time.perf_counter()
        answers = await asyncio.gather(*(self._in_turn(prompts, mod) for prompts in places))
        wall = time.perf_counter() - began
        await asyncio.sleep(SETTLE)
        cores = tree_seconds(self._server.pid) - spent
        segments, late = (b - a for a, b in zip(counted, await self._counters(), strict=True))
        tokens = in_a_row * concurrency * MAX_TOKENS
        erased = sum(map(sum, answers))
        return Block(tokens, tokens + erased, wall, cores, segments, late)

    async def _in_turn(self, prompts: list[str], mod: str | None) -> list[int]:
        """Asks one after the other. Returns how many tokens each took back."""
        usages = [(await self.ask(prompt, mod))["usage"] for prompt in prompts]
        return [int(usage.get("erased_tokens", 0)) for usage in usages]

    async def _counters(self) -> tuple[int, int]:
        """Segments so far, and how many of them were late."""
        text = (await self._client.get("/metrics")).text
        return (
            counter(text, "concordance_segments_total"),
            counter(text, "concordance_late_segments_total"),
        )

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = await self._client.post(path, json=body)
        if reply.is_error:
            raise RuntimeError(f"POST {path} was answered {reply.status_code}: {reply.text[:500]}")
        answer: dict[str, Any] = reply.json()
        return answer


def counter(metrics: str, name: str) -> int:
    """The sum of a counter's samples in Prometheus' text. Raises `RuntimeError` without any."""
    samples = re.findall(rf"^{re.escape(name)}(?:{{.*}})? (\S+)$", metrics, re.MULTILINE)
    if not samples:
        raise RuntimeError(f"/metrics has no {name}")
    return round(sum(map(float, samples)))
