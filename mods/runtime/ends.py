"""Where a session's output ends: judged over the whole session, forced tokens included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mods.runtime.decisions import SessionSpec


class Decodes(Protocol):
    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str: ...


@dataclass(frozen=True)
class End:
    """An end at one token. stop_reason: stop string, stop token id, or None for end of sequence."""

    reason: str
    stop_reason: int | str | None = None


LENGTH = End("length")
_WINDOW = 12
"""Tokens decoded at least, beside those that a stop string may have."""
_SPLIT = 4
"""Characters that a window may show too many where it begins inside one."""


class Ends:
    """Judges each token as it enters: end of sequence, stop ids, stop strings, length."""

    def __init__(self, spec: SessionSpec, tokenizer: Decodes) -> None:
        self._spec = spec
        self._tokenizer = tokenizer
        self._eos = frozenset() if spec.ignore_eos else frozenset(spec.eos)
        self._stop_ids = frozenset(spec.stop_token_ids)
        self._stops = [stop for stop in spec.stop if stop]
        self._longest = max((len(stop) for stop in self._stops), default=0)
        self.max_tokens = spec.max_tokens

    def at(self, tokens: list[int]) -> End | None:
        """The end that the newest of `tokens` completes, if any. An end beats the length."""
        newest, count = tokens[-1], len(tokens)
        if count >= self._spec.min_tokens:
            if newest in self._eos:
                return End("stop")
            if newest in self._stop_ids:
                return End("stop", newest)
        if self._stops and count > self._spec.min_tokens:
            found = self._stop_string(tokens)
            if found is not None:
                return End("stop", found)
        return LENGTH if count >= self.max_tokens else None

    def _stop_string(self, tokens: list[int]) -> str | None:
        """The stop string that the newest token completes: the first one to be whole."""
        before, after = self._tail_text(tokens)
        best: tuple[int, str] | None = None
        for stop in self._stops:
            at = after.find(stop, max(0, len(before) - len(stop) + 1))
            end = at + len(stop)
            if at >= 0 and (best is None or end < best[0]):
                best = (end, stop)
        return best[1] if best else None

    def _tail_text(self, tokens: list[int]) -> tuple[str, str]:
        """The newest text without and with the newest token, from a window that covers a stop."""
        skip = self._spec.skip_special_tokens
        width = _WINDOW + self._longest
        while True:
            window = tokens[-width:]
            before = self._tokenizer.decode(window[:-1], skip_special_tokens=skip)
            before = before.rstrip("\ufffd")
            if width >= len(tokens) or len(before) >= self._longest + _SPLIT:
                break
            width *= 2
        return before, self._tokenizer.decode(window, skip_special_tokens=skip)
