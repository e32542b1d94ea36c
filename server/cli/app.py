"""The commands of `concai`, and the one place where what went wrong becomes a line and a status.

Exit status: 0 done, 1 could not be done, 2 asked for in a way that cannot be understood (an
unknown option, an unknown or malformed setting).
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from server.cli import constraints, ingest, init, key, mod, serve, trace, version
from server.cli.errors import CommandError
from server.settings import SettingsError


class Commands(TyperGroup):
    """A group of commands whose expected failures are one line on stderr."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an expected failure becomes its line and its exit status."""
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            raise _exit(str(error), 2) from None
        except CommandError as error:
            raise _exit(str(error), error.status) from None


def _exit(message: str, status: int) -> typer.Exit:
    typer.echo(f"error: {message}", err=True)
    return typer.Exit(status)


app = typer.Typer(
    cls=Commands,
    name="concai",
    help="Concordance: a vLLM server whose generation small Python mods observe and control.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    serve.serve
)
app.command("init")(init.init)
app.add_typer(mod.app, name="mod")
app.add_typer(key.app, name="key")
app.add_typer(constraints.app, name="constraints")
app.add_typer(trace.app, name="trace")
app.command("ingest")(ingest.ingest)
app.command("version")(version.version)


def main() -> None:
    """The console script."""
    app()
