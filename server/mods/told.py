"""What mods did to one output, token by token, as a client is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from pydantic import BaseModel

from mods.runtime.host.hearsay import plain
from mods.runtime.rehearsal import Piece


class OutputToken(BaseModel):
    """One token. text: what it adds. origin: `sampled` or `forced`; mod: who forced it."""

    id: int
    text: str
    origin: Literal["sampled", "forced"]
    mod: str | None


class Print(BaseModel):
    """A line that a mod printed."""

    mod: str
    text: str


class ToldRecord(BaseModel):
    """What `mod_record` has for each choice."""

    tokens: list[OutputToken]
    actions: list[dict[str, Any]]
    prints: list[Print]
    failures: list[dict[str, Any]]
    events: list[dict[str, Any]]


def told_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """A host's record for a client; what is no token is left out, for it is a stranger's word."""
    try:
        pieces = msgspec.convert(record.get("output", []), list[Piece])
    except msgspec.ValidationError:
        pieces = []
    return ToldRecord(
        tokens=output_tokens(pieces),
        actions=_entries(record.get("actions")),
        prints=printed(_entries(record.get("logs"))),
        failures=_entries(record.get("failures")),
        events=_entries(record.get("events")),
    ).model_dump()


def output_tokens(pieces: Sequence[Piece]) -> list[OutputToken]:
    return [
        OutputToken(
            id=piece.id,
            text=piece.text,
            origin="sampled" if piece.mod is None else "forced",
            mod=piece.mod,
        )
        for piece in pieces
    ]


def printed(entries: Sequence[Mapping[str, Any]]) -> list[Print]:
    """Lines, fit for a terminal."""
    return [
        Print(mod=plain(each.get("mod", "")), text=plain(each.get("text", ""))) for each in entries
    ]


def _entries(entries: object) -> list[dict[str, Any]]:
    return [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []
