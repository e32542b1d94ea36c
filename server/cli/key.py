"""`concai key`: make, list and revoke the keys of the server whose data folder this is.

It needs no server. One that runs sees what changed within a second or two, and shares it with the
servers of the same Postgres.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.errors import CommandError
from server.settings import Settings

if TYPE_CHECKING:
    from server.keys.file import KeyFile
    from server.keys.key import Key

app = typer.Typer(help="Make, list and revoke keys of the server.", no_args_is_help=True)

Home = Annotated[Path | None, typer.Option(help="The data folder (default: CONCORDANCE_HOME).")]


@app.command()
def create(
    user: Annotated[str, typer.Argument(help="Whose key: a new user, or one there is.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="infer, mods, traces or admin; give it again for more than one."),
    ] = None,
    home: Home = None,
) -> None:
    """Make a key, and print it, this once."""
    from server.keys.audit import Audit
    from server.keys.key import USUAL, BadKeyError, new_key

    settings = Settings.load(home=home)
    try:
        key, secret = new_key(user, scope or USUAL)
    except BadKeyError as error:
        raise CommandError(str(error), 2) from None
    keep(settings, [key])
    Audit(settings.home).write("key_created", user=user, key=key.id, scopes=key.scopes)
    typer.echo(f"key {key.id} of {user}, for {', '.join(key.scopes)}:", err=True)
    typer.echo(secret)


@app.command("list")
def list_(home: Home = None) -> None:
    """List the keys: id, user, what it is for, when it was made and revoked."""
    keys = known(Settings.load(home=home))
    for key in keys:
        state = "" if key.revoked_at is None else f"  revoked {key.revoked_at:%Y-%m-%d %H:%M}"
        made = f"{key.created_at:%Y-%m-%d %H:%M}"
        typer.echo(f"{key.id}  {key.user}  {','.join(key.scopes)}  {made}{state}")
    if not keys:
        typer.echo("no keys yet: `concai key create NAME` makes one", err=True)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="A key's id, or a user for all of their keys.")],
    home: Home = None,
) -> None:
    """Make a key, or all keys of a user, useless for good."""
    from server.keys.audit import Audit

    settings = Settings.load(home=home)
    found = [each for each in known(settings) if key in (each.id, each.user)]
    if not found:
        raise CommandError(f"there is no key and no user {key!r:.80}; `concai key list` shows all")
    ending = [each.revoked() for each in found if each.live]
    keep(settings, ending)
    for each in ending:
        Audit(settings.home).write("key_revoked", user=each.user, key=each.id)
        typer.echo(f"revoked {each.id} of {each.user}")
    if not ending:
        typer.echo(f"{key} was revoked before", err=True)


def known(settings: Settings) -> list[Key]:
    """Every key, the oldest first. Raises `CommandError`."""
    return keep(settings, [])


def keep(settings: Settings, keys: list[Key]) -> list[Key]:
    """Add keys, or what was revoked of them. Returns every key. Raises `CommandError`.

    Where DATABASE_URL is set they are also brought together with what is there; an embedded
    Postgres gets them from the server.
    """
    from server.keys.file import KeyFile, KeyFileError
    from server.keys.table import KeyTable

    try:
        file = KeyFile(settings.home)
        file.add(keys)
        if settings.database_url is not None:
            asyncio.run(_share(settings, file))
        return KeyTable(file.read()).all()
    except KeyFileError as error:
        raise CommandError(str(error)) from None


async def _share(settings: Settings, file: KeyFile) -> None:
    from server.keys.book import KeyBook
    from server.traces.archive import Archive
    from server.traces.database import fixed
    from server.traces.errors import TraceError

    assert settings.database_url is not None
    archive = Archive(fixed(settings.database_url.get_secret_value()))
    try:
        await KeyBook(file).share(archive)
    except TraceError as error:
        typer.echo(f"not shared with DATABASE_URL now, the server will do it: {error}", err=True)
    finally:
        await archive.close()
