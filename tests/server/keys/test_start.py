"""A server that others can reach does not start without keys."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from server.keys.file import KeyFile
from server.keys.key import new_key
from server.keys.start import book_for, is_open_to_this_machine_only
from server.settings import Settings, SettingsError

pytestmark = pytest.mark.usefixtures("bare_environment")


def settings(home: Path, **more: object) -> Settings:
    return Settings.load(home=home, host="0.0.0.0", **more)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_loopback_is_this_machine(host: str) -> None:
    assert is_open_to_this_machine_only(host, Namespace())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.org", ""])
def test_everything_else_is_not(host: str) -> None:
    assert not is_open_to_this_machine_only(host, Namespace(uds=None))


def test_a_socket_in_the_files_is_this_machine() -> None:
    assert is_open_to_this_machine_only("0.0.0.0", Namespace(uds="server.sock"))


def test_without_keys_a_network_server_does_not_start_and_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refusal:
        book_for(settings(tmp_path), [], network=True)
    said = str(refusal.value)
    assert "0.0.0.0" in said
    assert "concai key create" in said
    assert "\n" not in said


def test_with_revoked_keys_only_it_does_not_start_either(tmp_path: Path) -> None:
    KeyFile(tmp_path).add([new_key("ann")[0].revoked()])
    with pytest.raises(SettingsError, match="no keys"):
        book_for(settings(tmp_path), [], network=True)


def test_with_a_key_or_one_on_the_command_line_it_starts(tmp_path: Path) -> None:
    assert book_for(settings(tmp_path), ["given"], network=True).usable
    KeyFile(tmp_path).add([new_key("ann")[0]])
    assert book_for(settings(tmp_path), [], network=True).usable


def test_on_loopback_it_starts_open(tmp_path: Path) -> None:
    assert not book_for(settings(tmp_path), [], network=False).any


def test_keys_that_cannot_be_read_stop_the_start_everywhere(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(SettingsError, match="keys cannot be read"):
        book_for(settings(tmp_path), [], network=False)


def test_a_postgres_that_is_away_has_no_keys(tmp_path: Path) -> None:
    away = settings(tmp_path, database_url="postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(SettingsError, match="no keys"):
        book_for(away, [], network=True)
