"""Constraints that were written to hurt, sent to the real server: it serves or refuses each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mods.sdk.constraints import (
    AllOf,
    AnyOf,
    Choice,
    Constraint,
    Ebnf,
    Guidance,
    InSequence,
    Json,
    Lark,
    Regex,
    StructuralTag,
)
from tests.engine.live import Live
from tests.server.constraints.bombs import BOMBS
from tests.timing import in_time

MEGABYTE = 2**20
SLOW = 15.0
"""Seconds, on a machine that does other things too: a hang is told from a wait by this."""


def spec_of(constraint: Constraint) -> dict[str, Any]:
    """As `/generate` takes it."""
    match constraint:
        case Json(schema):
            return {"type": "json", "schema": schema}
        case Regex(pattern):
            return {"type": "regex", "pattern": pattern}
        case Choice(options):
            return {"type": "choice", "choices": list(options)}
        case Lark(grammar):
            return {"type": "grammar", "syntax": "lark", "grammar": grammar}
        case Ebnf(grammar):
            return {"type": "grammar", "syntax": "ebnf", "grammar": grammar}
        case Guidance(grammar):
            return {"type": "grammar", "syntax": "llguidance", "grammar": grammar}
        case StructuralTag(tag):
            return {"type": "structural_tag", "structural_tag": json.loads(tag)}
        case InSequence(parts) | AnyOf(parts) | AllOf(parts):
            kind = {InSequence: "sequence", AnyOf: "any_of", AllOf: "all_of"}[type(constraint)]
            return {"type": "composite", kind: [spec_of(part) for part in parts]}
    raise AssertionError(f"no spec for {constraint!r:.80}")


SENT = {
    name: make
    for name, make in BOMBS.items()
    # JSON text nests these too deep for this process to write them.
    if name not in ("composites_nested_1000_deep",)
}


@pytest.fixture(scope="module", autouse=True)
def nothing_is_harmed(live: Live) -> Any:
    """The engine's processes are the same afterwards, and hardly larger."""
    before = live.engine_processes()
    memory = {pid: resident(pid) for pid in before}
    yield
    assert live.engine_processes() == before
    for pid, size in memory.items():
        assert resident(pid) - size < 256 * MEGABYTE


def resident(pid: int) -> int:
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return int(fields["VmRSS"].split()[0]) * 1024


@pytest.mark.parametrize("name", SENT)
def test_it_is_served_or_refused(live: Live, name: str) -> None:
    body = {
        "prompt": "Go: ", "constraints": spec_of(SENT[name]()), "max_tokens": 12, "temperature": 0,
    }  # fmt: skip
    began = time.monotonic()
    answer = live.post("/generate", body)
    seconds = time.monotonic() - began
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, answer.text[:500]
    assert in_time(seconds, SLOW), f"it took {seconds:.1f} s"
    content = answer.json()
    if answer.status_code != 200:
        assert content["error"]["message"]
    elif content["finish_reason"] == "stop":
        assert content["constraint_violations"] == []
    else:
        assert content["finish_reason"] == "length"


def test_neighbours_go_on_while_many_come_at_once(live: Live) -> None:
    def send(make: Callable[[], Constraint]) -> int:
        body = {"prompt": "Go: ", "constraints": spec_of(make()), "max_tokens": 4}
        return live.post("/generate", body).status_code

    with ThreadPoolExecutor(24) as pool:
        statuses = [pool.submit(send, make) for make in list(SENT.values())[:24]]
        for _ in range(8):
            said = live.say("What is the capital of France?")
            assert said == "The capital of France is Paris."
        # 503: too many at once to try them all out; the same may be sent again.
        assert all(one.result() == 503 or one.result() < 500 for one in statuses)
