"""`concai serve`: checks what can be checked, then hands over to the server.

Options that are not ours are vLLM's engine options and go to its parser as they are.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from server.cli.errors import CommandError
from server.cli.loading import Loading
from server.cli.preflight import check_address, check_model
from server.demo import MODEL_NAME
from server.settings import Settings


def serve(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Option(help="A folder or a Hugging Face name (default: the demo model).")
    ] = None,
    mods: Annotated[Path | None, typer.Option(help="A folder of mods to load.")] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None,
    trust_mods: Annotated[
        bool, typer.Option("--trust-mods", help="Run mods without a sandbox.")
    ] = False,
) -> None:
    """Start the server. Any vLLM engine option may follow, such as --max-model-len 2048."""
    refuse_positional(context.args)
    settings = Settings.load(
        model=model, mods=mods, host=host, port=port, trust_mods=trust_mods or None
    )
    check_model(settings.model)
    check_address(settings.host, settings.port)
    prepare_environment(settings)
    name = MODEL_NAME if settings.is_demo else settings.model
    with Loading(name, settings.host, settings.port):
        # Half of the start is this import: everything above answers without it.
        from server.app import run

        status = run(settings, list(context.args))
    raise typer.Exit(status)


def refuse_positional(arguments: list[str]) -> None:
    """Raises `CommandError` for `concai serve NAME`: what is left must begin with an option."""
    if arguments and not arguments[0].startswith("-"):
        raise CommandError(
            f"{arguments[0]} is no option; to serve it: concai serve --model {arguments[0]}", 2
        )


def prepare_environment(settings: Settings) -> None:
    """What the processes that are started from here find in their environment."""
    # A `mods` folder in the working directory must not stand in for the package of that name.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    if settings.hf_token is not None:
        os.environ["HF_TOKEN"] = settings.hf_token.get_secret_value()
