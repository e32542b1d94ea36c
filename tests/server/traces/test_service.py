"""What runs beside the engine for traces: started, told of, stopped; with Postgres or without."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr
from vllm.sampling_params import RequestOutputKind, SamplingParams

from mods.runtime.compile import Traits
from mods.runtime.package import Package
from server.mods.keeping import ModKeeper
from server.mods.registry import ModRegistry
from server.settings import Settings
from server.traces.archive import Archive
from server.traces.database import fixed
from server.traces.errors import AwayError, UnknownTraceError
from server.traces.service import Traces, traces
from server.traces.spool import Spool
from tests.server.postgres.test_embedded import postmaster
from tests.server.traces.conftest import run
from tests.server.traces.making import made
from tests.server.traces.playing import output_of
from tests.server.traces.test_shipper import until


def settings(home: Path, **more: Any) -> Settings:
    return Settings(home=home, embedded_postgres=False, **more)


def generate(kept: Traces, name: str) -> None:
    """A request without mods, from beginning to end."""
    params = SamplingParams(output_kind=RequestOutputKind.DELTA)
    with kept.observer.plain(name, {"prompt_token_ids": [1]}, params) as watch:
        watch.saw(output_of([5], params, "stop", text="a"))


async def stored(kept: Traces, name: str) -> Any:
    for _ in range(600):
        try:
            return await (await kept.archive.shelves()).store.read(name)
        except (AwayError, UnknownTraceError):
            await asyncio.sleep(0.1)
    raise AssertionError(f"{name} was not stored: {kept.health()}")


async def test_a_request_can_be_read_back_soon_after_its_end(tmp_path: Path, url: str) -> None:
    """Through spool, writer process and Postgres."""
    given = settings(tmp_path, database_url=SecretStr(url))
    async with traces(given, "demo", 5) as kept:
        generate(kept, "one")
        found = await stored(kept, "one")
        assert (found.trace.story.tokens, found.trace.request.model) == ([5], "demo")
        health = kept.health()
        assert health["postgres"] == "ok"
        assert health["writer"]["state"] == "running"
        assert health["spool"]["dropped"] == {}
        assert REGISTRY.get_sample_value("concordance_traces_total") == 1
        writer = kept.sidecar.pid if kept.sidecar else None
    assert writer is not None
    with pytest.raises(ProcessLookupError):
        os.kill(writer, 0)
    assert REGISTRY.get_sample_value("concordance_traces_total") is None


async def test_what_waits_for_postgres_is_done_once_however_early_or_late_it_is_there(
    tmp_path: Path, url: str
) -> None:
    stored: list[int] = []

    async def count() -> None:
        shelves = await kept.archive.shelves()
        stored.append(len(await shelves.mods.all()))

    async with traces(settings(tmp_path, database_url=SecretStr(url)), "demo", 5) as kept:
        await kept.once_connected(count, 30)
        assert stored == [0]
        await kept.once_connected(count, 30)  # by now it has long been there
        assert stored == [0, 0]


async def test_what_waits_for_a_postgres_that_never_comes_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> None:
        raise AssertionError("there is no Postgres")

    async with traces(settings(tmp_path / "a"), "demo", 5) as kept, asyncio.timeout(10):
        await kept.once_connected(never, 60)

    async def away(*_: Any) -> str:
        raise AwayError("not now")

    monkeypatch.setattr("server.traces.service._address", away)
    async with traces(settings(tmp_path / "b"), "demo", 5) as kept, asyncio.timeout(10):
        await kept.once_connected(never, 0.1)


async def test_without_postgres_traces_stay_in_the_spool_and_health_says_so(tmp_path: Path) -> None:
    async with traces(settings(tmp_path), "demo", 5) as kept:
        generate(kept, "one")
        health = kept.health()
        assert health["missing"] == ["no writer: traces stay in the spool"]
    spool = Spool(tmp_path / "spool")
    assert spool.size() > 0
    spool.close()


async def test_a_postgres_that_cannot_be_had_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server.postgres.place import PostgresError

    def refuse(*_: Any) -> str:
        raise PostgresError("none is installed")

    monkeypatch.setattr("server.traces.service.EmbeddedPostgres.start", refuse)
    monkeypatch.setattr("server.traces.service._sidecar", lambda *_: None)
    async with traces(Settings(home=tmp_path), "demo", 5) as kept:
        generate(kept, "one")
        with pytest.raises(AwayError, match="none is installed"):
            await kept.archive.shelves()
        assert kept.health()["postgres"] == "none is installed"


async def test_a_postgres_that_is_killed_while_nothing_goes_on_is_started_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the server itself: its writer may be one that needs no Postgres."""
    monkeypatch.setattr("server.traces.service.RECONNECT_SECONDS", 0.3)
    monkeypatch.setattr("server.traces.service._sidecar", lambda *_: None)
    async with traces(Settings(home=home), "demo", 5) as kept:
        await until(lambda: kept.archive.state == "ok", 60)
        store = (await kept.archive.shelves()).store
        killed = postmaster(home)
        os.kill(killed, signal.SIGKILL)
        await until(lambda: kept.archive.state != "ok", 10)
        assert kept.health()["postgres"].startswith("Postgres: ")
        await until(lambda: kept.archive.state == "ok", 30)
        assert postmaster(home) != killed
        with pytest.raises(UnknownTraceError):
            await store.read("one")


