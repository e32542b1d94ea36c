"""Sets of texts as terms, and what a term leaves once a byte of text has come.

Every strategy describes a regular set of texts, so one small algebra serves all of them. A term
is compiled to a grammar for the engine; for the token form it is *derived*: the derivative of a
term by a byte is the term of what may follow. Terms are kept simple enough that the empty set is
always written as `NOTHING`, and the empty text alone as `EMPTY`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from mods.sdk.strategies.characters import CharacterSet, begun


class Pattern:
    """A set of texts. Terms are compared by what they are; a hash is computed once."""

    _hash: int

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:
            made = hash((type(self), *(getattr(self, each.name) for each in fields(self))))  # type: ignore[arg-type]
            object.__setattr__(self, "_hash", made)
            return made


@dataclass(frozen=True)
class Literal(Pattern):
    """One text, as UTF-8."""

    text: bytes

    __hash__ = Pattern.__hash__


@dataclass(frozen=True)
class Chars(Pattern):
    """One character of a set. prefix: its bytes that came already."""

    among: CharacterSet
    prefix: bytes = b""

    __hash__ = Pattern.__hash__


@dataclass(frozen=True)
class Sequence(Pattern):
    """One after the other."""

    first: Pattern
    rest: Pattern

    __hash__ = Pattern.__hash__


@dataclass(frozen=True)
class Either(Pattern):
    """Any of these. Without options it is the empty set."""

    options: frozenset[Pattern]

    __hash__ = Pattern.__hash__


@dataclass(frozen=True)
class Repeat(Pattern):
    """An item from `low` to `high` times, without bound where high is None."""

    item: Pattern
    low: int
    high: int | None

    __hash__ = Pattern.__hash__


@dataclass(frozen=True)
class Shortest(Pattern):
    """The texts of a pattern that do not begin with another of its texts: it ends at the first."""

    pattern: Pattern

    __hash__ = Pattern.__hash__


EMPTY = Literal(b"")
"""The empty text alone."""

NOTHING = Either(frozenset())
"""No text at all."""


def literal(text: str) -> Pattern:
    """This text. Raises UnicodeEncodeError for half a surrogate pair."""
    return Literal(text.encode())


def chars(among: CharacterSet) -> Pattern:
    """One character of a set."""
    return Chars(among) if among else NOTHING


def sequence(*parts: Pattern) -> Pattern:
    """One after the other."""
    whole: Pattern = EMPTY
    for part in reversed(parts):
        whole = _then(part, whole)
    return whole


def either(options: Iterable[Pattern]) -> Pattern:
    """Any of these."""
    found: set[Pattern] = set()
    for option in options:
        found |= option.options if isinstance(option, Either) else {option}
    return found.pop() if len(found) == 1 else Either(frozenset(found))


def repeat(item: Pattern, low: int = 0, high: int | None = None) -> Pattern:
    """The item from low to high times."""
    if high is not None and low > high:
        return NOTHING
    if high == 0 or item == EMPTY:
        return EMPTY
    if item == NOTHING:
        return NOTHING if low else EMPTY
    return item if low == high == 1 else Repeat(item, low, high)


def shortest(pattern: Pattern) -> Pattern:
    """What comes of a pattern that ends as soon as it can."""
    if nullable(pattern):
        return EMPTY
    return pattern if isinstance(pattern, (Literal, Chars, Shortest)) else _shortest(pattern)


def up_to(item: Pattern, stop: str) -> Pattern:
    """Any number of items and the stop behind them, which comes once, at the end."""
    if len(stop) == 1 and stop != "\\":
        return sequence(repeat(_without_character(item, stop)), literal(stop))
    if isinstance(item, Chars) and stop[0] not in item.among:
        return sequence(repeat(item), literal(stop))
    return shortest(sequence(repeat(item), literal(stop)))


def nullable(pattern: Pattern) -> bool:
    """Whether the empty text is among them."""
    match pattern:
        case Literal(text):
            return not text
        case Sequence(first, rest):
            return nullable(first) and nullable(rest)
        case Either(options):
            return any(map(nullable, options))
        case Repeat(item, low):
            return low == 0 or nullable(item)
        case _:
            return False


def derivative(pattern: Pattern, byte: int) -> Pattern:
    """What may follow this byte: the texts that begin with it, without it."""
    match pattern:
        case Literal(text):
            return Literal(text[1:]) if text[:1] == bytes((byte,)) else NOTHING
        case Chars(among, prefix):
            return _character(among, prefix + bytes((byte,)))
        case Sequence(first, rest):
            later = derivative(rest, byte) if nullable(first) else NOTHING
            return either((_then(derivative(first, byte), rest), later))
        case Either(options):
            return either(derivative(option, byte) for option in options)
        case Repeat(item, low, high):
            rest = repeat(item, max(low - 1, 0), None if high is None else high - 1)
            return _then(derivative(item, byte), rest)
        case Shortest(inner):
            return shortest(derivative(inner, byte))
    raise TypeError(f"{pattern!r} is no pattern")


def after(pattern: Pattern, text: bytes) -> Pattern:
    """What may follow this text."""
    for byte in text:
        pattern = derivative(pattern, byte)
    return pattern


def accepts(pattern: Pattern, text: bytes) -> bool:
    """Whether this text is among them."""
    return nullable(after(pattern, text))


def parts_of(pattern: Pattern) -> list[Pattern]:
    """What a sequence is made of, in order; anything else is one part."""
    parts = []
    while isinstance(pattern, Sequence):
        parts.append(pattern.first)
        pattern = pattern.rest
    return [*parts, pattern]


def _then(first: Pattern, rest: Pattern) -> Pattern:
    if first == NOTHING or rest == NOTHING:
        return NOTHING
    if first == EMPTY:
        return rest
    if rest == EMPTY:
        return first
    if isinstance(first, Sequence):
        return sequence(*parts_of(first), rest)
    if isinstance(first, Literal) and isinstance(rest, Literal):
        return Literal(first.text + rest.text)
    if (
        isinstance(first, Literal)
        and isinstance(rest, Sequence)
        and isinstance(rest.first, Literal)
    ):
        return Sequence(Literal(first.text + rest.first.text), rest.rest)
    return Sequence(first, rest)


def _shortest(pattern: Pattern) -> Pattern:
    return NOTHING if pattern == NOTHING else Shortest(pattern)


def _character(among: CharacterSet, prefix: bytes) -> Pattern:
    """A character of which these bytes came."""
    found = begun(prefix)
    if found is None or not among.between(found[0], found[1]):
        return NOTHING
    return Chars(among, prefix) if found[2] else EMPTY


def _without_character(item: Pattern, character: str) -> Pattern:
    """An item that is not this character. An escape, which takes any character, stays whole."""
    if isinstance(item, Chars):
        return chars(item.among - CharacterSet.of(character))
    if isinstance(item, Either):
        return either(_without_character(option, character) for option in item.options)
    return item
