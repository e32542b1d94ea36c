"""Processes as the kernel shows them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.shared_memory import SharedMemory

import pytest

from server.engine.processes import Process, family

PARENT = """
import subprocess, sys
sleep = "print(1, flush=True); import time; time.sleep(99)"
child = subprocess.Popen([sys.executable, "-c", sleep], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def parent() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process, and the id of its child."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        for member in family(process.pid):
            member.kill()


def test_a_family_is_a_process_and_its_descendants(
    parent: tuple[subprocess.Popen[str], int],
) -> None:
    process, child = parent
    assert [member.pid for member in family(process.pid)] == [process.pid, child]
    assert child in {member.pid for member in family(os.getpid())}


def test_one_that_is_stopped_is_seen_and_can_be_killed(
    parent: tuple[subprocess.Popen[str], int],
) -> None:
    process, _ = parent
    first = family(process.pid)[0]
    assert first.is_there
    assert not first.is_stopped
    assert first.seconds > 0
    os.kill(process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    assert first.is_stopped
    first.kill()
    process.wait(20)
    assert not first.is_there
    assert first.seconds == 0


def test_another_process_of_the_same_number_is_left_alone(
    parent: tuple[subprocess.Popen[str], int],
) -> None:
    process, _ = parent
    earlier = replace(family(process.pid)[0], born=1)
    assert not earlier.is_there
    earlier.kill()
    assert process.poll() is None


def test_shared_memory_that_a_process_maps_is_found() -> None:
    ours = Process(os.getpid(), family(os.getpid())[0].born)
    before = ours.segments()
    memory = SharedMemory(create=True, size=4096)
    try:
        found = ours.segments() - before
        assert {path.name for path in found} == {memory.name.lstrip("/")}
    finally:
        memory.close()
        memory.unlink()
