from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from server.keys.file import KeyFile, KeyFileError
from server.keys.key import new_key


def test_what_was_added_is_there_for_the_next_process(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    key, secret = new_key("ann", ["infer", "admin"])
    assert KeyFile(home).read() == []
    assert KeyFile(home).add([key]) == [key]
    assert KeyFile(home).read() == [key]
    assert secret not in (home / "keys.json").read_text()


def test_only_the_server_s_own_user_may_read_it(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    for _ in range(2):
        file.add([new_key("ann")[0]])
        assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys.json", "keys.lock"]


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    keys = [new_key(f"user{n}")[0] for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: KeyFile(tmp_path).add([key]), keys))
    assert {key.id for key in KeyFile(tmp_path).read()} == {key.id for key in keys}


def test_a_change_shows_in_the_mark_and_none_does_not(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    assert file.mark() is None
    key, _ = new_key("ann")
    file.add([key])
    mark = file.mark()
    file.add([key])
    assert file.mark() == mark
    file.add([key.revoked()])
    assert file.mark() != mark


@pytest.mark.parametrize("text", ["", "{}", "[{}]", "[1]", "\xff"])
def test_a_file_that_cannot_be_read_is_no_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.json").write_text(text, "latin-1")
    with pytest.raises(KeyFileError, match=r"keys cannot be read from .*keys\.json"):
        KeyFile(tmp_path).read()
    with pytest.raises(KeyFileError):
        KeyFile(tmp_path).add([new_key("ann")[0]])
    assert (tmp_path / "keys.json").read_text("latin-1") == text
