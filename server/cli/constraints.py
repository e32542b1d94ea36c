"""`concai constraints`: whether a constraint can be used with a model, without a server.

It is tried out as the server does before it lets a request in: in a process of its own, within
the same limits of time and memory.
"""

from __future__ import annotations

import asyncio
import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.errors import CommandError
from server.demo import MODEL_PATH

if TYPE_CHECKING:
    from mods.runtime.grammar.source import VocabularySource
    from mods.runtime.grammar.trial import Trial
    from mods.sdk.constraints import Constraint

app = typer.Typer(help="Look at constraints.", no_args_is_help=True)


class Kind(StrEnum):
    """What a file holds."""

    auto = "auto"
    spec = "spec"
    json = "json"
    regex = "regex"
    lark = "lark"
    ebnf = "ebnf"
    llguidance = "llguidance"


_BY_SUFFIX = {
    ".lark": Kind.lark,
    ".ebnf": Kind.ebnf,
    ".gbnf": Kind.ebnf,
    ".bnf": Kind.ebnf,
    ".regex": Kind.regex,
}
_SPECS = ("json", "grammar", "regex", "choice", "structural_tag", "composite")


@app.callback()
def constraints() -> None:
    """Look at constraints."""


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The constraint.")],
    kind: Annotated[
        Kind,
        typer.Option("--type", help="What the file holds: spec is what /generate takes."),
    ] = Kind.auto,
    model: Annotated[
        Path, typer.Option(help="A model's folder, for its tokens.", file_okay=False)
    ] = MODEL_PATH,
) -> None:
    """Say whether a constraint can be used, what it costs, or what is wrong with it and where."""
    from mods.sdk.constraints import digest
    from mods.sdk.errors import ModError

    try:
        constraint = _read(file, kind)
        trial = asyncio.run(_tried(constraint, _source(model)))
    except ModError as error:
        raise CommandError(f"{file}: {error}") from None
    grammar = trial.grammar
    for warning in grammar.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"valid: {file}")
    typer.echo(f"compile time: {trial.compile_ms:.1f} ms")
    typer.echo(f"mask and token: {trial.mask_ms:.3f} ms")
    typer.echo(f"size: {grammar.size} bytes in {len(grammar.parts)} grammar(s)")
    typer.echo(f"digest: {digest(constraint)}")


def _read(file: Path, kind: Kind) -> Constraint:
    from mods.sdk.constraints import Ebnf, Guidance, Json, Lark, Regex

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {file}: {error}") from None
    if kind is Kind.auto:
        kind = _BY_SUFFIX.get(file.suffix.lower(), Kind.auto)
    if kind is Kind.auto:
        kind = _guessed(file, text)
    match kind:
        case Kind.json:
            return Json(text)
        case Kind.regex:
            return Regex(text.removesuffix("\n"))
        case Kind.lark:
            return Lark(text)
        case Kind.ebnf:
            return Ebnf(text)
        case Kind.llguidance:
            return Guidance(text)
    return _spec(file, text)


def _spec(file: Path, text: str) -> Constraint:
    from server.constraints.specs import read_constraints

    try:
        return read_constraints(json.loads(text))
    except (json.JSONDecodeError, RecursionError) as error:
        raise CommandError(f"{file} is not JSON: {error}") from None


def _guessed(file: Path, text: str) -> Kind:
    """JSON is a spec if it looks like one, else a schema."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise CommandError(f"cannot tell what {file} holds: say it with --type", status=2) from None
    if isinstance(content, dict) and "grammars" in content:
        return Kind.llguidance
    composite = isinstance(content, dict) and any(
        isinstance(content.get(key), list) for key in ("sequence", "any_of", "all_of")
    )
    named = isinstance(content, dict) and content.get("type") in _SPECS
    return Kind.spec if isinstance(content, list) or composite or named else Kind.json


def _source(model: Path) -> VocabularySource:
    from mods.runtime.grammar.source import VocabularySource
    from mods.sdk.tokenizer import load_tokenizer

    try:
        return VocabularySource.of(load_tokenizer(model))
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from None


async def _tried(constraint: Constraint, source: VocabularySource) -> Trial:
    from server.constraints.admission import Admission
    from server.constraints.triers import Triers

    admission = Admission(Triers(source, most=2))
    await admission.start()
    try:
        return await admission.trial(constraint)
    finally:
        await admission.stop()
