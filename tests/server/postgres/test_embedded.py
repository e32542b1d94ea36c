"""The embedded Postgres: started once, adopted, stopped by the last, and never in the open."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from server.postgres import embedded as embedded_module
from server.postgres.embedded import EmbeddedPostgres
from server.postgres.place import PostgresError, find_place, reachable

ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A data folder with a short name, which other accounts may enter."""
    home = Path(tempfile.mkdtemp(prefix="concordance-test-"))
    home.chmod(0o755)
    yield home
    left = EmbeddedPostgres(home)
    left.start()
    left.stop()
    shutil.rmtree(home)


def ask(url: str, question: str) -> object:
    async def asked() -> object:
        connection = await asyncpg.connect(url)
        answer = await connection.fetchval(question)
        await connection.close()
        return answer

    return asyncio.run(asked())


def postmaster(home: Path) -> int:
    return int((find_place(home).data / "postmaster.pid").read_text().splitlines()[0])


def runs(home: Path) -> bool:
    return embedded_module._answers(find_place(home))


def test_the_last_of_its_users_stops_it(home: Path) -> None:
    one, two = EmbeddedPostgres(home), EmbeddedPostgres(home)
    url = one.start()
    first = postmaster(home)
    assert two.start() == one.start() == url
    assert postmaster(home) == first
    assert not one.stop()
    assert ask(url, "select 1") == 1
    assert two.stop()
    assert not runs(home)
    assert not two.stop()


def test_what_was_written_is_there_at_the_next_start(home: Path) -> None:
    server = EmbeddedPostgres(home)
    ask(server.start(), "create table kept as select 7 as n")
    assert server.stop()
    assert ask(server.start(), "select n from kept") == 7
    assert ask(server.url, "show fsync") == "on"
    assert server.stop()


USE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from server.postgres.embedded import EmbeddedPostgres
EmbeddedPostgres(Path(sys.argv[1])).start()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_one_that_a_killed_server_left_running_is_adopted(home: Path) -> None:
    died = subprocess.run([sys.executable, "-c", USE_AND_DIE, str(home)])
    assert died.returncode == -signal.SIGKILL
    assert runs(home)
    left = postmaster(home)
    server = EmbeddedPostgres(home)
    server.start()
    assert postmaster(home) == left
    assert server.stop()


def test_one_that_was_killed_is_started_again(home: Path) -> None:
    server = EmbeddedPostgres(home)
    ask(server.start(), "create table survives as select 8 as n")
    os.kill(postmaster(home), signal.SIGKILL)
    assert ask(server.start(), "select n from survives") == 8
    assert server.stop()


def test_many_that_start_it_at_once_start_one(home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from server.postgres.embedded import"
        " EmbeddedPostgres; s = EmbeddedPostgres(Path(sys.argv[1])); s.start();"
        " print(s._place.data.joinpath('postmaster.pid').read_text().split()[0])"
    )
    server = EmbeddedPostgres(home)
    starting = [
        subprocess.Popen([sys.executable, "-c", code, str(home)], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    server.start()
    pids = {process.communicate()[0].strip() for process in starting}
    assert pids == {str(postmaster(home)).encode()}
    assert server.stop()


def test_it_listens_on_no_port_and_its_socket_is_for_its_account(home: Path) -> None:
    server = EmbeddedPostgres(home)
    url = server.start()
    assert ask(url, "show listen_addresses") == ""
    place = find_place(home)
    assert stat.S_IMODE(place.sockets.stat().st_mode) == 0o700
    assert stat.S_IMODE(place.data.stat().st_mode) == 0o700
    assert server.stop()


def test_it_inherits_none_of_our_secrets(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hush-hush")
    server = EmbeddedPostgres(home)
    server.start()
    environment = Path(f"/proc/{postmaster(home)}/environ").read_bytes()
    assert b"hush-hush" not in environment
    assert server.stop()


def test_a_long_home_has_its_socket_elsewhere() -> None:
    base = Path(tempfile.mkdtemp(prefix="concordance-test-"))
    base.chmod(0o755)
    home = base / ("long-" * 20)
    server = EmbeddedPostgres(home)
    assert ask(server.start(), "select 1") == 1
    sockets = find_place(home).sockets
    assert base not in sockets.parents
    assert server.stop()
    shutil.rmtree(base)
    shutil.rmtree(sockets)


def test_a_failure_says_what_postgres_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(embedded_module.SETTINGS, "shared_buffers", "much")
    with pytest.raises(PostgresError, match='invalid value for parameter "shared_buffers"'):
        EmbeddedPostgres(home).start()


def test_without_the_package_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.postgres.place.PACKAGE", "no_such_package")
    with pytest.raises(PostgresError, match="set DATABASE_URL"):
        EmbeddedPostgres(tmp_path).start()


@pytest.mark.skipif(not ROOT, reason="only root has to keep out of private homes")
def test_a_private_home_stays_private(tmp_path: Path) -> None:
    shared = Path(tempfile.mkdtemp(prefix="concordance-test-"))
    shared.chmod(0o755)
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    home = private / "home"
    server = EmbeddedPostgres(home, shared / "s")
    assert ask(server.start(), "select 1") == 1
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert (home / "postgres").resolve().parent == (shared / "s").resolve()
    assert os.stat(f"/proc/{postmaster_of(shared)}").st_uid != 0
    assert server.stop()
    shutil.rmtree(shared)


def postmaster_of(shared: Path) -> int:
    (file,) = shared.glob("s/*/data/postmaster.pid")
    return int(file.read_text().splitlines()[0])


@pytest.mark.skipif(not ROOT, reason="only root runs it as another account")
def test_programs_that_the_account_cannot_reach_are_copied(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "server.postgres.place.reachable", lambda path: path.name != "postgres" and reachable(path)
    )
    place = find_place(home)
    assert place.folder in place.programs.parents
    for program in ("postgres", "initdb"):
        done = subprocess.run(
            [place.programs / program, "--version"], user=place.account[0], cwd="/", check=True
        )
        assert done.returncode == 0
    assert find_place(home) == place
