"""`concai ingest`: ships the spool to Postgres or another server. `concai serve` runs one."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from server.cli.errors import CommandError
from server.settings import Settings


def ingest(
    spool: Annotated[
        Path | None, typer.Option(help="The spool folder (default: `spool` in CONCORDANCE_HOME).")
    ] = None,
    retention_days: Annotated[
        int | None, typer.Option(min=1, help="Days of traces to keep (default: all).")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Ship what is there, and end.")] = False,
    parent: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Ship traces from the spool to DATABASE_URL, the embedded Postgres if that is unset, or to
    QUOTE_LOG_INGEST_URL if that is set."""
    settings = Settings.load()
    if parent is not None:
        _be_a_child_of(parent)
    logging.basicConfig(stream=sys.stderr, level=settings.log_level.upper(), format="%(message)s")
    # Half of the start is this import: a mistyped option is answered without it.
    from server.postgres.place import PostgresError
    from server.traces.errors import TraceError

    try:
        asyncio.run(_ship(settings, spool or settings.home / "spool", retention_days, once))
    except (TraceError, PostgresError) as error:
        raise CommandError(str(error)) from None


def _be_a_child_of(parent: int) -> None:
    """Die with the server, which starts another one, and leave the processors to it."""
    from mods.runtime.host.parent import die_with

    die_with(parent)
    os.nice(5)


async def _ship(settings: Settings, folder: Path, keep_days: int | None, once: bool) -> None:
    from server.postgres.embedded import EmbeddedPostgres
    from server.postgres.place import PostgresError
    from server.traces.destinations import Destination, HttpDestination, PostgresDestination
    from server.traces.errors import AwayError
    from server.traces.shipper import Shipper

    embedded = EmbeddedPostgres(settings.home)
    url = settings.database_url

    async def address() -> str:
        if url is not None:
            return url.get_secret_value()
        try:
            return await asyncio.to_thread(embedded.start)
        except PostgresError as error:
            raise AwayError(str(error)) from error

    destination: Destination = PostgresDestination(address, keep_days)
    if settings.quote_log_ingest_url is not None:
        destination = HttpDestination(settings.quote_log_ingest_url)
    try:
        shipper = Shipper(folder, destination)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, shipper.stop)
        if not once:
            await shipper.run()
            return
        try:
            await shipper.ship_what_is_there()
            await destination.tend()
        finally:
            await shipper.close()
    finally:
        await asyncio.to_thread(embedded.stop)
