"""A Postgres of our own, started when it is first needed and stopped by the last who used it.

Those who use it hold a shared lock on a file. A server that was killed leaves Postgres running;
the next one finds it by its socket and adopts it. Whoever stops and finds that nobody else holds
the lock stops Postgres too. Postgres that was killed is started again by the next `start`.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from server.postgres.place import SHARED, Place, PostgresError, find_place

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "40",
    "max_locks_per_transaction": "1024",
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "max_wal_size": "1GB",
    "random_page_cost": "1.1",
    # The processors are the model's.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "log_checkpoints": "off",
}
"""What differs from Postgres's own defaults. It listens on a Unix socket only; fsync stays on.

Locks: a list of traces that is not bounded by time locks 10 relations of each day. All backends
share 2 * 1024 * 76 entries (76: 40 connections and Postgres's own processes), so eight such lists
may run at once over five years: 8 * 1826 * 10 = 146,000 of 155,000. It costs 29 MB more of shared
memory than the default of 64, of which 14 MB are touched.
"""

START_SECONDS = 60
_REMAINS = ("shared memory block", "already exists")
"""What Postgres says of a killed one whose children, or whose entry in the process table, last."""
_REMAINS_SECONDS = 10

_MAY_I_ENCRYPT = struct.pack("!ii", 8, 80877103)
"""What any client may ask first; a living server answers with one letter."""
_ANSWER_SECONDS = 5


class EmbeddedPostgres:
    """One home's Postgres, as one of its users. Not for use by two threads at once."""

    def __init__(self, home: Path, shared: Path = SHARED) -> None:
        self._home, self._shared = home, shared
        self._place: Place | None = None
        self._using = -1

    @property
    def url(self) -> str:
        """Its address, whether or not it runs. Raises `PostgresError`."""
        return f"postgresql://postgres@/postgres?host={quote(str(self._found().sockets))}"

    def start(self) -> str:
        """Make sure that it runs, and be one of its users. Returns its address.

        May be called again, also after it was killed. Takes a second or two the first time.
        Raises `PostgresError`.
        """
        place = self._found()
        with _exclusive(place.folder / "start.lock"):
            if not (place.data / "PG_VERSION").exists():
                _initialise(place)
            if not _answers(place):
                _start(place)
            if self._using < 0:
                self._using = _opened(place.folder / "users.lock")
                fcntl.flock(self._using, fcntl.LOCK_SH)
        return self.url

    def stop(self) -> bool:
        """Use it no longer; stop it if nobody else does. Returns whether it was stopped."""
        if self._using < 0:
            return False
        place = self._found()
        with _exclusive(place.folder / "start.lock"):
            os.close(self._using)
            self._using = -1
            try:
                with _exclusive(place.folder / "users.lock", wait=False):
                    if not _answers(place):
                        return False
                    _run(place, "pg_ctl", "stop", "-D", str(place.data), "-m", "fast", "-w")
            except BlockingIOError:
                return False
        return True

    def _found(self) -> Place:
        self._place = self._place or find_place(self._home, self._shared)
        return self._place


def _initialise(place: Place) -> None:
    """Make the data folder, whole or not at all."""
    fresh = Path(tempfile.mkdtemp(dir=place.folder, prefix="data-"))
    if place.account is not None:
        os.chown(fresh, *place.account)
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-instructions"]
    # Postgres's own locale: no library of the system's has a say in how text sorts.
    options += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    try:
        _run(place, "initdb", *options, "-D", str(fresh))
        fresh.rename(place.data)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _start(place: Place) -> None:
    settings = {**SETTINGS, "unix_socket_directories": str(place.sockets)}
    given = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())
    patience = time.monotonic() + _REMAINS_SECONDS
    command = ["pg_ctl", "start", "-D", str(place.data), "-l", str(place.log), "-w"]
    while True:
        try:
            return _run(place, *command, "-t", str(START_SECONDS), "-o", given)
        except PostgresError:
            said = _log_tail(place)
            if time.monotonic() > patience or not any(words in said for words in _REMAINS):
                raise
            time.sleep(0.2)


def _answers(place: Place) -> bool:
    """Whether a Postgres listens on the place's socket, and answers.

    The socket of one that is just being killed still takes connections for a moment.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_ANSWER_SECONDS)
        try:
            probe.connect(str(place.sockets / ".s.PGSQL.5432"))
            probe.sendall(_MAY_I_ENCRYPT)
            return probe.recv(1) in (b"N", b"S")
        except OSError:
            return False


def _run(place: Place, program: str, *arguments: str) -> None:
    """Run one of Postgres's programs, with none of our secrets in its environment."""
    user, group = place.account or (None, None)
    with tempfile.TemporaryFile() as said:  # a pipe would stay open in the server that it starts
        done = subprocess.run(
            [str(place.programs / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            user=user,
            group=group,
            extra_groups=None if user is None else [],
        )
        said.seek(0)
        words = " ".join(said.read().decode(errors="replace").split()[-60:])
    if done.returncode != 0:
        raise PostgresError(f"{program} failed: {words} (log: {place.log}) {_log_tail(place)}")


def _log_tail(place: Place) -> str:
    if not place.log.exists():
        return ""
    return " ".join(place.log.read_text(errors="replace").splitlines()[-5:])


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def _exclusive(path: Path, wait: bool = True) -> Iterator[None]:
    """Raises `BlockingIOError` if another holds the lock and we do not wait."""
    descriptor = _opened(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
