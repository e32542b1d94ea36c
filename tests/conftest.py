"""What every test stands on: no setting of the machine or of a `.env` reaches a test."""

import os
from pathlib import Path

import pytest

from tests.timing import LATE

OUTSIDE = ("CONCORDANCE_", "MODEL_ID", "DATABASE_URL", "QUOTE_LOG_INGEST_URL", "HF_TOKEN")


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment without our settings, in an empty working directory, which it returns."""
    for name in list(os.environ):
        if name.upper().startswith(OUTSIDE):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What took longer than it should, which fails no test."""
    if LATE:
        terminalreporter.section("slower than meant")
        for line in LATE:
            terminalreporter.write_line(line)
