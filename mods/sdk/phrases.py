"""Phrases in text that is still being written: which are there, and what may yet become one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Found(NamedTuple):
    """A phrase, from character `start` to character `end` of the text."""

    start: int
    end: int
    phrase: str


class Phrases:
    """Finds phrases in a text that grows; where they overlap, the first, and then the longest.

        found, settled = phrases.find(event.text, since, event.ends)

    phrases: texts that are not empty. ignore_case: however they are written. Raises ValueError
    without any.
    """

    def __init__(self, phrases: Iterable[str], ignore_case: bool = False) -> None:
        self._fold = _lower if ignore_case else str
        self._phrases = {self._fold(phrase): phrase for phrase in phrases}
        if not self._phrases or "" in self._phrases:
            raise ValueError(f"phrases are texts that are not empty, got {list(phrases)!r:.100}")
        starts = {phrase[:n] for phrase in self._phrases for n in range(1, len(phrase))}
        self._starts = sorted(starts, key=len, reverse=True)

    def find(self, text: str, since: int = 0, ended: bool = False) -> tuple[Found | None, int]:
        """The first phrase from character `since` on, once no longer one can take its place.

        ended: nothing follows. Returns it, or None, and how much of the text is settled: what is
        behind that may be the beginning of a phrase, so hold it.
        """
        new = self._fold(text[since:])
        begun = "" if ended else next((s for s in self._starts if new.endswith(s)), "")
        open_from = len(new) - len(begun)
        there = [(at, -len(one), one) for one in self._phrases if (at := new.find(one)) >= 0]
        at, length, one = min(there, default=(len(new), 0, ""))
        if one and at < open_from:
            return Found(since + at, since + at - length, self._phrases[one]), since + at
        return None, since + open_from


def _lower(text: str) -> str:
    """Lower case, letter by letter: some letters have none of one letter."""
    return "".join(low if len(low := sign.lower()) == 1 else sign for sign in text)
