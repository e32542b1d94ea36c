"""What a mod may ask an event about, made anew for each event: the plainest way to be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mods.runtime.ends import Decodes
from mods.sdk.events import Token


@dataclass(frozen=True)
class PlainLook:
    """The output's tokens and the mod that each is from, None for a drawn one."""

    ids: Sequence[int]
    mods: Sequence[str | None]
    tokenizer: Decodes
    skip_special_tokens: bool
    calls: int = 0
    seconds: float = 0.0

    @property
    def tokens(self) -> Sequence[Token]:
        return [Token(token, mod) for token, mod in zip(self.ids, self.mods, strict=True)]

    @property
    def text(self) -> str:
        """All of it decoded, less a character at its end that is not whole."""
        return self._decoded(len(self.ids)).rstrip("\ufffd")

    def cut(self, at: int) -> tuple[int, int]:
        """The fewest tokens that can go so that whole text of at most `at` characters is left."""
        for kept in range(len(self.ids), 0, -1):
            text = self._decoded(kept)
            if len(text) <= at and not text.endswith("\ufffd"):
                return len(self.ids) - kept, len(text)
        return len(self.ids), 0

    def _decoded(self, kept: int) -> str:
        skip = self.skip_special_tokens
        return self.tokenizer.decode(list(self.ids[:kept]), skip_special_tokens=skip)
