"""The client: it asks one server, as its users do, by streams, and counts as the server counts.

Work is fixed and the loop is closed: a place asks again when it has its answer, and a block lasts
until the last answer is whole. Every block begins with new connections and one small request, so
that no side starts colder than the other.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from bench.answer import Answer, Ask, Block, Event
from bench.processes import tree_seconds
from bench.prompts import Prompts
from bench.server import Server, Servers

TIMEOUT = 600.0
SETTLE = 0.1
"""Seconds for what comes after the last answer, before processor time is read."""
WARM_TOKENS = 4
NOISE_SECONDS = 0.1
"""Processor time that all other servers together may use during a block."""


class Connection:
    """Connections to one server that is awake."""

    def __init__(self, session: aiohttp.ClientSession, model: str) -> None:
        self._session, self._model = session, model

    async def ask(self, ask: Ask, began: Callable[[], object] = lambda: None) -> Answer:
        """Post one request and read its stream. Calls `began` when its first token is there.

        Raises `RuntimeError` if it is refused or its answer is shorter than was asked for.
        """
        path = "/v1/chat/completions" if ask.is_chat else "/v1/completions"
        start = time.perf_counter()
        events: list[Event] = []
        usage: dict[str, Any] = {}
        text = ""
        async with self._session.post(path, json=ask.body(self._model)) as reply:
            if reply.status != 200:
                raise RuntimeError(f"{path} was answered {reply.status}: {await reply.text()}")
            async for line in reply.content:
                if not line.startswith(b"data: {"):
                    continue
                now = time.perf_counter() - start
                if b'"usage":{' in line:
                    usage = json.loads(line[6:])["usage"]
                elif b'"error":' in line:
                    raise RuntimeError(f"{path} broke off: {line.decode()[:500]}")
                elif not ask.watched:
                    events.append(Event(now))
                else:
                    text += _read(line, now, events)
                if len(events) == 1:
                    began()
        answer = Answer(ask, events, usage, time.perf_counter() - start, text)
        if answer.tokens != ask.tokens and "response_format" not in ask.fields:
            raise RuntimeError(f"expected {ask.tokens} tokens, got {usage}")
        return answer

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """Raises `RuntimeError` if it is refused."""
        async with self._session.post(path, json=body) as reply:
            if reply.status >= 400:
                raise RuntimeError(f"{path} was answered {reply.status}: {await reply.text()}")
            return await reply.json()

    async def counters(self, *names: str) -> list[int]:
        """What these metrics have counted so far; 0 for one that is not there."""
        async with self._session.get("/metrics") as reply:
            text = await reply.text()
        return [counter(text, name) for name in names]


class Client:
    """One server's, for as long as it lives."""

    def __init__(self, server: Server, servers: Servers, prompts: Prompts) -> None:
        self.server, self._servers, self._prompts = server, servers, prompts
        self._uploaded: set[str] = set()

    @asynccontextmanager
    async def awake(self, *mods: str | None) -> AsyncIterator[Connection]:
        """Connections to the server, the only one that works meanwhile.

        mods: those that the small request names which goes first, one request each.
        """
        self._servers.wake(self.server)
        async with aiohttp.ClientSession(
            self.server.url,
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(TIMEOUT),
            trust_env=False,  # no proxy on the way to this machine
        ) as session:
            connection = Connection(session, self.server.model.name)
            for mod in mods or (None,):
                await connection.ask(Ask(self._prompts.fresh(WARM_TOKENS), WARM_TOKENS, mod))
            yield connection

    async def upload(self, sources: dict[str, str]) -> None:
        """Register mods, by name and source, that the server does not have yet."""
        async with self.awake() as connection:
            for name in sources.keys() - self._uploaded:
                await connection.post("/v1/mods", {"source": sources[name]})
                self._uploaded.add(name)

    async def block(self, places: Sequence[Sequence[Ask]]) -> Block:
        """Ask from all places at once, at each place one after the other.

        Raises `RuntimeError` if another server worked meanwhile.
        """
        mods = {ask.mod for asks in places for ask in asks}
        async with self.awake(*mods) as connection:
            counted = await self._counters(connection)
            spent, others = tree_seconds(self.server.pid), self._servers.others(self.server)
            began = time.perf_counter()
            answers = await asyncio.gather(*(_in_turn(connection, asks) for asks in places))
            wall = time.perf_counter() - began
            await asyncio.sleep(SETTLE)
            cores = tree_seconds(self.server.pid) - spent
            if (idle := self._servers.others(self.server) - others) > NOISE_SECONDS:
                raise RuntimeError(f"servers that nobody asked used {idle:.2f} processor seconds")
            after = await self._counters(connection)
        segments, late = (b - a for a, b in zip(counted, after, strict=True))
        return Block([answer for place in answers for answer in place], wall, cores, segments, late)

    async def _counters(self, connection: Connection) -> list[int]:
        names = ("concordance_segments_total", "concordance_late_segments_total")
        return await connection.counters(*names)


async def _in_turn(connection: Connection, asks: Sequence[Ask]) -> list[Answer]:
    return [await connection.ask(ask) for ask in asks]


def _read(line: bytes, now: float, events: list[Event]) -> str:
    """Take in one event of a watched stream. Returns its text."""
    choices = json.loads(line[6:]).get("choices")
    if not choices:
        return ""
    (choice,) = choices
    delta = choice.get("delta", choice)
    removed = (delta.get("removed") or {}).get("tokens", 0)
    ids = choice.get("token_ids") or []
    if removed:
        events.append(Event(now, [], removed))
    elif ids and events and events[-1].removed and not events[-1].ids:
        # What was taken back is told just before the tokens that come in its place.
        events[-1] = Event(now, ids, events[-1].removed)
    elif ids:
        events.append(Event(now, ids))
    return delta.get("text") or delta.get("content") or ""


def counter(metrics: str, name: str) -> int:
    """The sum of a counter's samples in Prometheus' text, 0 without any."""
    samples = re.findall(rf"^{re.escape(name)}(?:{{.*}})? (\S+)$", metrics, re.MULTILINE)
    return round(sum(map(float, samples)))
