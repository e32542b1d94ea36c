"""How `concai mod` shows what a mod did: tokens coloured by who put them there, actions beside."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.cli.marks import Mark, Marks, Stretch

if TYPE_CHECKING:
    from rich.table import Table

MODEL = "model"
COLOURS = ("cyan", "magenta", "yellow", "green", "blue")
"""One for each mod, in the order of their first tokens; the model's tokens have none."""
_UNPRINTABLE = "\ufffd"


@dataclass(frozen=True)
class Shown:
    """One output, as a dry run tells of it. ended: the finish reason. pieces: what a stream
    showed, one after the other."""

    tokens: Sequence[Mapping[str, Any]]
    events: Sequence[Mapping[str, Any]] = ()
    actions: Sequence[Mapping[str, Any]] = ()
    prints: Sequence[Mapping[str, Any]] = ()
    failures: Sequence[Mapping[str, Any]] = ()
    usage: Mapping[str, int] = field(default_factory=dict)
    ended: str = ""
    pieces: Sequence[str] | None = None


def show(shown: Shown) -> None:
    """Print it: a line for each stretch of tokens from one source, with the actions taken there.

    Without a terminal, or with NO_COLOR set, it is plain text.
    """
    from rich.console import Console

    system: Any = None if os.environ.get("NO_COLOR") else "auto"
    console = Console(color_system=system, highlight=False, markup=False)
    console.print(_table(shown))
    for line in _summary(shown):
        console.print(line, soft_wrap=True)


def in_words(action: Mapping[str, Any]) -> str:
    """An action as one reads it, with the event that it answers."""
    tokens, n = len(action.get("tokens") or ()), action.get("n")
    given = [] if n is None else [str(n)]
    given += [f"{tokens} token{'s' if tokens > 1 else ''}"] if tokens else []
    if "temperature" in action:
        given.append(str(action["temperature"]))
    lost = ", overridden" if action.get("overridden") else ""
    mod = f"{action['mod']}: " if action.get("mod") else ""
    name = action.get("action", "?") + (f"({', '.join(given)})" if given else "")
    return f"{mod}{name} at {action.get('event', 'the end')}{lost}"


def _table(shown: Shown) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table("at", "from", "text", "actions", box=box.SIMPLE_HEAD, pad_edge=False)
    marks = Marks(shown.tokens, shown.events)
    colours = _colours(marks.all)
    rows = list(marks.stretches()) or [Stretch(0, range(0), None, False, "")]
    for number, row in enumerate(rows):
        last = number == len(rows) - 1
        begin = 0 if number == 0 else row.marks.start
        actions = [
            action
            for action in shown.actions
            if begin <= (place := marks.place_of(action)) and (last or place < row.marks.stop)
        ]
        style = f"{colours.get(row.mod, '')} {'strike' if row.erased else ''}".strip()
        table.add_row(
            str(row.start),
            Text((row.mod or MODEL) + (", erased" if row.erased else ""), colours.get(row.mod, "")),
            Text(printable(row.text), style, overflow="fold"),
            Text("\n".join(map(in_words, actions)), "dim", overflow="fold"),
        )
    return table


def _colours(marks: Sequence[Mark]) -> dict[str | None, str]:
    mods = dict.fromkeys(mark.mod for mark in marks if mark.mod is not None)
    return {mod: COLOURS[number % len(COLOURS)] for number, mod in enumerate(mods)}


def _summary(shown: Shown) -> Iterator[str]:
    usage = [f"{count} {name.removesuffix('_tokens')}" for name, count in shown.usage.items()]
    yield f"{len(shown.tokens)} tokens: {', '.join(usage)}; ended by {shown.ended or '?'}"
    if shown.pieces is not None:
        yield f"a stream shows: {' | '.join(printable(piece) for piece in shown.pieces)}"
    for line in shown.prints:
        yield f"{line.get('mod')} printed: {printable(str(line.get('text')))}"
    for failure in shown.failures:
        yield printable(str(failure.get("traceback") or failure.get("message"))).rstrip()


def printable(text: str) -> str:
    """A text that steers no terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else _UNPRINTABLE for c in text)
