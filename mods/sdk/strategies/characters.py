"""Sets of characters as ranges of code points, and what part of one a few UTF-8 bytes leave."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from functools import cache

Ranges = tuple[tuple[int, int], ...]
"""Code points, first and last of each range, ascending; neighbours are joined."""

_LAST_LETTER = 0x3FFFF
"""No letter lies beyond the third plane."""

_SMALLEST = {1: 0, 2: 0x80, 3: 0x800, 4: 0x10000}
"""The first code point that a UTF-8 sequence of so many bytes may write."""


class CharacterSet:
    """Which characters. Equal where the ranges are; its hash is computed once."""

    __slots__ = ("_hash", "ranges")

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        self.ranges = _joined(ranges)
        self._hash = hash(self.ranges)

    @classmethod
    def of(cls, text: str) -> CharacterSet:
        """The characters of a text."""
        return cls((point, point) for point in map(ord, text))

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, CharacterSet) and self.ranges == other.ranges)

    def __hash__(self) -> int:
        return self._hash

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __contains__(self, character: str) -> bool:
        return self.between(ord(character), ord(character))

    def __or__(self, other: CharacterSet) -> CharacterSet:
        return CharacterSet((*self.ranges, *other.ranges))

    def __sub__(self, other: CharacterSet) -> CharacterSet:
        left = list(self.ranges)
        for low, high in other.ranges:
            left = [
                part
                for first, last in left
                for part in ((first, min(last, low - 1)), (max(first, high + 1), last))
                if part[0] <= part[1]
            ]
        return CharacterSet(left)

    def between(self, low: int, high: int) -> bool:
        """Whether any of them lies from low to high."""
        at = bisect_left(self.ranges, low, key=lambda pair: pair[1])
        return at < len(self.ranges) and self.ranges[at][0] <= high


@cache
def letters() -> CharacterSet:
    """The letters of all scripts: those of which `str.isalpha` is true."""
    points = (point for point in range(_LAST_LETTER + 1) if chr(point).isalpha())
    return CharacterSet((point, point) for point in points)


def begun(prefix: bytes) -> tuple[int, int, int] | None:
    """What a character that begins with these bytes may be: first, last, and bytes to come.

    None if no character does.
    """
    size = _size(prefix[0])
    if size is None or len(prefix) > size or any(byte & 0xC0 != 0x80 for byte in prefix[1:]):
        return None
    bits = prefix[0] if size == 1 else prefix[0] & (0x7F >> size)
    for byte in prefix[1:]:
        bits = bits << 6 | byte & 0x3F
    missing = size - len(prefix)
    first, last = bits << 6 * missing, ((bits + 1) << 6 * missing) - 1
    first = max(first, _SMALLEST[size])
    return (first, last, missing) if first <= last else None


def _size(byte: int) -> int | None:
    """Bytes of a character, by its first one."""
    if byte < 0x80:
        return 1
    if byte < 0xC0:
        return None
    return 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4 if byte < 0xF8 else None


def _joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


ANY = CharacterSet([(0, 0xD7FF), (0xE000, 0x10FFFF)])
"""Every character: all code points but surrogates."""

DIGITS = CharacterSet.of("0123456789")
