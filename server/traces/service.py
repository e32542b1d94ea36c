"""Everything about traces that runs beside the engine: spool, observer, Postgres, writer.

Whatever of it cannot be had, the server serves, and says in the log and in `/health` what is
missing. Only the spool and the observer touch requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from server.postgres.embedded import EmbeddedPostgres
from server.postgres.place import PostgresError
from server.settings import Settings
from server.traces.archive import Archive
from server.traces.errors import AwayError, SpoolInUseError
from server.traces.live import Live
from server.traces.metrics import gauge_traces
from server.traces.sidecar import Sidecar
from server.traces.spans import Spans
from server.traces.spool import Spool
from server.traces.status import ShippingStatus, lag
from server.traces.watching import Observer

log = logging.getLogger("concordance.traces")

RECONNECT_SECONDS = 5.0
NO_POSTGRES = "there is no Postgres: set DATABASE_URL, or CONCORDANCE_EMBEDDED_POSTGRES=true"


@dataclass
class Traces:
    """What the routes and `/health` find at `app.state.concordance_traces`.

    spool, sidecar: None where there is none; `missing` says why. connecting: ends when the archive
    can be read, with whether it ever will be; None where nobody waits for it.
    """

    observer: Observer
    archive: Archive
    live: Live
    spool: Spool | None = None
    sidecar: Sidecar | None = None
    missing: list[str] = field(default_factory=list)
    connecting: asyncio.Task[bool] | None = None
    _waiting: set[asyncio.Task[None]] = field(default_factory=set)

    async def once_connected(self, then: Callable[[], Awaitable[None]], patience: float) -> None:
        """Do this as soon as the archive can be read. Returns when it is done, or after so many
        seconds; it is done later then. What goes wrong is logged."""
        task = asyncio.create_task(self._once_connected(then))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        await asyncio.wait({task}, timeout=patience)

    async def _once_connected(self, then: Callable[[], Awaitable[None]]) -> None:
        if self.connecting is None or not await asyncio.shield(self.connecting):
            return
        try:
            await then()
        except Exception:
            log.exception("what was to be read from Postgres at the start was not")

    async def stop_waiting(self) -> None:
        """Connect no more, and begin nothing that waits for it."""
        tasks = [*self._waiting, *([self.connecting] if self.connecting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def health(self) -> dict[str, Any]:
        """What a person wants to know of it."""
        told: dict[str, Any] = {"level": self.observer.level, "postgres": self.archive.state}
        if self.spool is not None:
            status = ShippingStatus.load(self.spool.folder)
            told["spool"] = {
                "bytes": self.spool.size(),
                "durable": self.spool.counts.durable,
                "dropped": dict(self.spool.counts.dropped),
                "lag_bytes": lag(self.spool.folder),
            }
            if self.sidecar is not None:
                running = self.sidecar.pid is not None
                told["writer"] = {
                    "state": ("waiting" if status.away else "running") if running else "restarting",
                    "restarts": self.sidecar.restarts,
                    "refused": status.refused,
                    "damaged": status.damaged,
                }
        if self.missing:
            told["missing"] = list(self.missing)
        return told


@asynccontextmanager
async def traces(settings: Settings, model: str, candidates: int) -> AsyncIterator[Traces]:
    """Start it all; stop it in order when the context ends.

    model: what the server calls its model. candidates: likeliest tokens that the engine gives at
    most. Raises nothing: what cannot be had is said.
    """
    embedded, live = EmbeddedPostgres(settings.home), Live()
    archive = Archive(lambda: _address(settings, embedded))
    spool, missing = _spool(settings)
    spans = Spans.to(settings.otlp_endpoint)
    observer = Observer(
        spool, settings.trace, model=model, candidates=candidates, live=live, spans=spans
    )
    running = Traces(observer, archive, live, spool, _sidecar(settings, spool), missing)
    if running.sidecar is None:
        missing.append("no writer: traces stay in the spool")
    for what in missing:
        log.warning("traces: %s", what)
    gauge_traces(running)
    running.connecting = asyncio.create_task(_connect(archive))
    try:
        await running.once_connected(partial(_stay_connected, archive), 0)
        if running.sidecar is not None:
            await running.sidecar.start()
        yield running
    finally:
        gauge_traces(None)
        await running.stop_waiting()
        await asyncio.to_thread(observer.close)
        if spans is not None:
            await asyncio.to_thread(spans.close)
        if spool is not None:
            await asyncio.to_thread(spool.close)
        if running.sidecar is not None:
            await running.sidecar.stop()
        await archive.close()
        with suppress(PostgresError):
            await asyncio.to_thread(embedded.stop)


def _spool(settings: Settings) -> tuple[Spool | None, list[str]]:
    try:
        most = settings.spool_mb * 2**20
        return Spool(settings.home / "spool", max_bytes=most), []
    except (SpoolInUseError, OSError) as error:
        return None, [f"nothing is traced: {error}"]


def _sidecar(settings: Settings, spool: Spool | None) -> Sidecar | None:
    """The writer, unless there is nowhere to write to."""
    elsewhere = settings.database_url or settings.quote_log_ingest_url
    if spool is None or not (elsewhere or settings.embedded_postgres):
        return None
    environment = {"CONCORDANCE_HOME": str(settings.home)}
    if settings.database_url is not None:
        environment["DATABASE_URL"] = settings.database_url.get_secret_value()
    days = settings.trace_days
    return Sidecar([] if days is None else ["--retention-days", str(days)], environment)


async def _address(settings: Settings, embedded: EmbeddedPostgres) -> str:
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    if not settings.embedded_postgres:
        raise AwayError(NO_POSTGRES)
    try:
        return await asyncio.to_thread(embedded.start)
    except (PostgresError, OSError) as error:
        raise AwayError(str(error)) from error


async def _connect(archive: Archive) -> bool:
    """Have the archive ready before somebody asks, however long it takes. Returns whether there is
    one at all."""
    told = ""
    while True:
        try:
            await archive.shelves()
        except AwayError as error:
            if str(error) != told:
                log.warning("stored traces cannot be read yet: %s", error)
            told = str(error)
            if told == NO_POSTGRES:
                return False
            await asyncio.sleep(RECONNECT_SECONDS)
        else:
            return True


async def _stay_connected(archive: Archive) -> None:
    """Notice when Postgres goes away, also while nobody asks for anything, and have the embedded
    one started again, until cancelled."""
    told = ""
    while True:
        await asyncio.sleep(RECONNECT_SECONDS)
        try:
            await archive.check()
        except AwayError as error:
            if str(error) != told:
                log.warning("stored traces cannot be read now: %s", error)
            told = str(error)
        else:
            if told:
                log.info("stored traces can be read again")
            told = ""
