"""What holds for every command: documented, quick to start, and `version` tells the truth."""

import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import typer

from server.cli.app import app
from server.cli.version import installed
from tests.server.cli.conftest import Concai

ROOT = Path(__file__).parents[3]


def command_names() -> set[str]:
    """Every command as it is typed, without `concai`."""
    names: set[str] = set()

    def collect(command: object, path: list[str]) -> None:
        children = getattr(command, "commands", None)
        if children is None:
            names.add(" ".join(path))
        for name, child in (children or {}).items():
            collect(child, [*path, name])

    collect(typer.main.get_command(app), [])
    return names


def test_every_command_is_documented_and_every_documented_one_exists() -> None:
    documented = re.findall(r"^## (.+)$", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE)
    assert set(documented) == command_names()


def test_version_shows_what_is_installed(concai: Concai) -> None:
    lines = dict(line.split(maxsplit=1) for line in concai("version").stdout.splitlines())
    assert list(lines) == ["concordance", "vllm", "torch", "python"]
    assert lines["python"] == platform.python_version()
    assert lines["torch"] == metadata.version("torch")


def test_version_names_another_distribution_and_says_what_is_missing() -> None:
    assert installed("no-such-distribution") == "not installed"
    assert installed("no-such-distribution", "pytest") == f"{metadata.version('pytest')} (pytest)"


def test_no_command_waits_for_vllm_or_torch_to_be_imported() -> None:
    program = (
        "import sys, server.cli\n"
        "heavy = {'vllm', 'torch', 'transformers', 'fastapi', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
