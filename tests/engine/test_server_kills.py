"""The whole server is killed under load, again and again: what was answered can be read back.

The reference engine answers, which is there sooner; the spool, the writer, Postgres and the mod
hosts are the server's own.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from server.engine.processes import family
from tests.engine.live import Live, open_home, serving
from tests.engine.mods import REWRITE
from tests.server.postgres.test_embedded import postmaster
from tests.timing import reaches

SETTINGS = {"CONCORDANCE_BACKEND": "huggingface", "CONCORDANCE_EMBEDDED_POSTGRES": "true"}
CLIENTS = 6
DURABLE_S = 0.5
"""After its answer a trace is on disk; 50 ms are meant, and a busy machine has its pauses."""


@dataclass(frozen=True)
class Answered:
    request_id: str
    text: str
    at: float


class Crowd:
    """Clients that ask until the server is gone."""

    def __init__(self, live: Live, mod: str) -> None:
        self.answers: list[Answered] = []
        self._live, self._mods = live, ((), (mod,))
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)

    def _ask(self, number: int) -> None:
        with suppress(httpx.HTTPError):
            for turn in range(10_000):
                answer = self._live.chat(f"Count from {number} to {turn}.", *self._mods[turn % 2])
                if answer.status_code != 200:
                    return
                said = answer.json()
                text = said["choices"][0]["message"]["content"]
                self.answers.append(Answered(said["id"], text, time.monotonic()))


def kill_all(live: Live, home: Path) -> None:
    """Everything that belongs to it, its Postgres included, at once and without a word."""
    pids = [process.pid for process in family(live.process.pid)]
    with suppress(FileNotFoundError):
        pids.append(postmaster(home))
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    live.process.wait(60)


def one_life(home: Path, number: int) -> list[Answered]:
    """Start it, load it, kill it. Returns what had been answered well before.

    The mod is uploaded in the first life, and found in all others.
    """
    chance = random.Random(number)
    with serving(home, **SETTINGS) as live:
        if number == 0:
            live.upload(REWRITE, name="kept")
        # A Postgres that was killed may need longer than the server waits for it.
        assert reaches(lambda: "kept" in _mods_of(live), 60)
        crowd = Crowd(live, "kept")
        assert reaches(lambda: len(crowd.answers) > CLIENTS, 60)
        time.sleep(chance.uniform(0.5, 4))
        killed = time.monotonic()
        kill_all(live, home)
        crowd.join()
    return [answer for answer in crowd.answers if answer.at < killed - DURABLE_S]


def test_what_was_uploaded_is_served_as_soon_as_the_server_is_ready_again() -> None:
    with open_home() as home:
        with serving(home, **SETTINGS) as live:
            live.upload(REWRITE, name="kept")
            said = live.say("Count from 1 to 3.", "kept")
        with serving(home, **SETTINGS) as live:
            assert live.say("Count from 1 to 3.", "kept") == said


@pytest.mark.prove
def test_ten_kills_of_the_whole_server_lose_nothing_that_was_answered() -> None:
    with open_home() as home:
        lives = [one_life(home, number) for number in range(10)]
        answered = [answer for life in lives for answer in life]
        with serving(home, **SETTINGS) as live:
            assert reaches(lambda: _is_stored(live, answered[-1].request_id), 60)
            wrong = [answer for answer in answered if _text_of(live, answer) != answer.text]
            ids = _all_ids(live)
        print(f"{[len(life) for life in lives]} answers, {len(ids)} traces")
        assert wrong == []
        assert len(ids) == len(set(ids))
        assert {answer.request_id for answer in answered} <= set(ids)


def _mods_of(live: Live) -> set[str]:
    return {mod["name"] for mod in httpx.get(f"{live.url}/v1/mods", timeout=30).json()["data"]}


def _is_stored(live: Live, request_id: str) -> bool:
    return httpx.get(f"{live.url}/logs/{request_id}", timeout=30).status_code == 200


def _text_of(live: Live, answer: Answered) -> str | None:
    found = httpx.get(f"{live.url}/logs/{answer.request_id}", timeout=30)
    return found.json()["request"]["final_text"] if found.status_code == 200 else None


def _all_ids(live: Live) -> list[str]:
    ids: list[str] = []
    cursor = None
    while True:
        query = {"limit": "1000", **({"cursor": cursor} if cursor else {})}
        page = httpx.get(f"{live.url}/logs", params=query, timeout=30).json()
        ids += [row["request_id"] for row in page["data"]]
        cursor = page["next"]
        if cursor is None:
            return ids
