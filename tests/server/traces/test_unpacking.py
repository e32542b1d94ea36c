"""What a host says happened is read without harm, whatever it says."""

from __future__ import annotations

import zlib
from array import array
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mods.runtime.tape import MAX_ENTRIES, Tape
from server.traces.acts import actions_of, failures_of, logs_of
from server.traces.story import FORCED, FORCED_MORE, SAMPLED, STAYED
from server.traces.trace import Trace
from server.traces.unpacking import TapeError, unpack
from tests.server.traces.making import modded


def tape() -> Tape:
    """Two draws, the second taken back, and a run of two."""
    tape = Tape()
    for event, seat in enumerate((0, 1, 0)):
        tape.asks()
        tape.called(seat, event / 1000)
    tape.action_calls.append(2)
    tape.failure_calls.extend([0, -1])
    tape.drew(5, 0)
    tape.drew(6, 1)
    tape.erase(1)
    tape.forced([7, 8], 1, 1)
    return tape


def test_a_tape_is_read_as_it_was_written() -> None:
    story, calls, times, places, *noted = unpack(tape().packed(2), mods=2)
    assert (story.tokens, story.origins) == ([5, 6, 7, 8], [SAMPLED, SAMPLED, FORCED, FORCED_MORE])
    assert (story.mods, story.rounds) == ([-1, -1, 1, 1], [0, 1, 1, 1])
    assert (story.erased, story.forward_passes) == ([STAYED, 2, STAYED, STAYED], 2)
    assert (calls.events, calls.mods, calls.micros) == ([0, 1, 2], [0, 1, 0], [0, 1000, 2000])
    assert places == [0, 1, 1, 2]
    assert noted == [[2], [], [0, -1]]
    assert times == sorted(times)


def test_a_tape_that_is_full_goes_on_without_writing() -> None:
    long = Tape()
    for token in range(MAX_ENTRIES + 10):
        long.drew(token, 0)
    long.erase(11)
    story = unpack(long.packed(1), mods=0).story
    assert len(story) == MAX_ENTRIES
    assert story.erased[-1] == 0
    assert story.erased[-2] == STAYED


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"nonsense",
        zlib.compress(b""),
        zlib.compress(array("q", [0, *[-1] * 13]).tobytes()),
        zlib.compress(array("q", [0, *[2**40] * 13]).tobytes()),
        zlib.compress(array("q", [0, *[5] * 13]).tobytes()),
        zlib.compress(b"\0" * 100),
        zlib.compress(b"\0" * 200_000_000, 1),
        tape().packed(2)[:-3],
        tape().packed(-1),
    ],
)
def test_what_is_no_tape_is_refused(packed: bytes) -> None:
    with pytest.raises(TapeError):
        unpack(packed, mods=2)


def test_a_mod_that_is_not_of_the_chain_is_refused() -> None:
    with pytest.raises(TapeError, match="mods out of bounds"):
        unpack(tape().packed(2), mods=1)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 600), st.integers(0, 255))
def test_a_damaged_tape_is_refused_or_tells_a_story_that_can_be_told(at: int, byte: int) -> None:
    whole = bytearray(zlib.decompress(tape().packed(2)))
    whole[at % len(whole)] = byte
    try:
        story, calls, *_ = unpack(zlib.compress(bytes(whole)), mods=2)
    except TapeError:
        return
    trace = modded()
    trace.request.mods = trace.request.mods * 2
    if story.forward_passes < 1000:
        trace.story, trace.calls, trace.failures = story, calls, []
        assert Trace.decode(trace.encode()).record().request.request_id == "r"


things: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
words = st.sampled_from(["action", "mod", "event", "step", "tokens", "call", "text", "message"])


@settings(max_examples=150, deadline=None)
@given(st.lists(things | st.dictionaries(words, things, max_size=5), max_size=3))
def test_what_a_host_says_its_mods_did_is_taken_or_left_out(entries: list[Any]) -> None:
    trace = modded()
    record = {"actions": entries, "logs": entries, "failures": entries}
    trace.actions = actions_of(trace, record, [1, 99, -5], [1])
    trace.logs = logs_of(trace, record, [1, 99, -5])
    trace.failures = failures_of(trace, record, [1, 99, -5])
    assert Trace.decode(trace.encode()) is not None


def test_what_was_there_before_is_told_once_however_many_took_it() -> None:
    trace = modded()
    trace.story.erase(1, trace.calls.events[0])
    record = {
        "actions": [{"action": "backtrack"}] * 3 + [{"action": "adjust_prefill"}] * 3,
    }
    actions = actions_of(trace, record, [0] * 6, [7, 8])
    assert [len(action.before) for action in actions] == [len(actions[0].before), 0, 0, 2, 0, 0]
    assert actions[0].before
