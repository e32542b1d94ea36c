"""From a pattern to one grammar in llguidance's dialect of Lark.

The whole pattern becomes one terminal, made of others. So llguidance's lexer keeps all readings of
a text open at once; rules would take the longest match of each part and lose the others. A text
that ends as soon as it can is a lazy rule, where it stands last and what comes before has one end.
"""

from __future__ import annotations

from mods.sdk.strategies.characters import ANY, CharacterSet
from mods.sdk.strategies.patterns import (
    Chars,
    Either,
    Literal,
    Pattern,
    Repeat,
    Sequence,
    Shortest,
    parts_of,
    sequence,
)

_UNFORCED = '%llguidance {"no_forcing": true}'
"""Where a text is certain, any tokens that spell it may come, as in the token form. llguidance
would find the tokenizer's own spelling of all of it, anew for each mask."""

_LONG = 8
"""Ranges from which on a set of characters gets a terminal of its own, written once."""


def lark(pattern: Pattern) -> str:
    """The grammar of exactly these texts."""
    writer = _Writer()
    *head, last = parts_of(pattern)
    if isinstance(last, Shortest) and all(map(_ends_where_it_must, head)):
        start = [writer.named(writer.write(sequence(*head)))] if head else []
        rules = [f"start: {' '.join([*start, 'tail'])}"]
        rules.append(f"tail[lazy]: {writer.named(writer.write(last.pattern))}")
    else:
        rules = [f"start: {writer.named(writer.write(pattern))}"]
    named = [f"{name}: {body}" for name, body in writer.terminals.items()]
    return "\n".join([_UNFORCED, *rules, *named]) + "\n"


def _ends_where_it_must(pattern: Pattern) -> bool:
    """Whether no text of the pattern begins with another: a longest match takes no more."""
    if isinstance(pattern, Repeat):
        return pattern.low == pattern.high and isinstance(pattern.item, Chars)
    return isinstance(pattern, (Literal, Chars))


class _Writer:
    """Writes terms, and collects the terminals that they refer to."""

    def __init__(self) -> None:
        self.terminals: dict[str, str] = {}

    def write(self, pattern: Pattern) -> str:
        """The term as an expression that needs no brackets around it."""
        match pattern:
            case Literal(text):
                return _text(text.decode())
            case Chars(among, b""):
                return self._chars(among)
            case Sequence():
                return f"({' '.join(map(self.write, parts_of(pattern)))})"
            case Either(options) if options:
                return f"({' | '.join(sorted(map(self.write, options)))})"
            case Repeat(item, low, high):
                return f"({self.write(item)}){_times(low, high)}"
            case Shortest(inner):
                whole = self.named(self.write(inner))
                return f"({whole} & ~({whole} /(?s:.)+/))"
        raise ValueError(f"{pattern!r:.80} cannot be written as a grammar")

    def _chars(self, among: CharacterSet) -> str:
        if among == ANY:
            return "/(?s:.)/"
        ranges = "".join(f"{_point(first)}-{_point(last)}" for first, last in among.ranges)
        body = f"/[{ranges}]/"
        return self.named(body) if len(among.ranges) >= _LONG else body

    def named(self, body: str) -> str:
        """A terminal with this body."""
        for name, known in self.terminals.items():
            if known == body:
                return name
        name = f"T{len(self.terminals)}"
        self.terminals[name] = body
        return name


def _text(text: str) -> str:
    return f"/{''.join(map(_escaped, text))}/" if text else '""'


def _escaped(character: str) -> str:
    return character if character.isascii() and character.isalnum() else _point(ord(character))


def _point(point: int) -> str:
    return f"\\x{{{point:X}}}"


def _times(low: int, high: int | None) -> str:
    if high is None:
        return "*" if low == 0 else f"{{{low},}}"
    return f"{{{low},{high}}}"
