"""The corpus: every attempt ends as it must, and the mod next door hears nothing of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from mods.runtime.decisions import Fail, Resume
from mods.runtime.files import PackageError
from mods.runtime.host.client import Host
from mods.runtime.host.feed import Feeds
from mods.runtime.host.files import page_path
from mods.runtime.host.pool import HostPool
from mods.runtime.host.protocol import FeedRow
from mods.runtime.package import Package
from mods.sdk.errors import HostError, ModError
from server.mods.reading import read_package
from tests.mods.runtime.host.acting import NOOP, alive, host_of, package, process, spec, step
from tests.mods.runtime.host.conftest import TOKENIZER
from tests.mods.runtime.host.escapes import forging, inside, others, outside
from tests.mods.runtime.host.escapes.bundles import BUNDLES, HARMLESS
from tests.mods.runtime.host.escapes.escape import Ends, Escape
from tests.mods.runtime.host.escapes.imports import AT_IMPORT
from tests.timing import in_time, since

in_the_yard = pytest.mark.asyncio(loop_scope="module")

ESCAPES = [*outside.ESCAPES, *others.ESCAPES, *inside.ESCAPES, *forging.ESCAPES]
DEADLINE = 0.4
WITHIN = 0.25
"""Seconds after its deadline in which an offender is stopped."""
SOFT = 0.02
STEPS = 20
"""Steps of the neighbour that are timed beside each attempt at least."""
SECRET = "secret-of-the-server-5c1f"
WORDS = "words-of-the-neighbour-77ab"
REFUSALS = {None, 1, 9, 12, 13, 24, 38}
"""errno of a refusal: EPERM, EBADF, ENOMEM, EACCES, EMFILE, ENOSYS. Any other one means that the
kernel looked at what was asked."""

sessions = itertools.count(1)


class Neighbour:
    """Another caller's host, which serves a stream all the while."""

    def __init__(self, host: Host, feeds: Feeds) -> None:
        self.host = host
        self._feeds = feeds
        self._session = next(sessions)
        self._position = itertools.count(1)

    async def begin(self) -> None:
        talk = [{"role": "user", "content": f"these are {WORDS}, for nobody else"}]
        long = spec(self._session, max_tokens=10**6, max_context=2 * 10**6, conversation=talk)
        assert isinstance(await self.host.open(long), Resume)
        assert step(self._feeds, self.host, [FeedRow(self._session, 1, 0, -1)]) is not None

    def serve(self, stop: threading.Event, times: list[float]) -> None:
        """Steps until told to stop, and some more, each one timed (seconds)."""
        while not stop.is_set() or len(times) < STEPS:
            row = FeedRow(self._session, 1, next(self._position), 5)
            began = time.perf_counter()
            assert step(self._feeds, self.host, [row], seconds=5.0) is not None
            times.append(time.perf_counter() - began)
            time.sleep(0.002)


class Yard:
    """A pool, and in it a neighbour and room for whoever comes."""

    def __init__(self, pool: HostPool, neighbour: Neighbour) -> None:
        self.pool = pool
        self.neighbour = neighbour

    @property
    def places(self) -> dict[str, object]:
        host = self.neighbour.host
        return {
            "API_PID": os.getpid(),
            "NEIGHBOUR_PID": host.pid,
            "NEIGHBOUR_SOCKET": host.address,
            "NEIGHBOUR_PAGE": str(page_path(self.pool.run_dir, host.name)),
            "RUN_DIR": str(self.pool.run_dir),
            "TOKENIZER": str(TOKENIZER / "tokenizer.json"),
            "SECRET": SECRET.encode(),
            "WORDS": WORDS[::-1],
        }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def yard() -> AsyncIterator[Yard]:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setenv("DATABASE_URL", SECRET)
        patch.setenv("HF_TOKEN", SECRET)
        pool = HostPool(Path(folder) / "hosts", TOKENIZER, hard_deadline=DEADLINE)
        await pool.start()
        feeds = Feeds(pool.run_dir)
        neighbour = Neighbour(await host_of(pool, "neighbour", [package(NOOP)], {}), feeds)
        await neighbour.begin()
        yield Yard(pool, neighbour)
        feeds.close()
        await pool.stop()


def test_the_corpus_is_large_and_has_no_name_twice() -> None:
    names = [escape.name for escape in ESCAPES]
    assert len(names) >= 60
    assert len(set(names)) == len(names)


