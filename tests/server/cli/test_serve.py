"""`concai serve` finds what it can before it loads a model, and hands the rest to the server."""

import io
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from server.cli.loading import Loading, copy_of_stderr
from server.cli.preflight import check_model, looks_like_path
from server.settings import Settings
from tests.server.cli.conftest import Concai
from tests.server.cli.fakes import FakeServer

Start = tuple[Settings, list[str]]


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[Start]:
    """Every start that was asked for, in place of a server that would load a model."""
    asked: list[Start] = []

    def run(settings: Settings, engine_args: Sequence[str]) -> int:
        asked.append((settings, list(engine_args)))
        return 7

    stand_in: Any = ModuleType("server.app")
    stand_in.run = run
    monkeypatch.setitem(sys.modules, "server.app", stand_in)
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    return asked


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_engine_options_pass_through_and_the_status_comes_back(
    concai: Concai, starts: list[Start], free_port: int
) -> None:
    result = concai(
        "serve", "--max-model-len", 2048, "--port", free_port, "-tp", 1, "--dtype=float32"
    )
    assert result.exit_code == 7
    settings, engine_args = starts[0]
    assert settings.port == free_port
    assert engine_args == ["--max-model-len", "2048", "-tp", "1", "--dtype=float32"]


def test_an_unknown_setting_stops_the_start_with_status_2(
    concai: Concai, starts: list[Start], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONCORDANCE_PROT", "1")
    result = concai("serve")
    assert (result.exit_code, starts) == (2, [])
    assert result.stderr == (
        "error: CONCORDANCE_PROT is no setting; did you mean CONCORDANCE_PORT?\n"
    )


def test_a_port_in_use_is_one_line(concai: Concai, starts: list[Start], taken_port: int) -> None:
    result = concai("serve", "--port", taken_port)
    assert (result.exit_code, starts) == (1, [])
    assert result.stderr.startswith(f"error: port {taken_port} on 127.0.0.1 is in use")
    assert result.stderr.count("\n") == 1


def test_an_address_of_another_machine_is_one_line(concai: Concai, starts: list[Start]) -> None:
    result = concai("serve", "--host", "192.0.2.1")
    assert (result.exit_code, starts) == (1, [])
    assert result.stderr.startswith("error: cannot listen on 192.0.2.1")


def test_a_model_path_that_is_not_there_is_one_line(concai: Concai, starts: list[Start]) -> None:
    result = concai("serve", "--model", "./nope")
    assert (result.exit_code, starts) == (1, [])
    assert result.stderr == "error: there is no model at ./nope: no such file or folder\n"


def test_a_folder_without_a_model_is_one_line(concai: Concai, starts: list[Start]) -> None:
    Path("empty").mkdir()
    result = concai("serve", "--model", "empty")
    assert (result.exit_code, starts) == (1, [])
    assert "no config.json" in result.stderr


def test_a_name_on_its_own_is_told_where_it_belongs(concai: Concai, starts: list[Start]) -> None:
    result = concai("serve", "org/name")
    assert (result.exit_code, starts) == (2, [])
    assert "concai serve --model org/name" in result.stderr


def test_a_folder_of_mods_must_exist(concai: Concai, starts: list[Start]) -> None:
    result = concai("serve", "--mods", "nope")
    assert (result.exit_code, starts) == (2, [])
    assert result.stderr == "error: CONCORDANCE_MODS=nope: there is no such folder\n"


@pytest.mark.parametrize("model", ["org/name", "name"])
def test_a_hub_name_is_left_to_vllm(model: str) -> None:
    assert not looks_like_path(model)
    check_model(model)


@pytest.mark.parametrize("model", ["/a", "./a", "../a", "~/a", "a/b/c", "a/"])
def test_what_no_hub_name_can_be_is_a_path(model: str) -> None:
    assert looks_like_path(model)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def wait_until_ready(loading: Loading) -> None:
    loading._thread.join(timeout=10)
    assert not loading._thread.is_alive()


def test_loading_says_so_in_lines_where_there_is_no_terminal(running: FakeServer) -> None:
    out = io.StringIO()
    with Loading("demo", "0.0.0.0", running.port, stream=out) as loading:
        wait_until_ready(loading)
    assert out.getvalue() == f"Loading demo (0 s)\nReady at {running.url} after 0 s\n" or (
        f"Ready at {running.url} after 1 s\n" in out.getvalue()
    )


def test_loading_spins_on_a_terminal_and_leaves_a_clean_line(
    running: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    with Loading("demo", "127.0.0.1", running.port, stream=out) as loading:
        wait_until_ready(loading)
    assert "⠋ Loading demo (0 s)" in out.getvalue()
    assert "\r\x1b[2KReady at" in out.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["plain", "terminal"])
def test_loading_ends_without_ready_when_the_start_failed(
    stream: io.StringIO, free_port: int
) -> None:
    with Loading("demo", "127.0.0.1", free_port, stream=stream, say_every=0.0):
        pass
    assert "Loading demo" in stream.getvalue()
    assert "Ready" not in stream.getvalue()


def test_loading_is_seen_although_standard_error_is_redirected(
    capfd: pytest.CaptureFixture[str],
) -> None:
    saved = os.dup(2)
    with copy_of_stderr() as copy:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        copy.write("seen\n")
        copy.flush()
        os.dup2(saved, 2)
        os.close(nowhere)
    os.close(saved)
    assert capfd.readouterr().err == "seen\n"
