"""A session's tape, as its host packed it: read, and checked, for a host runs strangers' code."""

from __future__ import annotations

import zlib
from array import array
from itertools import accumulate
from typing import NamedTuple

from mods.runtime.record import MAX_ENTRIES as MAX_NOTED
from mods.runtime.tape import COLUMNS, MAX_CALLS, MAX_ENTRIES, RISING, Tape
from server.traces.record import MAX_COUNT
from server.traces.story import FORCED, FORCED_MORE, OUTPUT, SAMPLED, STAYED, Story
from server.traces.trace import Calls

_HEAD = (1 + len(COLUMNS)) * 8
_MOST = _HEAD + 44 * MAX_ENTRIES + 12 * MAX_CALLS + 12 * MAX_NOTED
_TIMES = 2**53


class TapeError(ValueError):
    """No tape of ours; the message says why."""


class Unpacked(NamedTuple):
    """times: microseconds since the epoch, places: how many tokens were in the output before; both
    for each entry of the story. The rest: the call of each of the record's entries, or -1.
    """

    story: Story
    calls: Calls
    times: list[int]
    places: list[int]
    action_calls: list[int]
    log_calls: list[int]
    failure_calls: list[int]


def unpack(packed: bytes, mods: int) -> Unpacked:
    """The story of a session with so many mods. Raises `TapeError`."""
    forward_passes, lengths, body = _head(_inflated(packed))
    entries = lengths["tokens"]
    columns: dict[str, list[int]] = {}
    for name in COLUMNS:
        column = array(getattr(_EMPTY, name).typecode)
        size = lengths[name] * column.itemsize
        _demand(len(body) >= size, f"the column {name} is cut off")
        column.frombytes(body[:size])
        body = body[size:]
        columns[name] = list(accumulate(column)) if name in RISING else column.tolist()
    _demand(not body, "something follows the last column")
    # Each round becomes an event when the trace is read.
    _demand(0 <= forward_passes <= MAX_CALLS, f"{forward_passes} rounds")
    _check(columns, mods)
    story = Story(
        tokens=columns["tokens"],
        origins=columns["origins"],
        mods=columns["mods"],
        rounds=columns["rounds"],
        erased=columns["erased"],
        times=[None] * entries,
        probabilities=[None] * entries,
        forward_passes=forward_passes,
    )
    if story.origins and story.origins[0] == FORCED:
        # A constraint may put everything in before any round; it is told as one.
        story.forward_passes = max(1, forward_passes)
    micros: list[int | None] = [*columns["call_micros"]]
    heard = Calls(columns["call_events"], columns["call_mods"], micros)
    noted = [columns[name] for name in COLUMNS[-3:]]
    return Unpacked(story, heard, columns["times"], columns["places"], *noted)


def _inflated(packed: bytes) -> bytes:
    inflating = zlib.decompressobj()
    try:
        data = inflating.decompress(packed, _MOST)
    except zlib.error as error:
        raise TapeError(f"the tape cannot be unpacked: {error}") from None
    _demand(inflating.eof, "the tape is too long, or cut off")
    return data


def _head(data: bytes) -> tuple[int, dict[str, int], bytes]:
    """Rounds, the length of each column, and the columns."""
    _demand(len(data) >= _HEAD, "the tape has no head")
    head = array("q")
    head.frombytes(data[:_HEAD])
    lengths = dict(zip(COLUMNS, head[1:], strict=True))
    for names, most in ((COLUMNS[:7], MAX_ENTRIES), (COLUMNS[7:10], MAX_CALLS)):
        _demand(len({lengths[name] for name in names}) == 1, "columns of different lengths")
        _demand(0 <= lengths[names[0]] <= most, "the tape is too long")
    for name in COLUMNS[10:]:
        _demand(0 <= lengths[name] <= MAX_NOTED, "the tape is too long")
    return head[0], lengths, data[_HEAD:]


def _check(columns: dict[str, list[int]], mods: int) -> None:
    """What would upset those who read the story, or Postgres."""
    for name, least, most in (
        ("tokens", 0, MAX_COUNT),
        ("origins", SAMPLED, OUTPUT),
        ("mods", -1, mods - 1),
        ("rounds", 0, MAX_COUNT),
        ("times", 0, _TIMES),
        ("erased", STAYED, MAX_COUNT),
        ("places", 0, MAX_COUNT),
        ("call_events", 0, MAX_COUNT),
        ("call_mods", 0, mods - 1),
        ("call_micros", 0, MAX_COUNT),
        ("action_calls", -1, MAX_COUNT),
        ("log_calls", -1, MAX_COUNT),
        ("failure_calls", -1, MAX_COUNT),
    ):
        items = columns[name]
        if items:
            _demand(least <= min(items) and max(items) <= most, f"{name} out of bounds")
    _demand(columns["rounds"] == sorted(columns["rounds"]), "rounds that fall")
    origins = columns["origins"]
    _demand(FORCED_MORE not in origins[:1], "a run without a beginning")
    _demand(OUTPUT not in origins or set(origins[origins.index(OUTPUT) :]) == {OUTPUT},
            "tokens behind the output that replaced all")  # fmt: skip


def _demand(holds: bool, said: str) -> None:
    if not holds:
        raise TapeError(said)


_EMPTY = Tape()
