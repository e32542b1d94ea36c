"""The spool: durable before it is acknowledged, dropped and counted where it cannot be kept."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from server.traces import segment as segment_module
from server.traces.errors import SpoolInUseError
from server.traces.segment import SegmentReader, segments
from server.traces.spool import INTERVAL, Spool
from server.traces.trace import Trace
from tests.server.traces.making import made


def names(folder: Path) -> list[str]:
    """The request ids in a spool folder, in order."""
    found = []
    for _, path in segments(folder):
        reader = SegmentReader(path)
        found += [Trace.decode(p).request.request_id for p in reader.read(final=True)]
        assert reader.damaged == 0
        reader.close()
    return found


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool")
    yield spool
    spool.close()


def test_what_is_acknowledged_is_on_disk(spool: Spool) -> None:
    kept = [spool.append(made(f"r{n}")) for n in range(20)]
    assert all(one.result(5) for one in kept)
    assert names(spool.folder) == [f"r{n}" for n in range(20)]
    assert (spool.counts.appended, spool.counts.durable) == (20, 20)


def test_an_acknowledgement_comes_after_the_sync(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[float] = []
    fsync = os.fsync

    def slow(descriptor: int) -> None:
        time.sleep(0.1)
        fsync(descriptor)
        synced.append(time.monotonic())

    monkeypatch.setattr(segment_module.os, "fsync", slow)
    kept = spool.append(made())
    assert not kept.done()
    assert kept.result(5)
    assert synced


def test_many_traces_share_a_sync(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[float] = []
    fsync = os.fsync

    def counting(descriptor: int) -> None:
        synced.append(time.monotonic())
        fsync(descriptor)

    monkeypatch.setattr(segment_module.os, "fsync", counting)
    start = time.monotonic()
    kept = []
    while time.monotonic() < start + 0.5:
        kept.append(spool.append(made()))
        time.sleep(0.001)
    assert all(one.result(5) for one in kept)
    gaps = [later - earlier for earlier, later in pairwise(synced)]
    assert len(synced) <= 3 + 0.5 / INTERVAL
    assert max(gaps, default=0) < 0.3, "0.05 on a machine with nothing else to do"


async def test_a_loop_can_wait_for_it_and_give_up(spool: Spool) -> None:
    assert await asyncio.wrap_future(spool.append(made("one")))
    waiting = asyncio.wrap_future(spool.append(made("two")))
    waiting.cancel()
    assert await asyncio.wrap_future(spool.append(made("three")))
    assert names(spool.folder) == ["one", "two", "three"]


def test_a_full_segment_is_sealed_and_the_next_begun(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=200)
    for n in range(4):
        assert spool.append(made(f"r{n}")).result(5)
    spool.close()
    assert len(segments(tmp_path)) == 4
    assert names(tmp_path) == ["r0", "r1", "r2", "r3"]


def test_closing_writes_what_waits_and_seals(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    kept = [spool.append(made(f"r{n}")) for n in range(50)]
    spool.close()
    spool.close()
    assert all(one.result(0) for one in kept)
    assert len(names(tmp_path)) == 50
    assert [path.suffix for _, path in segments(tmp_path)] == [".sealed"]
    assert not spool.append(made()).result(0)
    assert spool.counts.dropped == {"closed": 1}


def test_what_a_dead_process_left_open_is_sealed(tmp_path: Path) -> None:
    (tmp_path / "00000000000000000007.open").write_bytes(b"")
    spool = Spool(tmp_path)
    assert spool.append(made()).result(5)
    assert [path.suffix for _, path in segments(tmp_path)] == [".sealed", ".open"]
    spool.close()


def test_a_second_spool_on_a_folder_is_refused_by_name(spool: Spool) -> None:
    with pytest.raises(SpoolInUseError, match=f"process {os.getpid()} already appends to"):
        Spool(spool.folder)


def test_a_full_spool_drops_the_newest_and_counts(tmp_path: Path) -> None:
    size = len(made("r0").encode()) + 16
    spool = Spool(tmp_path, max_bytes=3 * size)
    kept = [spool.append(made(f"r{n}")).result(5) for n in range(5)]
    assert kept == [True, True, True, False, False]
    assert spool.counts.dropped == {"full": 2}
    assert spool.size() == 3 * size
    for _, path in segments(tmp_path):
        path.unlink()  # as its shipping does
    assert spool.append(made("r5")).result(5)
    spool.close()


def test_more_than_may_wait_is_dropped_at_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_waiting=10)
    assert not spool.append(made()).result(0)
    assert spool.counts.dropped == {"busy": 1}
    spool.close()


def test_a_trace_of_which_no_bytes_can_be_made_is_dropped(spool: Spool) -> None:
    trace = made()
    trace.request.sampling = {"object": object()}
    assert not spool.append(trace).result(0)
    assert spool.counts.dropped == {"unwritable": 1}


def test_a_failed_sync_drops_what_it_was_for_and_nothing_else(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert spool.append(made("before")).result(5)

    def failing(descriptor: int) -> None:
        raise OSError(errno.EIO, "the disk is broken")

    with monkeypatch.context() as patch:
        patch.setattr(segment_module.os, "fsync", failing)
        assert not spool.append(made("during")).result(5)
    assert spool.append(made("after")).result(5)
    assert names(spool.folder) == ["before", "after"]
    assert spool.counts.dropped == {"disk": 1}


QUOTA = """
import resource, signal, sys
from pathlib import Path
from server.traces.spool import Spool
from tests.server.traces.making import made
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
spool = Spool(Path(sys.argv[1]))
kept = [spool.append(made(f"r{n}", 50)) for n in range(200)]
results = [one.result(10) for one in kept]
spool.close()
print(results.count(True), results.count(False), spool.counts.dropped["disk"])
"""


def test_a_full_disk_drops_exactly_what_found_no_room(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk's end, at a byte inside a frame."""
    size = len(made("r0", 50).encode()) + 16
    command = [sys.executable, "-c", QUOTA, str(tmp_path), str(20 * size + 11)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    durable, dropped, counted = map(int, done.stdout.split())
    assert durable + dropped == 200
    assert dropped == counted > 0
    assert len(names(tmp_path)) == durable


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk; the limit on file sizes is tested")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_after_a_full_disk_the_spool_goes_on(small_disk: Path) -> None:
    spool = Spool(small_disk / "spool")
    ballast = small_disk / "ballast"
    results: dict[str, bool] = {}

    def fill(**trace: Any) -> None:
        name = f"r{len(results)}"
        results[name] = spool.append(made(name, **trace)).result(5)

    ballast.write_bytes(bytes(150_000))
    while all(results.values()):
        fill(tokens=1000)
    fill(tokens=1000)
    ballast.unlink()
    fill(tokens=1000)
    assert results.popitem()[1], "there is room again"
    dropped = sum(not kept for kept in results.values())
    assert spool.counts.dropped == {"disk": dropped}
    assert dropped >= 2
    spool.close()
    kept = [name for name, one in results.items() if one]
    assert [name for name in names(small_disk / "spool") if name in results] == kept
