"""Where a Chromium is looked for, and what happens where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy import chromium


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def _empty_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing on PATH, nothing of Playwright's, not root."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "browsers"))
    monkeypatch.setattr(chromium.os, "geteuid", lambda: 1000)


def test_one_on_path_is_taken_first(tmp_path: Path) -> None:
    program(tmp_path / "browsers" / "chromium-9" / "chrome-linux" / "chrome")
    wanted = program(tmp_path / "bin" / "chromium")
    assert chromium.get() == wanted


def test_of_playwright_s_the_newest_is_taken(tmp_path: Path) -> None:
    for number in (9, 1200, 30):
        program(tmp_path / "browsers" / f"chromium-{number}" / "chrome-linux64" / "chrome")
    assert chromium.get().parts[-3] == "chromium-1200"


def test_a_file_that_cannot_be_run_is_passed_over(tmp_path: Path) -> None:
    broken = program(tmp_path / "browsers" / "chromium-9" / "chrome-linux" / "chrome")
    broken.chmod(0o644)
    assert chromium.find() is None


def test_root_on_debian_gets_one_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin" / "apt-get")
    monkeypatch.setattr(chromium.os, "geteuid", lambda: 0)
    ran = []

    def run(command: list[str]) -> bool:
        ran.append(command[1])
        if command[1] == "install":
            program(tmp_path / "bin" / "chromium")
        return True

    monkeypatch.setattr(chromium, "_run", run)
    assert chromium.get() == tmp_path / "bin" / "chromium"
    assert ran == ["update", "install"]


def test_nothing_is_installed_where_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin" / "apt-get")
    wanted = program(tmp_path / "bin" / "google-chrome")
    monkeypatch.setattr(chromium.os, "geteuid", lambda: 0)
    monkeypatch.setattr(chromium, "_run", lambda command: pytest.fail(str(command)))
    assert chromium.get() == wanted


def test_without_root_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program(tmp_path / "bin" / "apt-get")
    monkeypatch.setattr(chromium, "_run", lambda command: pytest.fail(str(command)))
    assert chromium.main() == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "apt-get install chromium" in said.err
    assert said.out == ""


def test_an_installation_that_fails_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin" / "apt-get")
    monkeypatch.setattr(chromium.os, "geteuid", lambda: 0)
    monkeypatch.setattr(chromium, "_run", lambda command: False)
    with pytest.raises(chromium.NoChromiumError, match="none was found"):
        chromium.get()
