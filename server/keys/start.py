"""Whether a server may start with the keys that there are: none are needed on loopback only."""

from __future__ import annotations

import asyncio
import logging
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from server.api.nearby import is_loopback
from server.keys.book import KeyBook
from server.keys.file import KeyFile, KeyFileError
from server.settings import Settings, SettingsError
from server.traces.archive import Archive
from server.traces.database import fixed
from server.traces.errors import TraceError

log = logging.getLogger("concordance")

OPEN_NOTICE = (
    "no keys: everybody on this machine may use this server and upload mods;"
    " `concai key create NAME` makes a key, and from then on one is needed"
)


def is_open_to_this_machine_only(host: str, options: Namespace) -> bool:
    """Whether nobody else could reach the server: a loopback address, or a socket in the files."""
    return bool(getattr(options, "uds", None)) or is_loopback(host)


def book_for(settings: Settings, operators: list[str], *, network: bool) -> KeyBook:
    """The keys to start with. operators: secrets from the command line.

    network: whether others can reach the server; then there must be a key. Raises `SettingsError`.
    """
    try:
        book = KeyBook(KeyFile(settings.home), operators)
    except KeyFileError as error:
        raise SettingsError(str(error)) from error
    if network and not book.usable and settings.database_url is not None:
        asyncio.run(_read_shared(book, settings.database_url.get_secret_value()))
    if network and not book.usable:
        raise SettingsError(
            f"no keys: will not listen on {settings.host}, where others could upload code;"
            " make one with `concai key create NAME --scope admin`, pass --api-key, or listen on"
            " 127.0.0.1"
        )
    return book


@asynccontextmanager
async def kept_up(book: KeyBook, archive: Archive) -> AsyncIterator[None]:
    """Let the book follow its file and Postgres while the context lasts."""
    following = asyncio.create_task(book.follow(archive))
    try:
        yield
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def _read_shared(book: KeyBook, url: str) -> None:
    archive = Archive(fixed(url))
    try:
        await book.share(archive)
    except (TraceError, KeyFileError) as error:
        log.warning("keys cannot be read from Postgres: %s", error)
    finally:
        await archive.close()
