"""What a mod does wrong costs its own requests: each with its status, nobody else's stream."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.engine.live import MODEL, Live
from tests.engine.mods import NOOP
from tests.timing import reaches

QUESTION = "Count to ten."


class Neighbour(threading.Thread):
    """A long stream without mods (or with a well-behaved one), and when its pieces came."""

    def __init__(self, live: Live, model: str) -> None:
        super().__init__(daemon=True)
        self.live, self.model = live, model
        self.times: list[float] = []
        self.tokens: list[int] = []
        self.refused = ""
        self.enough = threading.Event()

    def run(self) -> None:
        while not self.enough.is_set() and not self.refused:
            self._listen()

    def _listen(self) -> None:
        """One stream to its end, or to the first line that is an error."""
        body = {
            "model": self.model, "prompt": "One, two,", "max_tokens": 1500, "temperature": 0,
            "ignore_eos": True, "stream": True, "return_token_ids": True,
        }  # fmt: skip
        url = f"{self.live.url}/v1/completions"
        with httpx.stream("POST", url, json=body, timeout=120) as answer:
            for line in answer.iter_lines():
                if '"error"' in line:
                    self.refused = line
                if self.enough.is_set() or self.refused:
                    return
                if line.startswith("data: {"):
                    self.times.append(time.monotonic())
                    self.tokens.extend(json.loads(line[6:])["choices"][0].get("token_ids") or ())

    def wait_for(self, more: int) -> None:
        """Wait until this many more tokens have come: the stream goes on."""
        wanted = len(self.tokens) + more
        limit = time.monotonic() + 60
        while len(self.tokens) < wanted and not self.refused and time.monotonic() < limit:
            time.sleep(0.02)
        assert not self.refused, f"the neighbour paid for it: {self.refused}"
        assert len(self.tokens) >= wanted, "the neighbour's stream has stopped"

    def longest_gap(self) -> float:
        pairs = zip(self.times, self.times[1:], strict=False)
        return max((later - earlier for earlier, later in pairs), default=0.0)


@contextmanager
def neighbours(live: Live, *models: str) -> Iterator[list[Neighbour]]:
    streams = [Neighbour(live, model) for model in models]
    for stream in streams:
        stream.start()
    for stream in streams:
        stream.wait_for(10)
    yield streams
    for stream in streams:
        stream.wait_for(20)
        print(f"{stream.model}: longest gap {stream.longest_gap() * 1000:.0f} ms")
        stream.enough.set()
        stream.join(30)


@pytest.fixture(scope="module")
def noop(live: Live) -> str:
    return live.upload(NOOP, name="kind_noop")


def misbehaving(live: Live, name: str, line: str) -> str:
    source = f"""
import os, signal, sys, time
from mods.sdk import *

@mod
def handler(event, actions, tokenizer):
    if isinstance(event, Added) and event.position == 3:
        {line}
    return actions.noop()
"""
    return live.upload(source, name=name)


@pytest.mark.parametrize(
    ("name", "line", "status", "words"),
    [
        ("raises", "raise KeyError('missing')", 422, "KeyError"),
        ("exits", "sys.exit(3)", 422, "SystemExit"),
        ("loops", "while True: pass", 424, "deadline"),
        ("dies", "os._exit(7)", 424, "7"),
        ("kills_itself", "os.kill(os.getpid(), signal.SIGKILL)", 424, "SIGKILL"),
        ("forces_minus_one", "return actions.force_tokens([-1])", 422, "-1"),
        ("forces_v", "return actions.force_tokens([2048])", 422, "2048"),
        ("forces_2_31", "return actions.force_tokens([2**31])", 422, "2147483648"),
        ("bans_v", "return actions.force_output([2**40])", 422, str(2**40)),
        ("answers_nonsense", "return 'hello'", 422, "str"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_only_the_offender_fails(
    live: Live, noop: str, name: str, line: str, status: int, words: str, streaming: bool
) -> None:
    mod = misbehaving(live, name, line)
    processes = live.engine_processes()
    with neighbours(live, MODEL, f"{MODEL}/{noop}") as streams:
        answer = live.chat(QUESTION, mod, stream=streaming)
    if streaming:
        error = json.loads(
            next(x for x in answer.text.splitlines() if '"error"' in x).removeprefix("data: ")
        )["error"]
        assert answer.text.rstrip().endswith("data: [DONE]")
    else:
        assert answer.status_code == status
        error = answer.json()["error"]
    assert error["code"] == status
    assert words in error["message"]
    assert live.engine_processes() == processes
    plain, modded = streams
    length = min(len(plain.tokens), len(modded.tokens))
    assert plain.tokens[:length] == modded.tokens[:length]


def test_a_mod_that_sleeps_delays_itself_alone(live: Live, noop: str) -> None:
    mod = misbehaving(live, "sleeps", "time.sleep(0.3)")
    calm = live.say(QUESTION)
    with neighbours(live, MODEL, f"{MODEL}/{noop}"):
        said = live.say(QUESTION, mod)
    assert said == calm


def test_a_host_that_died_is_replaced_for_the_next_request(live: Live) -> None:
    source = """
