"""The command line, run in this process, and a server for it to talk to."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from server.cli.app import app
from tests.server.cli.fakes import FakeServer

Concai = Callable[..., Result]


@pytest.fixture
def concai(bare_environment: Path) -> Concai:
    """Runs `concai` with these arguments, in an empty folder and without our settings."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def running() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server
