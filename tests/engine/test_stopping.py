"""A server that is told to stop finishes what it has; told twice, it ends at once."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.engine.live import Live, serving
from tests.engine.test_restart import Stream, short
from tests.timing import reaches

AT_ONCE_S = 60.0
"""What a busy machine may need to end processes in. That the answer was cut short is the proof."""


@pytest.fixture
def passing(tmp_path: Path) -> Iterator[Live]:
    """A server that will not live long; the reference engine starts in seconds."""
    given = {"CONCORDANCE_BACKEND": "huggingface", "CONCORDANCE_DRAIN_S": "120"}
    with serving(tmp_path / "home", "--max-model-len", "2048", **given) as server:
        yield server


def test_what_runs_is_finished_and_nothing_new_is_taken(passing: Live) -> None:
    stream = Stream(passing, max_tokens=300)
    assert reaches(lambda: stream.pieces > 5, 60)
    passing.process.send_signal(signal.SIGTERM)
    assert reaches(lambda: passing.post(*short()).status_code == 503, 2.0)
    refused = passing.post(*short())
    assert refused.json()["error"]["type"] == "server_stopping"
    assert int(refused.headers["retry-after"]) >= 1
    assert httpx.get(f"{passing.url}/health", timeout=10).json()["status"] == "stopping"
    stream.join(120)
    assert stream.error is None
    assert stream.finish == "length"
    assert passing.process.wait(30) == 0


def test_the_second_time_it_ends_at_once(passing: Live) -> None:
    stream = Stream(passing, max_tokens=1900)
    assert reaches(lambda: stream.pieces > 5, 60)
    passing.process.send_signal(signal.SIGTERM)
    assert reaches(lambda: passing.post(*short()).status_code == 503, 2.0)
    told = time.monotonic()
    passing.process.send_signal(signal.SIGTERM)
    passing.process.wait(AT_ONCE_S)
    print(f"ended after {time.monotonic() - told:.1f} s")
    stream.join(30)
    assert stream.finish is None
