"""One session's output tokens, with their origins, against what the engine has of them.

The session's own list is the truth. The engine's segment holds some leading part of it, plus
at times a token that the session replaced or dropped: then the two have *parted*, and only a
new segment brings them together again.
"""

from __future__ import annotations

import sys

from mods.runtime.decisions import PassedEnd, Usage

SAMPLED = 0
"""Origin of a drawn token."""
FORCED = 1
"""Origin of a token that the chain's first mod forced; the second's is one more, and so on."""


class Output:
    """Tokens, origins and what was erased; and how far the engine agrees."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.origins: list[int] = []
        self.passed_ends: list[PassedEnd] = []
        self.erased = 0
        self.unreported: list[int] = []
        """Tokens removed since the last `Added`, oldest first."""
        self.engine_length = 0
        """How many output tokens the engine's segment has."""
        self.agreed = 0
        """How many of those, from the first, are the session's."""
        self.untouched = sys.maxsize
        """How many tokens, from the first, no cut has reached since somebody last looked."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def parted(self) -> bool:
        return self.agreed < self.engine_length

    @property
    def backlog(self) -> int:
        """Tokens that the session has and the engine still needs."""
        return len(self.tokens) - self.agreed

    def usage(self) -> Usage:
        forced = sum(1 for origin in self.origins if origin != SAMPLED)
        return Usage(len(self.origins) - forced, forced, self.erased)

    def add(self, token: int, origin: int) -> None:
        """Append a token. The engine agrees if it holds the same one at the same place."""
        self.tokens.append(token)
        self.origins.append(origin)

    def drop_pending(self) -> None:
        """The engine's newest token was drawn and will not enter."""
        self.erased += 1

    def cut(self, length: int) -> None:
        """Take tokens back until `length` are left."""
        self.unreported[:0] = self.tokens[length:]
        self.erased += len(self.tokens) - length
        del self.tokens[length:]
        del self.origins[length:]
        self.agreed = min(self.agreed, length)
        self.untouched = min(self.untouched, length)
        self.passed_ends = [end for end in self.passed_ends if end.index < length]

    def report_removed(self) -> tuple[int, ...]:
        removed, self.unreported = tuple(self.unreported), []
        return removed

    def engine_has(self, token: int) -> None:
        """The engine's segment grew by one token, at index `engine_length`."""
        at = self.engine_length
        if not self.parted and self.tokens[at : at + 1] == [token]:
            self.agreed += 1
        self.engine_length += 1

    def meet(self, token: int) -> None:
        """Let the engine agree on its newest token if the session put the same there."""
        at = self.engine_length - 1
        if self.agreed == at and at < len(self.tokens) and self.tokens[at] == token:
            self.agreed = self.engine_length

    def rejoin(self) -> None:
        """A new segment begins with everything the session has."""
        self.engine_length = self.agreed = len(self.tokens)
