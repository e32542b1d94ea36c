"""Processor time of a process tree, on a `/proc` made by hand, and signals on a real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.processes import signal_tree, tree, tree_seconds

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
print(child.pid, flush=True)
child.wait()
"""


def process(proc: Path, pid: int, parent: int, ticks: tuple[int, int, int, int], name: str) -> None:
    """A line of `/proc/PID/stat` as the kernel writes it, as far as the field after cstime."""
    between = "S {} 1 1 0 -1 4194304 9 9 9 9 {} {} {} {} 20".format(parent, *ticks)
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "stat").write_text(f"{pid} ({name}) {between}\n")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Server 10 with a worker 11 and its child 12; 20 and 21 are somebody else's."""
    process(tmp_path, 1, 0, (1000, 1000, 0, 0), "init")
    process(tmp_path, 10, 1, (100, 50, 0, 0), "concai")
    process(tmp_path, 11, 10, (30, 20, 7, 3), "VLLM::Worker (TP 0)")
    process(tmp_path, 12, 11, (5, 5, 0, 0), "a) S 1 9 9 (b")
    process(tmp_path, 20, 1, (400, 400, 0, 0), "neighbour")
    process(tmp_path, 21, 20, (400, 400, 0, 0), "neighbour")
    return tmp_path


def test_a_tree_s_time_is_that_of_the_root_and_all_descendants(proc: Path) -> None:
    assert tree_seconds(10, proc, per_second=100) == pytest.approx(2.2)


def test_a_subtree_leaves_its_parents_out(proc: Path) -> None:
    assert tree_seconds(11, proc, per_second=100) == pytest.approx(0.7)
    assert tree(11, proc).keys() == {11, 12}


def test_a_child_that_was_waited_for_goes_on_counting(proc: Path) -> None:
    before = tree_seconds(10, proc, per_second=100)
    (proc / "12" / "stat").unlink()
    (proc / "11" / "stat").unlink()
    (proc / "11").rmdir()
    process(proc, 11, 10, (30, 20, 12, 8), "VLLM::Worker (TP 0)")
    assert tree_seconds(10, proc, per_second=100) == pytest.approx(before)


def test_the_time_of_a_root_that_is_gone_is_nothing(proc: Path) -> None:
    assert tree_seconds(99, proc) == 0


@pytest.fixture
def spinning() -> Iterator[tuple[int, int]]:
    """A real process, and a child of it that never sleeps."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    yield parent.pid, child
    os.kill(child, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()


def test_a_tree_that_was_stopped_uses_no_processor_until_it_goes_on(
    spinning: tuple[int, int],
) -> None:
    root, child = spinning
    assert tree(root).keys() == {root, child}
    signal_tree(root, signal.SIGSTOP)
    stopped = tree_seconds(root)
    time.sleep(0.15)
    assert tree_seconds(root) == stopped
    signal_tree(root, signal.SIGCONT)
    limit = time.monotonic() + 10
    while tree_seconds(root) == stopped and time.monotonic() < limit:
        time.sleep(0.02)
    assert tree_seconds(root) > stopped
