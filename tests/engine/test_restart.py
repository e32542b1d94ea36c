"""The engine is killed or stopped under the server: everybody is told at once, and it comes back.

These tests kill, so they have a server of their own.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.engine.processes import family
from tests.engine.conftest import OPTIONS
from tests.engine.live import MODEL, Live, serving
from tests.timing import in_time, reaches

SILENCE_S = 6.0
LOOK_S = 0.05
QUESTION = "Count to ten."
AHOY = """
from mods.sdk import *

@mod
def ahoy(event, actions, tokenizer):
    if isinstance(event, ForwardPass) and event.position == 0:
        return actions.force_tokens("AHOY")
"""
OPEN_DOORS = ("/health", "/v1/models", "/v1/mods", "/logs", "/metrics", "/")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server whose engine may be killed. A silent engine is given little time."""
    given = {
        "CONCORDANCE_ENGINE_SILENCE_S": str(SILENCE_S),
        "CONCORDANCE_SLOW_READER_S": "2",
        "CONCORDANCE_HARD_DEADLINE_S": "3",
    }
    with serving(tmp_path_factory.mktemp("home"), *OPTIONS, **given) as server:
        server.upload(AHOY, name="ahoy")
        yield server


@pytest.fixture
def mortal(served: Live) -> Live:
    """It, whole again: an earlier test may have left it in pieces."""
    assert reaches(lambda: _health(served)[0] == 200, 240)
    return served


class Stream(threading.Thread):
    """A stream that would go on for minutes, and when it ended in what."""

    def __init__(self, live: Live, *mods: str, **more: Any) -> None:
        super().__init__(daemon=True)
        self.url = f"{live.url}/v1/chat/completions"
        self.body = {
            "model": "/".join([MODEL, *mods]), "temperature": 0, "stream": True,
            "messages": [{"role": "user", "content": QUESTION}],
            "max_tokens": 1800, "ignore_eos": True, **more,
        }  # fmt: skip
        self.pieces = 0
        self.error: dict[str, Any] | None = None
        self.finish: str | None = None
        self.ended: float | None = None
        self.start()

    def run(self) -> None:
        try:
            with httpx.stream("POST", self.url, json=self.body, timeout=120) as answer:
                for line in answer.iter_lines():
                    if line.startswith("data: {"):
                        self.pieces += 1
                        event = json.loads(line[6:])
                        self.error = event.get("error") or self.error
                        for choice in event.get("choices") or ():
                            self.finish = choice["finish_reason"] or self.finish
        except httpx.HTTPError:
            pass  # A server that ends takes its connections with it.
        finally:
            self.ended = time.monotonic()


def under_way(live: Live, *mods: str) -> Stream:
    """One that has begun. They are begun one by one: each ends by itself after some seconds."""
    stream = Stream(live, *mods)
    assert reaches(lambda: stream.pieces > 5, 60)
    return stream


class Visitor(threading.Thread):
    """Knocks at every door that must stay open."""

    def __init__(self, live: Live) -> None:
        super().__init__(daemon=True)
        self.url, self.enough = live.url, threading.Event()
        self.closed: list[str] = []
        self.slowest = 0.0
        self.client = httpx.Client(timeout=120)
        self.usual = {path: self.client.get(self.url + path).status_code for path in OPEN_DOORS}

    def run(self) -> None:
        while not self.enough.wait(LOOK_S):
            for path in OPEN_DOORS:
                began = time.monotonic()
                try:
                    status = self.client.get(self.url + path).status_code
                except httpx.HTTPError as error:
                    self.closed.append(f"{path}: {error!r}")
                    continue
                self.slowest = max(self.slowest, time.monotonic() - began)
                if status != self.usual[path] and (path, status) != ("/health", 503):
                    self.closed.append(f"{path}: {status}")


def worker_of(live: Live) -> int:
    return next(pid for pid in live.engine_processes() if "Worker" in _name(pid))


def core_of(live: Live) -> int:
    return next(pid for pid in live.engine_processes() if "EngineCor" in _name(pid))


def _name(pid: int) -> str:
    """As the kernel keeps it: 15 characters."""
    return Path(f"/proc/{pid}/comm").read_text()


def _segments(live: Live) -> set[Path]:
    """What the engine's processes share."""
    return {part for process in family(core_of(live)) for part in process.segments()}


def goes_away_and_comes_back(
    live: Live, do_it: Callable[[], None], known_within: float = 0.0
) -> None:
    """The whole of it. known_within: seconds in which the server may find out at the latest."""
    old, shared = live.engine_processes(), _segments(live)
    restarts = live.metric("concordance_engine_restarts_total")
    visitor = Visitor(live)
    streams = [under_way(live, "ahoy"), under_way(live)]
    do_it()
    did = time.monotonic()
    visitor.start()
    try:
        _goes_and_comes(live, did, known_within, streams, restarts)
    finally:
        visitor.enough.set()
        visitor.join(60)
        visitor.client.close()
    print(f"slowest other answer {visitor.slowest:.2f} s")
    assert visitor.closed == []
    _works_as_before(live)
    assert not live.engine_processes() & old
    assert shared
    assert not [segment for segment in shared if segment.exists()]