async def test_a_database_that_is_gone_shows_in_the_state_until_it_is_back(
    postgres: str, bare_url: str
) -> None:
    archive = archive_of(bare_url)
    await archive.check()
    assert archive.state == "not connected yet"
    await archive.shelves()
    await archive.check()
    name = bare_url.split("/")[3].split("?")[0]
    await run(postgres, f"drop database {name} with (force)")
    with pytest.raises(AwayError, match="does not exist"):
        await archive.check()
    assert "does not exist" in archive.state
    await run(postgres, f"create database {name}")
    await archive.check()
    assert archive.state == "ok"
    await archive.close()


async def test_a_spool_that_another_server_has_is_said_and_traces_nothing(tmp_path: Path) -> None:
    other = Spool(tmp_path / "spool")
    async with traces(settings(tmp_path), "demo", 5) as kept:
        generate(kept, "one")
        assert kept.health()["missing"][0].startswith("nothing is traced: process ")
    assert other.counts.appended == 0
    other.close()


async def test_what_waits_when_the_server_stops_is_durable(tmp_path: Path) -> None:
    async with traces(settings(tmp_path), "demo", 5) as kept:
        for number in range(50):
            generate(kept, f"r{number}")
        spool = kept.spool
    assert spool is not None
    assert spool.counts.durable == 50


SOURCE = "from mods.sdk import mod\n@mod\ndef shout(event, actions, tokenizer): pass\n"


def archive_of(url: str) -> Archive:
    return Archive(fixed(url))


async def check(package: Package, shared: Any) -> Traits:
    return Traits(package.name)


async def test_a_registered_mod_is_there_after_a_restart_and_a_deleted_one_is_not(url: str) -> None:
    archive, before = archive_of(url), ModRegistry()
    keeper = ModKeeper(archive, before, check)
    for name in ("shout", "calm"):
        assert await keeper.registered("ann", Package.from_source(SOURCE, name=name))
    assert await keeper.deleted("ann", "calm")
    assert await keeper.shared("ann", {"words.py": "x = 1\n"})
    await archive.close()

    again, after = archive_of(url), ModRegistry()
    await ModKeeper(again, after, check).restore()
    assert [mod.package.name for mod in after.list("ann")] == ["shout"]
    assert after.list("bob") == []
    assert after.shared("ann") == {"words.py": "x = 1\n"}
    await again.close()


async def test_a_mod_that_is_uploaded_before_postgres_comes_is_kept_when_it_does(url: str) -> None:
    there = False

    async def address() -> str:
        if not there:
            raise AwayError("not yet")
        return url

    archive, registry = Archive(address), ModRegistry()
    keeper = ModKeeper(archive, registry, check)
    assert not await keeper.registered("ann", Package.from_source(SOURCE))
    there, archive._failed = True, None
    await keeper.restore()
    kept = await (await archive.shelves()).mods.all()
    assert [mod.package.name for mod in kept] == ["shout"]
    await archive.close()


async def test_the_archive_says_at_once_what_it_said_a_moment_ago() -> None:
    asked: list[int] = []

    async def nowhere() -> str:
        asked.append(1)
        raise AwayError("there is none")

    archive = Archive(nowhere)
    for _ in range(3):
        with pytest.raises(AwayError, match="there is none"):
            await archive.shelves()
    assert len(asked) == 1


def test_what_is_counted_is_a_trace_of_the_spool_s(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    assert spool.append(made("one")).result(5)
    spool.drop("busy")
    assert (spool.counts.appended, spool.counts.dropped["busy"]) == (2, 1)
    spool.close()
