"""`concai mod test`: the laws, checked on a mod that is still on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.errors import CommandError, located
from server.cli.showing import printable

if TYPE_CHECKING:
    from mods.runtime.rehearsal import Rehearsal, Scene
    from mods.runtime.seat import LoadedMod

File = Annotated[Path, typer.Argument(metavar="FILE", help="A mod: a .py file or a folder.")]
Text = Annotated[
    str | None, typer.Option(help="What the scripted model writes (default: all sorts of things).")
]
MaxTokens = Annotated[int, typer.Option(min=1, max=512, help="Tokens to write at most.")]


def trial(
    file: File,
    prompt: Annotated[str, typer.Option(help="The request's text.")] = "Hi",
    text: Text = None,
    max_tokens: MaxTokens = 64,
) -> None:
    """Check the laws on a mod, against a scripted model. Needs no server."""
    from mods.runtime.rehearsal import Scene
    from mods.sdk.testing.laws import NAMES

    chain = load(file)
    came = rehearse_here(chain, Scene(prompt, text, max_tokens, seconds=60.0))
    name = chain[0].traits.name
    did = ", ".join(f"{what.partition(': ')[2]} {count}" for what, count in came.acted.items())
    if came.broken is not None:
        broken = came.broken
        for line in (broken.script, *broken.story):
            typer.echo(printable(line))
        typer.echo(f"{name} breaks law {broken.law} ({broken.name}): {broken.what}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{name} keeps laws 0 to {max(NAMES)}: {came.runs} runs, {came.calls} calls")
    typer.echo(f"it did: {did or 'nothing'}")
    if not did:
        typer.echo("it did nothing: give it something to act on with --text", err=True)


def load(file: Path) -> list[LoadedMod]:
    """The mod, imported here: it is its author's own. Raises `CommandError`."""
    from mods.runtime.files import PackageError
    from mods.runtime.load import load_chain
    from mods.runtime.package import Package

    if not file.exists():
        raise CommandError(f"there is no file or folder {file}")
    try:
        return load_chain([Package.from_folder(file)], {})
    except PackageError as error:
        raise CommandError(located(str(error), error.file, error.line)) from None


def rehearse_here(chain: list[LoadedMod], scene: Scene) -> Rehearsal:
    """Rehearse in this process. What the mod prints is kept with what it did."""
    from contextlib import redirect_stdout

    from mods.runtime.host.speech import Speech
    from mods.sdk.testing.rehearsal import rehearse

    with redirect_stdout(Speech()):
        return rehearse(chain, scene)
