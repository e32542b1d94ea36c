"""`concai ingest` as a process: beside a server, by hand, and one at a time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from server.traces.database import Database
from server.traces.shipper import Shipper
from server.traces.sidecar import Sidecar
from server.traces.spool import Spool
from server.traces.status import ShippingStatus, lag
from server.traces.store import Store
from tests.server.traces.making import made
from tests.server.traces.test_shipper import Pigeonhole, until


def ingest(url: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server.cli", "ingest", "--spool", str(folder), *options],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": url, "HOME": str(folder)},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )


def spooled(folder: Path, *names: str) -> None:
    spool = Spool(folder)
    assert all(one.result(5) for one in [spool.append(made(name)) for name in names])
    spool.close()


async def test_once_ships_what_is_there_and_ends(
    tmp_path: Path, url: str, database: Database
) -> None:
    spooled(tmp_path / "spool", "one", "two")
    done = await asyncio.to_thread(ingest, url, tmp_path / "spool", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert (await Store(database).read("two")).trace.request.request_id == "two"
    assert not list((tmp_path / "spool").glob("*.sealed"))


def test_once_says_that_postgres_is_away_and_keeps_everything(tmp_path: Path) -> None:
    spooled(tmp_path / "spool", "one")
    done = ingest("postgresql://postgres@127.0.0.1:9/x", tmp_path / "spool", "--once")
    assert done.returncode == 1
    assert done.stderr.startswith("error: Postgres: ")
    assert len(done.stderr.splitlines()) == 1
    assert len(list((tmp_path / "spool").glob("*.sealed"))) == 1


async def test_a_second_one_on_a_spool_says_who_has_it(tmp_path: Path) -> None:
    first = Shipper(tmp_path / "spool", Pigeonhole())
    done = await asyncio.to_thread(ingest, "postgresql://x", tmp_path / "spool", "--once")
    await first.close()
    assert done.returncode == 1
    assert f"error: process {os.getpid()} already ships" in done.stderr


@pytest.fixture
def sidecar(tmp_path: Path, url: str) -> Callable[[], Sidecar]:
    def make() -> Sidecar:
        return Sidecar(["--spool", str(tmp_path / "spool")], {"DATABASE_URL": url})

    return make


async def test_a_sidecar_ships_until_it_is_stopped(
    tmp_path: Path, sidecar: Callable[[], Sidecar], database: Database
) -> None:
    spool = Spool(tmp_path / "spool")
    beside = sidecar()
    await beside.start()
    assert await asyncio.wrap_future(spool.append(made("one")))
    await until(lambda: ShippingStatus.load(spool.folder).shipped == 1, 30)
    await beside.stop()
    await beside.stop()
    assert beside.pid is None
    assert beside.restarts == 0
    spool.close()
    assert (await Store(database).read("one")).trace.request.request_id == "one"


async def test_a_sidecar_that_is_killed_is_started_again(
    tmp_path: Path, sidecar: Callable[[], Sidecar], database: Database
) -> None:
    spool = Spool(tmp_path / "spool")
    beside = sidecar()
    await beside.start()
    assert await asyncio.wrap_future(spool.append(made("one")))
    await until(lambda: ShippingStatus.load(spool.folder).shipped == 1, 30)
    killed = ShippingStatus.load(spool.folder).pid
    os.kill(killed, signal.SIGKILL)
    assert await asyncio.wrap_future(spool.append(made("two")))
    await until(lambda: ShippingStatus.load(spool.folder).pid not in (0, killed), 30)
    await until(lambda: lag(spool.folder) == 0, 30)
    assert ShippingStatus.load(spool.folder).shipped == 1, "only what the other had not shipped"
    assert beside.restarts == 1
    await beside.stop()
    spool.close()
    for name in ("one", "two"):
        assert (await Store(database).read(name)).trace.request.request_id == name


PARENT = """
import asyncio, os, signal, sys
from server.traces.sidecar import Sidecar
async def main():
    beside = Sidecar(["--spool", sys.argv[1]], {"DATABASE_URL": "postgresql://127.0.0.1:9/x"})
    await beside.start()
    while beside.pid is None:
        await asyncio.sleep(0.01)
    print(beside.pid, flush=True)
    await asyncio.sleep(float(sys.argv[2]))
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


@pytest.mark.parametrize("seconds", ["0", "2"], ids=["while it starts", "while it runs"])
def test_a_sidecar_does_not_outlive_its_server(tmp_path: Path, seconds: str) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "spool"), seconds]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    pid = int(server.stdout.readline())
    server.stdout.close()
    assert server.wait() == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
