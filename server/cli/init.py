"""`concai init`: a small project to start from."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from server.cli.errors import CommandError
from server.demo import MODEL_NAME
from server.settings import Settings, variable_names


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to make it.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Make a project: settings, a first mod, and how to run it."""
    contents = {folder / name: text for name, text in project_files().items()}
    present = [str(path) for path in contents if path.exists()]
    if present and not force:
        raise CommandError(f"{', '.join(present)} would be overwritten; --force does it")
    for path, text in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        typer.echo(f"wrote {path}")
    typer.echo(f"next: {folder / 'README.md'} says how to run it")


def project_files() -> dict[str, str]:
    """The project's files: path inside the project to text."""
    template = files("server.cli") / "template"
    readme = (template / "README.md").read_text()
    return {
        ".env": settings_file(),
        "mods/first_mod.py": (template / "first_mod.py").read_text(),
        "README.md": readme.replace("{model}", MODEL_NAME),
    }


def settings_file() -> str:
    """Every setting, commented out, at its default."""
    lines = ["# Settings of `concai serve` in this folder: take the # away to change one.", ""]
    for name, field in Settings.model_fields.items():
        variable = variable_names(name)[0]
        default = "" if field.default is None or name == "model" else field.default
        lines += [f"# {field.description}", f"#{variable}={default}", ""]
    return "\n".join(lines)
