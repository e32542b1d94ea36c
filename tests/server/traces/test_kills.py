"""Killed at any moment, the spooler, the writer and Postgres lose nothing that was acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from server.postgres.embedded import EmbeddedPostgres
from server.postgres.place import find_place
from server.traces.database import Database
from server.traces.status import ShippingStatus, lag
from server.traces.store import Store
from tests.server.postgres.test_embedded import postmaster
from tests.server.traces.spooling_child import numbered

ROOT = Path(__file__).parents[3]


class Cast:
    """A spooler, a writer and a Postgres over one home, each started again when it was killed."""

    def __init__(self, home: Path, rate: float) -> None:
        self.home, self.spool, self.rate = home, home / "spool", rate
        self.said = home / "acknowledged"
        self._lives = itertools.count()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.kills: Counter[str] = Counter()

    def keep_running(self) -> None:
        """Start again who is not there."""
        for role in ("spooler", "writer"):
            process = self._processes.get(role)
            if process is None or process.poll() is not None:
                self._processes[role] = self._start(role)

    def kill(self, role: str) -> None:
        """At once, and without a word. Who has not started yet is spared."""
        try:
            if role == "postgres":
                os.kill(postmaster(self.home), signal.SIGKILL)
            else:
                self._processes[role].kill()
                self._processes[role].wait()
        except (FileNotFoundError, ProcessLookupError, ValueError, IndexError):
            return
        self.kills[role] += 1

    def at_work(self) -> bool:
        """Whether the writer that lives now has written to a Postgres that lives."""
        status = ShippingStatus.load(self.spool)
        mine = status.pid == self._processes["writer"].pid and status.shipped > 0
        return mine and not status.away and (find_place(self.home).data / "postmaster.pid").exists()

    def stop(self, role: str) -> None:
        self._processes[role].terminate()
        self._processes[role].wait(60)

    def acknowledged(self) -> list[str]:
        """Whole lines: half of one was never said."""
        return self.said.read_text().split("\n")[:-1] if self.said.exists() else []

    def _start(self, role: str) -> subprocess.Popen[bytes]:
        # No bytecode is looked for again and again, so that a life begins sooner.
        environment = {**os.environ, "CONCORDANCE_HOME": str(self.home)}
        environment.pop("DATABASE_URL", None)
        arguments = ["server.cli", "ingest", "--spool", str(self.spool)]
        if role == "spooler":
            life = f"life{next(self._lives)}"
            arguments = [
                "tests.server.traces.spooling_child",
                str(self.spool),
                life,
                str(self.rate),
            ]
        with self.said.open("ab") as said, (self.home / f"{role}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                env=environment,
                stdout=said if role == "spooler" else log,
                stderr=log,
            )


def torment(cast: Cast, kills: int, seed: int) -> None:
    """Kill somebody at random, again and again, under load.

    A third of the kills come at any moment, also while others are still starting. For the rest it
    is waited until all are at work: else a slow machine never gets further than to start them.
    """
    rnd = random.Random(seed)
    cast.keep_running()
    wait_for(lambda: len(cast.acknowledged()) > 20, 60)
    while sum(cast.kills.values()) < kills:
        if rnd.random() < 2 / 3:
            wait_for(cast.at_work, 120)
        time.sleep(rnd.expovariate(2))
        cast.kill(rnd.choice(["spooler", "writer", "postgres"]))
        cast.keep_running()
    cast.keep_running()
    before = len(cast.acknowledged())
    wait_for(lambda: len(cast.acknowledged()) > before, 60)
    cast.stop("spooler")


def wait_for(condition: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def check(url: str, names: list[str]) -> None:
    """Every one is there, once, and byte for byte what was spooled."""
    database = await Database.open(url)
    store = Store(database)
    async with database.connection() as connection:
        twice = await connection.fetch(
            "select request_id from traces group by request_id having count(*) > 1"
        )
    assert twice == []
    for name in names:
        stored = await store.read(name)
        assert stored.trace.encode() == numbered(name).encode()
    await database.close()


def survive(home: Path, kills: int, rate: float, seed: int) -> Cast:
    cast = Cast(home, rate)
    torment(cast, kills, seed)
    wait_for(lambda: lag(cast.spool) == 0, 120)
    time.sleep(1.5)
    cast.stop("writer")
    server = EmbeddedPostgres(home)
    asyncio.run(check(server.start(), cast.acknowledged()))
    server.stop()
    return cast


def test_six_kills_lose_nothing(home: Path) -> None:
    cast = survive(home, 6, rate=100, seed=int.from_bytes(os.urandom(4)))
    assert len(cast.acknowledged()) > 50
    assert (cast.home / "writer.log").read_text().count("Traceback") == 0


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(4))
def test_fifty_kills_lose_nothing(home: Path, seed: int) -> None:
    """Four times fifty, at some 2,500 token events a second."""
    cast = survive(home, 50, rate=100, seed=seed)
    assert all(cast.kills[role] >= 5 for role in ("spooler", "writer", "postgres")), cast.kills
    assert (cast.home / "writer.log").read_text().count("Traceback") == 0
