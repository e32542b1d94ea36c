"""What happens in one session, written down for its trace while the machine lives it.

An entry for each token that was drawn or put in, in the order in which it came; those that leave
again stay, marked with the event whose answer took them out. Events are numbered 0, 1, 2, … in the
order in which mods are asked, `Finished` the last. A few arrays of integers: a session of ten
thousand tokens is some ten kilobytes on its way out of the host.
"""

from __future__ import annotations

import time
import zlib
from array import array
from collections.abc import Sequence

SAMPLED, FORCED, FORCED_MORE, OUTPUT = range(4)
"""Origins: drawn, the first token of a mod's run, the others of it, in place of all output."""

STAYED = -1
NOBODY = -1

MAX_ENTRIES = 200_000
"""Tokens written down at most. What comes after them leaves no entry."""
MAX_CALLS = 600_000

COLUMNS = (
    *("tokens", "origins", "mods", "rounds", "times", "erased", "places"),
    *("call_events", "call_mods", "call_micros"),
    *("action_calls", "log_calls", "failure_calls"),
)
"""The arrays in the order in which they are packed."""
RISING = frozenset({"rounds", "times", "places", "call_events"})
"""Those that are packed as differences from item to item: that packs ten times smaller."""
MICROSECOND = 1_000
_BEYOND = -1
"""Stands on the stack of tokens that are in for one that has no entry."""


class Tape:
    """times: microseconds since the epoch. places: how many tokens were in before.

    action_calls, log_calls, failure_calls: for each entry of the record, the number of the call
    that it came of, or -1.
    """

    def __init__(self) -> None:
        self.event = -1
        """The number of the event that was asked last."""
        self.tokens, self.origins, self.mods = array("i"), array("b"), array("b")
        self.rounds, self.times, self.erased = array("i"), array("q"), array("i")
        self.places = array("i")
        self.call_events, self.call_mods = array("i"), array("b")
        self.call_micros = array("i")
        self.action_calls, self.log_calls = array("i"), array("i")
        self.failure_calls = array("i")
        self._in: list[int] = []
        """Entries of the tokens that have not left, the newest last."""
        self._drawn_at = self._drawn = -1

    def asks(self) -> None:
        """The next event is told to the mods."""
        self.event += 1

    def called(self, seat: int, seconds: float) -> None:
        """A handler answered the event that was asked last. seconds: in its own code."""
        if len(self.call_events) < MAX_CALLS:
            self.call_events.append(self.event)
            self.call_mods.append(seat)
            self.call_micros.append(min(int(seconds * 1e6), 2**31 - 1))

    def drew(self, token: int, round_: int) -> None:
        """A token was drawn; its verdict is to come."""
        self._drawn_at = self.event
        self._enter(token, SAMPLED, NOBODY, round_)
        self._drawn = self._in[-1]

    def never_came(self) -> None:
        """What was to be asked about the drawn token broke off: if it was its `Sampled`, it never
        came in."""
        if self.event == self._drawn_at + 1 and self._in[-1:] == [self._drawn]:
            self.erase(1)

    def forced(self, run: Sequence[int], seat: int, round_: int) -> None:
        """A mod put a run of tokens in."""
        for place, token in enumerate(run):
            self._enter(token, FORCED_MORE if place else FORCED, seat, round_)

    def jumped(self, token: int, place: int, round_: int) -> None:
        """A constraint put in this token of a run, because it left no choice."""
        self._enter(token, FORCED_MORE if place else FORCED, NOBODY, round_)

    def replaced(self, output: Sequence[int], seat: int, round_: int) -> None:
        """These were put in place of all output, which was erased before."""
        for token in output:
            self._enter(token, OUTPUT, seat, round_)

    def erase(self, count: int) -> None:
        """The newest tokens left, the drawn one first, by the answer to the event asked last."""
        for _ in range(min(count, len(self._in))):
            entry = self._in.pop()
            if entry != _BEYOND:
                self.erased[entry] = max(0, self.event)

    def packed(self, forward_passes: int) -> bytes:
        """Everything, as `server.traces.unpacking` reads it."""
        columns = [getattr(self, name) for name in COLUMNS]
        head = array("q", [forward_passes, *map(len, columns)])
        body = [
            (_differences(column) if name in RISING else column).tobytes()
            for name, column in zip(COLUMNS, columns, strict=True)
        ]
        return zlib.compress(b"".join([head.tobytes(), *body]), 1)

    def _enter(self, token: int, origin: int, seat: int, round_: int) -> None:
        if len(self.tokens) >= MAX_ENTRIES:
            self._in.append(_BEYOND)
            return
        self.places.append(len(self._in))
        self._in.append(len(self.tokens))
        self.tokens.append(token)
        self.origins.append(origin)
        self.mods.append(seat)
        self.rounds.append(round_)
        self.times.append(time.time_ns() // MICROSECOND)
        self.erased.append(STAYED)


def _differences(column: array[int]) -> array[int]:
    before = [0, *column[:-1]]
    steps = (here - there for here, there in zip(column, before, strict=False))
    return array(column.typecode, steps)
