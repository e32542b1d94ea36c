"""A running server's keys: the table that requests are checked against, and where it comes from.

The file in the data folder is read at the start and whenever it changes, so that `concai key` works
on a server that runs. Where there is a Postgres, what it has and what the file has are brought
together every few seconds, both ways: servers that share a Postgres share their keys. Keys only
come and are revoked, so the order in which this happens does not matter.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from server.keys.file import KeyFile, KeyFileError
from server.keys.key import Key, digest_of, new_key
from server.keys.passes import OPERATOR, Pass, pass_of
from server.keys.table import KeyTable
from server.traces.archive import Archive
from server.traces.errors import TraceError

LOOK_SECONDS = 1.0
SHARE_SECONDS = 5.0

log = logging.getLogger("concordance.keys")


class KeyBook:
    """Raises `KeyFileError` when made, where there is a file that cannot be read: a server that
    cannot tell who may come in must not start.

    operators: secrets given on the command line (vLLM's `--api-key`). They are kept nowhere.
    """

    def __init__(self, file: KeyFile, operators: Iterable[str] = ()) -> None:
        self._file = file
        self._mark = file.mark()
        self.table = KeyTable(file.read())
        self._operators = {digest_of(secret) for secret in operators}

    @property
    def any(self) -> bool:
        """Whether there has ever been a key. A server without one may be open."""
        return bool(self._operators or len(self.table))

    @property
    def usable(self) -> bool:
        """Whether somebody could come in with a key."""
        return bool(self._operators) or self.table.any_live

    def check(self, secret: str) -> Pass | None:
        """What this secret lets its bearer do; None if it is no key's."""
        key = self.table.check(secret)
        if key is not None:
            return pass_of(key)
        return OPERATOR if self._operators and digest_of(secret) in self._operators else None

    async def create(self, user: str, scopes: Iterable[str]) -> tuple[Key, str]:
        """A new key and its secret, told once. Raises `BadKeyError` and `KeyFileError`."""
        key, secret = new_key(user, scopes)
        # On the disk before anybody is told of it.
        await asyncio.to_thread(self._file.add, [key])
        self.table.add([key])
        return key, secret

    def refresh(self) -> None:
        """Read the file again if it changed. What cannot be read is logged; keys that are known
        stay known."""
        mark = self._file.mark()
        if mark == self._mark:
            return
        try:
            self.table.add(self._file.read())
            self._mark = mark
        except KeyFileError as error:
            log.error("%s", error)

    async def share(self, archive: Archive) -> None:
        """Bring together what Postgres has and what is here. Raises `TraceError`."""
        stored = (await archive.shelves()).keys
        theirs = await stored.all()
        shared = frozenset((key.id, key.live) for key in theirs)
        await stored.keep([key for key in self.table.all() if (key.id, key.live) not in shared])
        if self.table.add(theirs):
            await asyncio.to_thread(self._file.add, theirs)

    async def follow(self, archive: Archive) -> None:
        """Keep up with the file and with Postgres until cancelled.

        Nothing ends it: a key that is revoked later must be noticed.
        """
        waited = SHARE_SECONDS
        while True:
            try:
                self.refresh()
                if waited >= SHARE_SECONDS and archive.state == "ok":
                    waited = 0.0
                    await self.share(archive)
            except (TraceError, KeyFileError) as error:
                log.warning("keys are not shared with Postgres now: %s", error)
            except Exception:
                log.exception("keys could not be looked at; trying again")
            await asyncio.sleep(LOOK_SECONDS)
            waited += LOOK_SECONDS
