"""Keys in a file of the data folder, which only the server's own user may read.

It is there with and without a Postgres: the server knows its keys from the first moment, and
`concai key` needs no server.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from server.keys.key import Key
from server.keys.table import KeyTable

NAME = "keys.json"


class KeyFileError(RuntimeError):
    """The file cannot be read or written; the message is one line."""


class KeyFile:
    """`keys.json` in a data folder. Written whole, by one process at a time."""

    def __init__(self, home: Path) -> None:
        self.path = home / NAME

    def read(self) -> list[Key]:
        """Every key, none where there is no file. Raises `KeyFileError`."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=list[Key])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise KeyFileError(f"keys cannot be read from {self.path}: {error}") from error

    def add(self, keys: Iterable[Key]) -> list[Key]:
        """Bring these together with what is there. Returns every key. Raises `KeyFileError`."""
        try:
            with self._alone():
                table = KeyTable(self.read())
                if table.add(keys):
                    self._write(table.all())
                return table.all()
        except OSError as error:
            raise KeyFileError(f"keys cannot be written to {self.path}: {error}") from error

    def mark(self) -> tuple[int, int] | None:
        """Changes whenever the file does."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, keys: list[Key]) -> None:
        """Whole or not at all: another file takes the place of the old one."""
        number, name = tempfile.mkstemp(prefix=".keys-", dir=self.path.parent)  # mode 0600
        try:
            with os.fdopen(number, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(keys)))
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)
        except BaseException:
            os.unlink(name)
            raise
