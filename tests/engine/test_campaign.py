"""Everything at once: mods, constraints, clients that leave, hosts that are killed. Then a look
round: nothing has leaked, nobody saw another's canary, every request is accounted for.
"""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from mods.runtime.host.restarts import WINDOW
from server.engine.processes import family
from server.mods.registry import FALLS
from tests.engine.live import MODEL, Live
from tests.engine.test_law_5 import CANARY, pieces
from tests.timing import reaches, since

CLIENTS = 64
MODS = 4
HOST_DIED = 424
KILL_EVERY_S = 4.0
BEGUN = re.compile(r"at output token \d+: '<' cannot follow '[^']*<\d{0,6}'")
"""What a request fails with where the model began a canary and the mod forced another into it."""


@pytest.fixture(scope="module")
def canaries(live: Live) -> list[str]:
    sources = [CANARY.format(number=number) for number in range(MODS)]
    return [live.upload(source.replace("def canary_", "def crowded_")) for source in sources]


class Fate:
    """What one request is, and what its client does."""

    def __init__(self, number: int, mods: list[str]) -> None:
        chance = random.Random(number)
        self.canary = str(100_000 + number)
        kind = ("mod", "constraint", "both", "plain")[number % 4]
        self.forced = kind in ("mod", "both")
        self.constrained = kind in ("constraint", "both")
        self.streams = chance.random() < 0.5
        self.patience = chance.uniform(0.02, 1.0) if chance.random() < 0.15 else 300.0
        """Seconds without an answer after which the client goes away."""
        filler = " ".join(str(chance.randrange(1000)) for _ in range(chance.choice([1, 1, 5, 300])))
        self.body: dict[str, Any] = {
            "model": f"{MODEL}/{mods[number // 4 % len(mods)]}" if self.forced else MODEL,
            "messages": [{"role": "user", "content": f"{filler} say <{self.canary}>"}],
            "max_tokens": chance.randrange(30, 60),
            "temperature": chance.choice([0.0, 1.0]),
            "stream": self.streams,
        }
        if self.constrained:
            # Whatever a mod or the model writes, only this canary fits.
            pattern = rf"(<{self.canary}>|[a-z ]){{1,400}}"
            self.body["structured_outputs"] = {"regex": pattern}
        else:
            self.body["ignore_eos"] = True

    def judge(self, text: str) -> str | None:
        """What is wrong with an answer, None if nothing is."""
        found = set(re.findall(r"<(\d{6})>", text))
        if found - {self.canary}:
            return f"{self.canary}: saw {found}"
        if self.forced and not found:
            return f"{self.canary}: its own canary is missing from {text!r:.80}"
        return None


def live_through(live: Live, fate: Fate) -> tuple[str, str | None]:
    """Send one request. Returns how it ended, and what is wrong with that."""
    url = f"{live.url}/v1/chat/completions"
    try:
        if fate.streams:
            text = "".join(pieces(url, fate))  # type: ignore[arg-type]
        else:
            patience = httpx.Timeout(300, read=fate.patience)
            answer = httpx.post(url, json=fate.body, timeout=patience)
            assert answer.status_code == 200, answer.text
            text = answer.json()["choices"][0]["message"]["content"]
    except httpx.ReadTimeout:
        return "left", None if fate.patience < 300 else f"{fate.canary}: no answer"
    except AssertionError as error:
        if fate.forced and str(HOST_DIED) in str(error):
            return "host died", None
        if fate.forced and fate.constrained and BEGUN.search(str(error)):
            return "broken", None
        return "failed", f"{fate.canary}: {error}"
    return "answered", fate.judge(text)


