"""`concai key`: keys are made, listed and revoked in a data folder, without a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from server.keys.book import KeyBook
from server.keys.file import KeyFile
from tests.server.cli.conftest import Concai

pytestmark = pytest.mark.usefixtures("bare_environment")


def test_a_key_is_printed_once_and_known_to_the_server(concai: Concai, tmp_path: Path) -> None:
    made = concai("key", "create", "ann", "--home", str(tmp_path))
    (secret,) = made.stdout.split()
    held = KeyBook(KeyFile(tmp_path)).check(secret)
    assert held is not None
    assert (held.user, sorted(held.scopes)) == ("ann", ["infer", "mods", "traces"])
    listed = concai("key", "list", "--home", str(tmp_path))
    assert held.key in listed.stdout
    assert secret not in listed.stdout


def test_scopes_are_named_one_by_one(concai: Concai, tmp_path: Path) -> None:
    concai("key", "create", "root", "--scope", "admin", "--scope", "infer", "--home", str(tmp_path))
    (key,) = KeyFile(tmp_path).read()
    assert key.scopes == ("infer", "admin")


@pytest.mark.parametrize("by", ["id", "user"])
def test_a_revoked_key_is_useless(concai: Concai, tmp_path: Path, by: str) -> None:
    home = ("--home", str(tmp_path))
    secrets = [concai("key", "create", user, *home).stdout.strip() for user in ("ann", "bob")]
    ann = KeyFile(tmp_path).read()[0]
    done = concai("key", "revoke", ann.id if by == "id" else "ann", *home)
    assert done.stdout == f"revoked {ann.id} of ann\n"
    book = KeyBook(KeyFile(tmp_path))
    assert [book.check(secret) is None for secret in secrets] == [True, False]
    assert "revoked" in concai("key", "list", *home).stdout.splitlines()[0]
    assert "was revoked before" in concai("key", "revoke", "ann", *home).stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("create", "../ann"), 2, "no user's name"),
        (("create", "ann", "--scope", "root"), 2, "expected scopes out of"),
        (("revoke", "nobody"), 1, "there is no key and no user"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    concai: Concai, tmp_path: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = concai("key", *arguments, "--home", str(tmp_path))
    assert done.exit_code == status
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_keys_yet_says_how_to_make_one(concai: Concai, tmp_path: Path) -> None:
    assert "concai key create" in concai("key", "list", "--home", str(tmp_path)).stderr


def test_a_postgres_that_is_away_is_said_and_the_key_is_kept(
    concai: Concai, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    done = concai("key", "create", "ann", "--home", str(tmp_path))
    assert done.exit_code == 0
    assert "not shared with DATABASE_URL now" in done.stderr
    assert [key.user for key in KeyFile(tmp_path).read()] == ["ann"]


def test_making_and_revoking_is_written_down(concai: Concai, tmp_path: Path) -> None:
    secret = concai("key", "create", "ann", "--home", str(tmp_path)).stdout.strip()
    concai("key", "revoke", "ann", "--home", str(tmp_path))
    text = (tmp_path / "logs" / "audit.jsonl").read_text()
    events = [json.loads(line)["event"] for line in text.splitlines()]
    assert events == ["key_created", "key_revoked"]
    assert secret not in text
