"""`concai mod run`: a mod at work, token by token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from server.cli.errors import CommandError
from server.cli.service import DEFAULT_URL, ModService, NoServerError, UserApiKey
from server.cli.showing import Shown, show
from server.cli.trial import File, MaxTokens, Text, load, rehearse_here

Server = Annotated[
    str | None,
    typer.Option(
        "--server", "--url", help=f"Whose model to ask (default: {DEFAULT_URL}, if one is there)."
    ),
]


def run(
    file: File,
    prompt: Annotated[str, typer.Option(help="What to ask.")] = "Hi",
    server: Server = None,
    model: Annotated[str | None, typer.Option(help="Which of the server's models.")] = None,
    stream: Annotated[bool, typer.Option(help="Show, too, what a stream shows.")] = False,
    dry: Annotated[bool, typer.Option("--dry", help="Ask a scripted model, not a server.")] = False,
    text: Text = None,
    max_tokens: MaxTokens = 64,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.0,
    user_api_key: UserApiKey = None,
) -> None:
    """Run a mod and show its tokens by who put them there, with its actions beside them.

    Nothing is uploaded for good. Without a server, or with --dry, a scripted model is asked.
    """
    asked = {"prompt": prompt, "max_tokens": max_tokens, "temperature": temperature}
    asked |= {"stream": stream} | ({} if model is None else {"model": model})
    came = None
    if text is not None and not dry:
        raise CommandError("--text is for the scripted model: add --dry, or leave it out", 2)
    if not dry:
        came = run_on(server, user_api_key, file, asked)
    shown, failed = run_dry(file, prompt, text, max_tokens) if came is None else told(came)
    show(shown)
    if failed:
        raise CommandError(failed)


def run_dry(file: Path, prompt: str, text: str | None, max_tokens: int) -> tuple[Shown, str]:
    """The scripted model's output, and how it failed, "" if it did not."""
    from mods.runtime.rehearsal import Scene

    came = rehearse_here(load(file), Scene(prompt, text, max_tokens, laws=False))
    usage = {"sampled": came.usage.sampled, "forced": came.usage.forced}
    shown = Shown(
        [{"id": piece.id, "text": piece.text, "mod": piece.mod} for piece in came.tokens],
        came.events,
        came.actions,
        came.prints,
        came.failures,
        {**usage, "erased": came.usage.erased},
        came.reason,
    )
    return shown, f"{came.status}: {came.message}" if came.status != 200 else ""


def run_on(
    server: str | None, key: str | None, file: Path, asked: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What a server's model made of it; None if no server was named and none is there."""
    from server.cli.mod import read_mod

    if not file.exists():
        raise CommandError(f"there is no file or folder {file}")
    single = file.is_file()
    payload = read_mod(file if single else None, None if single else file, None)
    with ModService(server or DEFAULT_URL, key) as service:
        try:
            return service.dry_run({**payload, **asked})
        except NoServerError:
            if server is not None:
                raise
    typer.echo(
        f"no server answers at {DEFAULT_URL}: a scripted model is asked, which writes letters at"
        " random; name a server with --server, or say with --dry --text what it writes",
        err=True,
    )
    return None


def told(came: Mapping[str, Any]) -> tuple[Shown, str]:
    """What a server told, and how it failed. Raises `CommandError` for no dry run's answer."""
    try:
        usage = {name: came["usage"][f"{name}_tokens"] for name in ("sampled", "forced", "erased")}
        shown = Shown(
            list(came["tokens"]),
            list(came["events"]),
            list(came["actions"]),
            list(came["prints"]),
            list(came["failures"]),
            usage,
            str(came["finish_reason"]),
            came.get("shown"),
        )
        failed = f"{came['status']}: {came['message']}" if came["status"] != 200 else ""
    except (KeyError, TypeError):
        raise CommandError("the server tells no dry run: is it up to date?") from None
    return shown, failed
