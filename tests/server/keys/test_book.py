from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

import pytest

from server.keys.book import KeyBook
from server.keys.file import KeyFile, KeyFileError
from server.keys.key import Key, new_key
from server.keys.passes import LOCAL, OPERATOR, Pass
from server.keys.start import kept_up
from server.traces.archive import Archive
from server.traces.errors import AwayError


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path)


def test_a_key_made_elsewhere_is_known_after_the_next_look(file: KeyFile) -> None:
    book = KeyBook(file)
    key, secret = new_key("ann", ["infer"])
    assert (book.any, book.check(secret)) == (False, None)
    file.add([key])
    book.refresh()
    assert book.check(secret) == Pass("ann", frozenset(["infer"]), key.id)
    file.add([key.revoked()])
    book.refresh()
    assert book.check(secret) is None


def test_once_there_was_a_key_the_server_stays_closed(file: KeyFile) -> None:
    key, _ = new_key("ann")
    file.add([key.revoked()])
    book = KeyBook(file)
    assert (book.any, book.usable) == (True, False)


async def test_a_key_is_on_the_disk_before_it_is_told(file: KeyFile) -> None:
    book = KeyBook(file)
    key, secret = await book.create("ann", ["infer", "mods"])
    assert KeyBook(file).check(secret) == Pass("ann", frozenset(["infer", "mods"]), key.id)


def test_the_key_that_the_server_was_started_with_is_an_administrator_s(file: KeyFile) -> None:
    book = KeyBook(file, ["secret", "other"])
    assert (book.any, book.usable) == (True, True)
    for secret in ("secret", "other"):
        held = book.check(secret)
        assert held is OPERATOR
        assert held.is_admin
        assert held.user == LOCAL
    assert book.check("Secret") is None
    assert file.read() == []


def test_a_file_that_breaks_later_takes_no_key_away(
    file: KeyFile, caplog: pytest.LogCaptureFixture
) -> None:
    key, secret = new_key("ann")
    file.add([key])
    book = KeyBook(file)
    file.path.write_text("nonsense")
    book.refresh()
    assert book.check(secret) is not None
    assert "keys cannot be read" in caplog.text


def test_a_file_that_is_broken_at_the_start_lets_nobody_in(file: KeyFile) -> None:
    file.path.parent.mkdir(exist_ok=True)
    file.path.write_text("nonsense")
    with pytest.raises(KeyFileError):
        KeyBook(file)


async def test_whatever_goes_wrong_a_later_revocation_is_noticed(
    file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.keys.book.LOOK_SECONDS", 0.01)
    key, secret = new_key("ann")
    file.add([key])
    book = KeyBook(file)
    reads = file.read

    def fails_once() -> list[Key]:
        monkeypatch.setattr(file, "read", reads)
        raise PermissionError("not now")

    async def nowhere() -> str:
        raise AwayError("there is no Postgres")

    async with kept_up(book, Archive(nowhere)):
        KeyFile(file.path.parent).add([key.revoked()])
        monkeypatch.setattr(file, "read", fails_once)
        for _ in range(2_000):
            if book.check(secret) is None:
                break
            await asyncio.sleep(0.01)
    assert book.check(secret) is None


def test_every_key_of_many_is_found(file: KeyFile) -> None:
    made = [new_key(f"user{n}") for n in range(1000)]
    file.add([key for key, _ in made])
    book = KeyBook(file)
    secrets = [secret for _, secret in made]
    times = []
    for secret in [*secrets, *secrets]:
        began = time.perf_counter()
        assert book.check(secret) is not None
        times.append(time.perf_counter() - began)
    print(f"a check takes {statistics.median(times) * 1e6:.1f} µs; 20 are allowed")