import os
from mods.sdk import *

@mod
def dies_when_told(event, actions, tokenizer):
    if isinstance(event, Prefilled) and "die" in get_conversation()[-1]["content"]:
        os._exit(1)
"""
    mod = live.upload(source)
    assert live.chat("Please die.", mod).status_code == 424
    assert live.say(QUESTION, mod) == live.say(QUESTION)


def test_a_runaway_session_fails_with_its_budget(live: Live) -> None:
    source = """
from mods.sdk import *

@mod
def never_content(event, actions, tokenizer):
    if isinstance(event, Sampled):
        return actions.backtrack(1)
"""
    mod = live.upload(source)
    answer = live.chat(QUESTION, mod, max_tokens=4)
    assert answer.status_code == 422
    assert answer.json()["error"]["type"] == "budget_exceeded"


TINY = "from mods.sdk import mod\n@mod\ndef a(e, a, t): pass\n"

WITNESS = """
from mods.sdk import *
finished = []

@mod
def witness(event, actions, tokenizer):
    if isinstance(event, Finished):
        finished.append((event.request_id, event.reason))
    if isinstance(event, Prefilled) and "report" in get_conversation()[-1]["content"]:
        return actions.force_output(" ".join(reason for _, reason in finished) or "none")
"""


def running(live: Live) -> float:
    return live.metric("vllm:num_requests_running") + live.metric("vllm:num_requests_waiting")


@pytest.mark.parametrize("streaming", [True, False])
def test_a_client_that_goes_away_is_gone_from_the_engine_within_a_second(
    live: Live, streaming: bool
) -> None:
    mod = live.upload(WITNESS, name=f"witness_{streaming}".lower())
    before = running(live)
    body: dict[str, Any] = {
        "model": f"{MODEL}/{mod}", "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": 1800, "ignore_eos": True, "stream": streaming, "temperature": 0,
    }  # fmt: skip
    payload = json.dumps(body).encode()
    port = int(live.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: " + str(len(payload)).encode() + b"\r\n\r\n" + payload
        )
        assert reaches(lambda: running(live) > before, 5.0)
    assert reaches(lambda: running(live) <= before, 1.0)
    assert live.say("report", mod) == "aborted"


@pytest.mark.parametrize(
    ("body", "words", "line"),
    [
        ({"source": "def x(:\n  pass\n"}, "syntax", 1),
        ({"source": "x = 1\n"}, "@mod", None),
        (
            {
                "source": "from mods.sdk import mod\n@mod\ndef a(e, a, t): pass\n"
                "@mod\ndef b(e, a, t): pass\n"
            },
            "a",
            None,
        ),
        ({"source": "import nonexistent_module\n" + TINY}, "nonexistent_module", None),
        ({"name": "a/b", "source": TINY}, "a/b", None),
        ({}, "source", None),
    ],
)  # fmt: skip
def test_a_bad_upload_is_a_400_and_registers_nothing(
    live: Live, body: dict[str, Any], words: str, line: int | None
) -> None:
    before = httpx.get(f"{live.url}/v1/mods").json()["data"]
    answer = live.post("/v1/mods", body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert words.lower() in error["message"].lower()
    if line is not None:
        assert error["line"] == line
    assert httpx.get(f"{live.url}/v1/mods").json()["data"] == before


def test_a_mod_can_be_listed_shown_and_deleted(live: Live) -> None:
    live.upload(NOOP, name="passing_by")
    names = [mod["name"] for mod in httpx.get(f"{live.url}/v1/mods").json()["data"]]
    assert "passing_by" in names
    shown = httpx.get(f"{live.url}/v1/mods/passing_by", params={"source": True}).json()
    assert "def noop" in shown["files"][0]["source"]
    assert httpx.delete(f"{live.url}/v1/mods/passing_by").status_code == 200
    assert httpx.get(f"{live.url}/v1/mods/passing_by").status_code == 404
    assert live.chat(QUESTION, "passing_by").status_code == 404


def test_shared_modules_can_be_imported_by_a_caller_s_mods(live: Live) -> None:
    answer = live.post("/sdk", {"name": "greetings", "source": "WORDS = 'Salut! '\n"})
    assert answer.status_code in (200, 201), answer.text
    mod = live.upload(
        """
from greetings import WORDS
from mods.sdk import ForwardPass, mod

@mod
def polite(event, actions, tokenizer):
    if isinstance(event, ForwardPass) and event.position == 0:
        return actions.force_tokens(WORDS)
"""
    )
    assert live.say("What is the capital of France?", mod).startswith("Salut! ")