def _goes_and_comes(
    live: Live,
    did: float,
    known_within: float,
    streams: list[Stream],
    restarts: float,
) -> None:
    """did: when it was done."""
    # Whoever comes from now on is told within a second.
    assert reaches(lambda: live.post(*short()).status_code == 503, known_within + 1.0)
    refused = live.post(*short())
    told = time.monotonic() - did
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == 503
    assert int(refused.headers["retry-after"]) >= 1
    # A request may meet the dead engine a moment before its keeper does.
    assert reaches(lambda: _health(live) == (503, "restarting"), 1.0)
    assert live.metric("concordance_engine_up") == 0
    for stream in streams:
        stream.join(120)
        assert stream.error is not None, f"ended as {stream.finish}, {stream.pieces} pieces"
        assert stream.error["code"] == 503
        assert stream.ended is not None
    ended = max(stream.ended or 0.0 for stream in streams) - did
    assert reaches(lambda: live.metric("concordance_engine_restarts_total") > restarts, 240)
    back = time.monotonic() - did
    print(f"told after {told:.2f} s, streams ended after {ended:.2f} s, back after {back:.1f} s")
    assert in_time(ended, known_within + 2.0)


def _health(live: Live) -> tuple[int, str]:
    answer = httpx.get(f"{live.url}/health", timeout=10)
    return answer.status_code, str(answer.json()["status"])


def short() -> tuple[str, dict[str, Any]]:
    """A request for one token: its path and body."""
    return "/v1/completions", {"model": MODEL, "prompt": "One,", "max_tokens": 1}


def _works_as_before(live: Live) -> None:
    health = httpx.get(f"{live.url}/health", timeout=10)
    assert (health.status_code, health.json()["status"]) == (200, "ok")
    assert live.metric("concordance_engine_up") == 1
    assert live.say(QUESTION)
    assert live.say(QUESTION, "ahoy").startswith("AHOY")
    assert live.say(QUESTION, structured_outputs={"choice": ["yes", "no"]}) in ("yes", "no")
    assert reaches(lambda: live.metric("vllm:num_requests_running") == 0, 10)
    assert live.metric("concordance_sessions_running") == 0


def test_a_core_that_is_killed_is_replaced(mortal: Live) -> None:
    core = core_of(mortal)
    goes_away_and_comes_back(mortal, lambda: os.kill(core, signal.SIGKILL))


def test_a_worker_that_is_stuck_is_replaced(mortal: Live) -> None:
    worker = worker_of(mortal)
    goes_away_and_comes_back(mortal, lambda: os.kill(worker, signal.SIGSTOP), SILENCE_S + 2.0)


@pytest.mark.prove
def test_a_worker_that_is_killed_is_replaced(mortal: Live) -> None:
    worker = worker_of(mortal)
    goes_away_and_comes_back(mortal, lambda: os.kill(worker, signal.SIGKILL))


@pytest.mark.prove
def test_a_core_that_is_stuck_is_replaced(mortal: Live) -> None:
    core = core_of(mortal)
    goes_away_and_comes_back(mortal, lambda: os.kill(core, signal.SIGSTOP), SILENCE_S + 2.0)


def test_an_engine_that_is_held_up_for_a_moment_is_left_alone(mortal: Live) -> None:
    processes, worker = mortal.engine_processes(), worker_of(mortal)
    stream = Stream(mortal, max_tokens=200)
    assert reaches(lambda: stream.pieces > 5, 60)
    os.kill(worker, signal.SIGSTOP)
    time.sleep(SILENCE_S / 3)
    os.kill(worker, signal.SIGCONT)
    stream.join(120)
    assert stream.error is None
    assert stream.pieces > 100
    assert mortal.engine_processes() == processes


def test_a_client_that_does_not_read_is_cut_off_and_its_request_aborted(mortal: Live) -> None:
    cut_off = mortal.metric("concordance_slow_readers_total")
    # Fat events, so that they fill what the kernel holds for a connection.
    body = {
        "model": MODEL, "prompt": "One, two,", "max_tokens": 1900, "n": 8, "logprobs": 20,
        "ignore_eos": True, "stream": True, "temperature": 1.0,
    }  # fmt: skip
    payload = json.dumps(body).encode()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", int(mortal.url.rsplit(":", 1)[1])))
        client.sendall(
            b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: " + str(len(payload)).encode() + b"\r\n\r\n" + payload
        )

        def is_cut_off() -> bool:
            return mortal.metric("concordance_slow_readers_total") > cut_off

        # Whoever looks late sees no more of it than that.
        assert reaches(lambda: mortal.metric("vllm:num_requests_running") > 0 or is_cut_off(), 30)
        assert reaches(is_cut_off, 120)
        assert reaches(lambda: mortal.metric("vllm:num_requests_running") == 0, 5)
    assert mortal.say(QUESTION)
