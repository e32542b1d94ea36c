"""How `concai mod` shows what a mod did: tokens coloured by who put them there, actions beside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

MODEL = "model"
COLOURS = ("cyan", "magenta", "yellow", "green", "blue")
"""One for each mod, in the order of their first tokens; the model's tokens have none."""
_UNPRINTABLE = "\ufffd"


@dataclass(frozen=True)
class Stretch:
    """Tokens in a row from one source. start: position of the first. mod: None is the model."""

    start: int
    end: int
    mod: str | None
    text: str


@dataclass(frozen=True)
class Shown:
    """One output. tokens: each with its `text` and `mod`. actions: each with its `position`."""

    tokens: Sequence[Mapping[str, Any]]
    actions: Sequence[Mapping[str, Any]] = ()
    prints: Sequence[Mapping[str, Any]] = ()
    failures: Sequence[Mapping[str, Any]] = ()
    usage: Mapping[str, int] = field(default_factory=dict)
    ended: str = ""


def show(shown: Shown) -> None:
    """Print it: a line for each stretch of tokens from one source, with the actions taken there."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    console.print(_table(shown))
    for line in _summary(shown):
        console.print(line, soft_wrap=True)


def stretches(tokens: Sequence[Mapping[str, Any]]) -> Iterator[Stretch]:
    """The tokens, cut where their source changes."""
    start = 0
    for at in range(1, len(tokens) + 1):
        if at == len(tokens) or tokens[at]["mod"] != tokens[start]["mod"]:
            text = "".join(str(token["text"]) for token in tokens[start:at])
            yield Stretch(start, at, tokens[start]["mod"], text)
            start = at


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
    colours = _colours(shown.tokens)
    rows = list(stretches(shown.tokens)) or [Stretch(0, 0, None, "")]
    for number, row in enumerate(rows):
        last = number == len(rows) - 1
        actions = [
            action
            for action in shown.actions
            if row.start <= int(action.get("position", -1)) and (last or _at(action) < row.end)
        ]
        colour = colours.get(row.mod, "")
        table.add_row(
            str(row.start),
            Text(row.mod or MODEL, colour),
            Text(printable(row.text), colour, overflow="fold"),
            Text("\n".join(map(in_words, actions)), "dim", overflow="fold"),
        )
    return table


def _at(action: Mapping[str, Any]) -> int:
    return int(action.get("position", -1))


def _colours(tokens: Sequence[Mapping[str, Any]]) -> dict[str | None, str]:
    mods = dict.fromkeys(token["mod"] for token in tokens if token["mod"] is not None)
    return {mod: COLOURS[number % len(COLOURS)] for number, mod in enumerate(mods)}


def _summary(shown: Shown) -> Iterator[str]:
    usage = [f"{count} {name.removesuffix('_tokens')}" for name, count in shown.usage.items()]
    yield f"{len(shown.tokens)} tokens: {', '.join(usage)}; ended by {shown.ended or '?'}"
    for line in shown.prints:
        yield f"{line.get('mod')} printed: {printable(str(line.get('text')))}"
    for failure in shown.failures:
        yield printable(str(failure.get("traceback") or failure.get("message"))).rstrip()


def printable(text: str) -> str:
    """A text that steers no terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else _UNPRINTABLE for c in text)