@in_the_yard
@pytest.mark.parametrize("escape", ESCAPES, ids=lambda escape: escape.name)
async def test_an_attempt_ends_as_it_must_and_nobody_else_notices(
    escape: Escape, yard: Yard
) -> None:
    neighbour, zygote = yard.neighbour, yard.pool.zygote_pid
    assert zygote is not None
    host = await host_of(yard.pool, escape.name, [escape.package(yard.places)], {})
    stop, times = threading.Event(), list[float]()
    thread = threading.Thread(target=neighbour.serve, args=(stop, times))
    thread.start()
    try:
        ended, seconds, told = await attempt(host)
    finally:
        stop.set()
        await asyncio.to_thread(thread.join)
    if ended is Ends.SILENT and Ends.FORGER in escape.may_end:
        ended = Ends.FORGER
    assert ended in escape.may_end, told
    assert in_time(seconds, limit_of(ended)), f"{told}, after {seconds:.2f} s"
    assert neighbour.host.alive
    assert alive(zygote)
    assert all(process(pid, "comm") for pid in (neighbour.host.pid, os.getpid()))
    assert children_of(host.pid) == []
    assert in_time(statistics.median(times), SOFT)


def limit_of(ended: Ends) -> float:
    """Seconds in which an attempt that ends so must have ended."""
    if ended is Ends.FORGER:
        return 10 * DEADLINE + WITHIN
    # What no page shows is noticed a little later: it is looked for, not reported.
    return DEADLINE + (2 * WITHIN if ended is Ends.SILENT else WITHIN)


async def attempt(host: Host) -> tuple[Ends, float, str]:
    """Open a session, and judge what came of it: how it ended, in seconds, and what was said."""
    session, began = next(sessions), time.monotonic()
    try:
        answer = await asyncio.wait_for(host.open(spec(session)), 30)
    except HostError as error:
        return verdict_of(str(error)), time.monotonic() - began, str(error)
    seconds = time.monotonic() - began
    record = await host.close(session, "done")
    if host.end is not None:
        return verdict_of(str(host.end)), time.monotonic() - began, str(host.end)
    if isinstance(answer, Fail):
        assert answer.status == 422
        return Ends.FAILED, seconds, answer.message
    said = [line["text"] for line in record["logs"]]
    lines = [line for line in said if line.startswith(("refused", "escaped", "nothing"))]
    assert sum(map(len, said)) <= 3 * 201 * 4096
    if any(line.startswith("escaped") for line in lines):
        raise AssertionError(lines)
    if lines and lines[0].startswith("refused"):
        _, kind, number, *_ = lines[0].split(" ")
        assert number == "None" or int(number) in REFUSALS or kind == "gaierror", lines[0]
        return Ends.REFUSED, seconds, lines[0]
    return Ends.NOTHING, seconds, str(lines)


def verdict_of(words: str) -> Ends:
    if "nonsense" in words:
        return Ends.LIAR
    if "hard deadline" in words:
        return Ends.LATE
    if "no answer" in words:
        return Ends.SILENT
    return Ends.DEAD


def children_of(pid: int) -> list[str]:
    return process(pid, f"task/{pid}/children").split()


@in_the_yard
@pytest.mark.parametrize("name", AT_IMPORT)
async def test_what_goes_wrong_at_import_is_told_at_upload(
    name: str, yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mods.runtime.host.client.LOAD_SECONDS", 0.5)
    source, words = AT_IMPORT[name]
    began = time.monotonic()
    with pytest.raises(ModError, match=words):
        await yard.pool.check([package(NOOP, before=source)], {})
    assert in_time(since(began), 0.5 + 2 * WITHIN)
    assert yard.neighbour.host.alive


@pytest.mark.parametrize("name", BUNDLES)
async def test_a_bad_bundle_is_refused_before_anything_of_it_runs(name: str) -> None:
    began = time.monotonic()
    with pytest.raises(PackageError):
        await read_package(sent(BUNDLES[name]))
    assert in_time(since(began), 20.0)


@pytest.mark.parametrize("name", HARMLESS)
async def test_an_odd_bundle_is_taken_as_it_stands(name: str) -> None:
    assert isinstance(await read_package(sent(HARMLESS[name])), Package)


def sent(payload: Mapping[str, object]) -> dict[str, object]:
    """As it comes in: lone surrogates and all."""
    received: dict[str, object] = json.loads(json.dumps(payload))
    return received
