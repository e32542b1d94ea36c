"""What the kernel tells of a process: whether it runs, sleeps, or waits for a processor."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from mods.runtime.host.usage import OwnTime, Usage, cpu_seconds
from tests.mods.runtime.host.starving import SPIN, running, starved


def until_asleep(pid: int) -> None:
    usage = Usage(pid)
    for _ in range(500):
        looked = usage.look()
        time.sleep(0.01)
        if looked == usage.look() and looked is not None and not looked[0]:
            break
    usage.close()


def own_seconds(pid: int, seconds: float) -> float:
    """What counts of so many seconds, looked at as a watchdog does."""
    own, end = OwnTime(pid), time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.05)
        own.seconds()
    counted = own.seconds()
    own.close()
    return counted


@pytest.fixture
def waits() -> Iterator[int]:
    """A process that is ready to run, and nearly never runs."""
    with running(sys.executable, "-c", SPIN) as pid, starved(pid):
        time.sleep(0.5)
        usage = Usage(pid)
        tells = usage.look() is not None
        usage.close()
        if not tells:
            pytest.skip("this kernel does not tell")
        yield pid


def test_a_wait_for_a_processor_is_not_a_process_s_own_time(waits: int) -> None:
    assert own_seconds(waits, 1.0) < 0.5


def test_a_starved_process_is_ready_and_its_time_stands_still(waits: int) -> None:
    usage = Usage(waits)
    looks = []
    for _ in range(10):
        looks.append(usage.look())
        time.sleep(0.01)
    usage.close()
    assert all(looked is not None and looked[0] for looked in looks)
    still = sum(a == b for a, b in pairwise(looks))
    assert still >= 5
    assert usage.look() is None


def test_sleep_is_its_own_time() -> None:
    with running("sleep", "30") as pid:
        until_asleep(pid)
        assert own_seconds(pid, 0.6) >= 0.5
        assert (cpu_seconds(pid) or 0.0) < 0.5
    assert cpu_seconds(pid) is None


def test_time_on_a_processor_is_its_own() -> None:
    with running(sys.executable, "-c", SPIN) as pid:
        before = cpu_seconds(pid)
        own = own_seconds(pid, 0.6)
        after = cpu_seconds(pid)
        assert before is not None
        assert after is not None
        assert own == pytest.approx(after - before, abs=0.15)


def test_a_watcher_that_was_not_let_run_itself_counts_little() -> None:
    with running("sleep", "30") as pid:
        until_asleep(pid)
        own = OwnTime(pid)
        time.sleep(1.0)
        assert own.seconds() <= 0.25
        own.restart()
        assert own.seconds() < 0.25
        own.close()


def test_a_process_that_is_gone_has_nothing_to_tell() -> None:
    with running("sleep", "30") as pid:
        own = OwnTime(pid)
    assert own.seconds() <= 0.25
    own.close()
    gone = Usage(pid)
    assert gone.look() is None
    gone.close()
