"""`concai mod`: upload, list, show and remove the mods of a running server, and try them out.

An entry point is found here, by parsing and without running anything, so that a mistake shows
before anything is sent. What the server checks on top it says in its own words.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from server.cli import run, trial
from server.cli.errors import CommandError, located
from server.cli.service import DEFAULT_URL, ModService, Url, UserApiKey

app = typer.Typer(help="Try mods out; upload, list, show and remove them.", no_args_is_help=True)
app.command("test")(trial.trial)
app.command("run")(run.run)

Name = Annotated[str, typer.Argument(help="The mod's name.")]


@app.command()
def upload(
    file_name: Annotated[Path | None, typer.Option(help="A mod of one file.")] = None,
    dir_: Annotated[Path | None, typer.Option("--dir", help="A mod of several files.")] = None,
    name: Annotated[
        str | None, typer.Option(help="What to call it (default: its own name).")
    ] = None,
    url: Url = DEFAULT_URL,
    user_api_key: UserApiKey = None,
) -> None:
    """Upload a mod, and print the `model` string that uses it."""
    payload = read_mod(file_name, dir_, name)
    with ModService(url, user_api_key) as service:
        uploaded = service.upload(payload)
        model = uploaded.get("model") or f"{service.base_model()}/{payload['name']}"
    done = "replaced" if uploaded.get("replaced") else "uploaded"
    typer.echo(f"{done} {payload['name']}, entry point {payload['entrypoint']}")
    typer.echo(f"model: {model}")


@app.command("list")
def list_(url: Url = DEFAULT_URL, user_api_key: UserApiKey = None) -> None:
    """List the mods, a line for each."""
    with ModService(url, user_api_key) as service:
        mods = service.all()
    width = max((len(str(mod["name"])) for mod in mods), default=0)
    for mod in mods:
        summary = str(mod.get("description") or "").partition("\n")[0]
        typer.echo(f"{mod['name']:<{width}}  {summary}".rstrip())
    if not mods:
        typer.echo("no mods yet: `concai mod upload --file-name F` adds one", err=True)


@app.command()
def show(name: Name, url: Url = DEFAULT_URL, user_api_key: UserApiKey = None) -> None:
    """Show what the server knows of a mod."""
    with ModService(url, user_api_key) as service:
        mod = service.one(name)
    for key, value in mod.items():
        typer.echo(f"{key + ':':<13}{in_words(value)}")


@app.command("rm")
def remove(name: Name, url: Url = DEFAULT_URL, user_api_key: UserApiKey = None) -> None:
    """Remove a mod."""
    with ModService(url, user_api_key) as service:
        service.remove(name)
    typer.echo(f"removed {name}")


def read_mod(file_name: Path | None, folder: Path | None, name: str | None) -> dict[str, Any]:
    """The payload for a mod on disk. Raises `CommandError`, with file and line where known."""
    # Imported here: it costs more than the rest of the command line together.
    from mods.runtime.files import PackageError
    from mods.runtime.package import Package

    path = one_of(file_name, folder)
    try:
        package = Package.from_folder(path, name=name)
    except PackageError as error:
        raise CommandError(located(str(error), error.file, error.line)) from None
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from None
    return {
        "name": package.name,
        "description": package.description,
        "files": package.files,
        "entrypoint": package.entry,
    }


def one_of(file_name: Path | None, folder: Path | None) -> Path:
    """The file or the folder, whichever was given, if it is one."""
    if (file_name is None) == (folder is None):
        raise CommandError("name the mod with either --file-name or --dir", status=2)
    if file_name is not None:
        if not file_name.is_file():
            raise CommandError(f"there is no file {file_name}")
        return file_name
    assert folder is not None
    if not folder.is_dir():
        raise CommandError(f"there is no folder {folder}")
    return folder


def in_words(value: Any) -> str:
    """A field of a mod for reading: lists on one line, files by their paths."""
    if isinstance(value, list):
        return ", ".join(str(part["path"] if is_file(part) else part) for part in value) or "-"
    return "-" if value in (None, "") else str(value)


def is_file(part: Any) -> bool:
    return isinstance(part, dict) and "path" in part
