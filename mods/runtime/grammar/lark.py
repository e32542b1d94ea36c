"""Pieces of llguidance's dialect of Lark, and what in a client's grammar it would pass over."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from llguidance import regex_to_lark

from mods.sdk.errors import ConstraintError

ANY_TEXT = r"/(?s:.*)/"
"""A terminal's expression for all text, and for no bytes that are no text."""

_SCANNER = re.compile(
    r"""
    (?P<comment>(?://|\#)[^\n]*)
    | (?P<string>"(?:\\.|[^"\\\n])*"i?)
    | (?P<regex>/(?![/*])(?:\\.|[^/\\\n])*/[imslux]*)
    | (?P<special><[^<>\s"]+>)
    | (?P<inline>%json|%regex|%llguidance)
    | (?P<option>\[)
    | (?P<but>&\s*~)
    | (?P<not>~(?!\s*\d))
    | (?P<other>[^\s])
    """,
    re.VERBOSE,
)
_OPTIONS = re.compile(r"\b(temperature|stop)\b\s*=")
_DECODER = json.JSONDecoder()


class Reading:
    """What a grammar's text shows without parsing it.

    specials: special tokens that it names. negates: whether it negates a terminal without
    intersecting it with another, and so lets through bytes that are no text. schemas: what stands
    behind `%json`. Raises `ConstraintError` for options of rules that would be passed over.
    """

    def __init__(self, text: str) -> None:
        self.specials: list[str] = []
        self.negates = False
        self.schemas: list[Any] = []
        for kind, token, position in _tokens(text):
            if kind == "special":
                self.specials.append(token)
            elif kind == "not":
                self.negates = True
            elif kind == "option":
                _check_options(text, position)
            elif kind == "json":
                self.schemas.append(json.loads(token))


def quoted(text: str) -> str:
    """A string of Lark for exactly this text."""
    return json.dumps(text)


def regex(pattern: str) -> str:
    """A terminal's expression for a regular expression. Raises `ConstraintError`."""
    if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
        raise ConstraintError("the regular expression ends inside an escape: a lone backslash")
    text: str = regex_to_lark(pattern, "")
    return f"/{text}/"


def line_of(text: str, position: int) -> str:
    """Where a character is, in words."""
    before = text[:position]
    column = position - (before.rfind("\n") + 1) + 1
    return f"line {before.count(chr(10)) + 1}, column {column}"


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Kind, text and position of what matters; a schema's text is its JSON."""
    position = 0
    while found := _SCANNER.search(text, position):
        kind, position = str(found.lastgroup), found.end()
        if kind == "inline":
            start, position = _json_after(text, position)
            if found.group() == "%json" and position > start:
                yield "json", text[start:position], found.start()
        elif kind in ("special", "option", "not"):
            yield kind, found.group(), found.start()


def _json_after(text: str, position: int) -> tuple[int, int]:
    """Where a JSON value begins and ends; llguidance says what is wrong with any other."""
    start = position + len(text[position:]) - len(text[position:].lstrip())
    try:
        _, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return position, position
    return start, end


def _check_options(text: str, position: int) -> None:
    """Refuse options of a rule that would be read and not kept."""
    end = text.find("]", position)
    found = _OPTIONS.search(text, position, end if end >= 0 else len(text))
    if found:
        raise ConstraintError(
            f"the option {found.group(1)!r} of a rule is not kept while generating: leave it out,"
            " or use suffix or lazy in place of stop",
            position=line_of(text, found.start()),
        )