class Killer(threading.Thread):
    """Ends a host at random every few seconds, but never so many that a mod would be set aside."""

    def __init__(self, live: Live) -> None:
        super().__init__(daemon=True)
        self.live, self.enough = live, threading.Event()
        self.killed = 0
        self.start()

    def run(self) -> None:
        chance = random.Random(8)
        latest = deque[float](maxlen=FALLS - 1)
        while not self.enough.wait(KILL_EVERY_S):
            hosts = hosts_of(self.live)
            if hosts and (len(latest) < FALLS - 1 or since(latest[0]) > 1.1 * WINDOW):
                os.kill(chance.choice(hosts), signal.SIGKILL)
                latest.append(time.monotonic())
                self.killed += 1


def hosts_of(live: Live) -> list[int]:
    """Processes in which mods run: children of the one that is forked for them."""
    zygotes = {
        process.pid
        for process in family(live.process.pid)
        if b"mods.runtime.host.zygote" in _read(process.pid, "cmdline")
    }
    return sorted(pid for pid in zygotes if _parent(pid) in zygotes)


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _parent(pid: int) -> int:
    found = re.search(rb"PPid:\s+(\d+)", _read(pid, "status"))
    return int(found[1]) if found else 0


class Household:
    """What a server holds while nobody asks it anything."""

    def __init__(self, live: Live) -> None:
        # Traces are finished, and hosts told of the end, a moment after the answer.
        assert reaches(lambda: _unfinished(live) == 0, 60), "requests never end"
        self.cache = live.metric("vllm:kv_cache_usage_perc")
        self.traces = live.metric("concordance_traces_total")
        self.sessions = live.metric("concordance_sessions_total")
        self.dropped = live.metric("concordance_traces_dropped_total")
        self.processes = live.engine_processes()
        self.descriptors = len(list(Path(f"/proc/{live.process.pid}/fd").iterdir()))
        found = re.search(rb"VmRSS:\s+(\d+)", _read(live.process.pid, "status"))
        assert found is not None
        self.memory = int(found[1])
        """Of the API's process, in KiB."""


def _unfinished(live: Live) -> float:
    names = ("vllm:num_requests_running", "vllm:num_requests_waiting", "concordance_traces_pending",
             "concordance_sessions_running", "concordance_requests_queued")  # fmt: skip
    return sum(live.metric(name) for name in names)


def campaign(live: Live, mods: list[str], requests: int, more_memory: float) -> None:
    """more_memory: by which part of itself the API's memory may have grown."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        # As many as there are clients, so that every buffer and thread is there.
        list(pool.map(lambda n: live_through(live, Fate(n, mods)), range(2 * CLIENTS)))
        before = Household(live)
        fates = [Fate(number, mods) for number in range(requests)]
        killer = Killer(live)
        ends = list(pool.map(lambda fate: live_through(live, fate), fates))
        killer.enough.set()
        killer.join(30)
    after = Household(live)
    told = Counter(how for how, _ in ends)
    print(
        f"{dict(told)}, {killer.killed} hosts killed; memory {before.memory} to {after.memory} KiB"
    )
    assert [wrong for _, wrong in ends if wrong] == []
    assert sum(told.values()) == requests
    assert told["host died"] <= killer.killed * CLIENTS
    assert told["answered"] > requests / 2
    # Whoever left may have left before the engine saw the request, and nobody else.
    traced = after.traces - before.traces
    assert after.dropped == before.dropped
    assert told["answered"] <= traced <= requests
    assert requests - traced <= told["left"] + told["host died"]
    assert after.processes == before.processes
    assert after.cache == before.cache == 0
    assert len(hosts_of(live)) <= 64
    assert after.descriptors <= before.descriptors + CLIENTS
    assert after.memory <= before.memory * (1 + more_memory)
    for mod in mods:
        assert live.chat("again <424242>", mod).status_code == 200


def test_three_hundred_requests_leave_nothing_behind(live: Live, canaries: list[str]) -> None:
    campaign(live, canaries, 300, more_memory=0.1)


@pytest.mark.prove
def test_ten_thousand_requests_leave_nothing_behind(live: Live, canaries: list[str]) -> None:
    campaign(live, canaries, int(os.environ.get("CAMPAIGN_REQUESTS", "10000")), more_memory=0.05)
