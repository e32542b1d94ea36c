"""Events follow from the story: they are those that mods were told, whatever mods do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mods.runtime.compile import Traits
from mods.runtime.seat import LoadedMod
from mods.sdk.events import Added, Event, Sampled
from mods.sdk.testing import HashModel, ScriptedEngine, Trouble, spec_for
from mods.sdk.testing.script import Line, Script
from server.traces.record import Event as Told
from server.traces.record import ModUse, Request
from server.traces.retelling import events_of, story_of
from server.traces.story import FORCED, FORCED_MORE, NOBODY, OUTPUT, SAMPLED, STAYED, Story
from server.traces.trace import Trace
from tests.server.traces.records import patient
from tests.server.traces.traced import TracedMachine

KINDS = ["force_tokens", "backtrack", "noop", "raise", "force_output", "tool_calls", "emit_error"]

lines = st.builds(
    Line,
    kind=st.sampled_from(KINDS[:3] * 4 + KINDS),
    tokens=st.lists(st.sampled_from(b"abcd "), max_size=9).map(tuple),
    n=st.integers(1, 9),
)
scripts = st.builds(
    Script,
    lines=st.dictionaries(st.integers(0, 30), lines, max_size=12),
    on_error=st.sampled_from(["fail", "ignore"]),
)
chains = st.lists(scripts, min_size=1, max_size=3).map(
    lambda chain: [replace(script, name=f"mod{n}") for n, script in enumerate(chain)]
)
few = st.frozensets(st.integers(1, 30), max_size=4)
troubles = st.builds(
    Trouble, repeat=few, stale=few, late=few, lost=few, abort=st.none() | st.integers(1, 30)
)


class Session:
    """One session on a scripted engine, its trace, and the events that its first mod was told."""

    def __init__(self, chain: list[Script], trouble: Trouble, seed: int, max_tokens: int) -> None:
        self.told: list[Event] = []
        machines: list[TracedMachine] = []

        def machine(*arguments: Any) -> TracedMachine:
            machines.append(TracedMachine(*arguments))
            return machines[-1]

        engine = ScriptedEngine(HashModel(seed=seed), trouble=trouble, machine=machine)
        spy = LoadedMod(lambda event, actions, tokenizer: self.told.append(event), Traits("spy"))
        self.outcome = engine.run(
            spec_for("hello", max_tokens), [spy, *(script.mod() for script in chain)]
        )
        self.machine = machines[0]
        self.trace = self.machine.trace

    @property
    def events(self) -> list[Told]:
        return events_of(self.trace.story, self.trace.request)


sessions = st.builds(Session, chains, troubles, st.integers(0, 50), st.integers(1, 24))


@patient
@given(sessions)
def test_the_events_are_those_that_a_mod_was_told(session: Session) -> None:
    assert [outline(event) for event in session.told] == [outline(e) for e in session.events]


def outline(event: Event | Told) -> tuple[object, ...]:
    """What both spellings of an event say."""
    if isinstance(event, Told):
        token, added = event.sampled_token, event.added_tokens
        return event.event_type, event.step, event.position, token, added, event.forced
    token = event.sampled_token if isinstance(event, Sampled) else None
    added = list(event.added_tokens) if isinstance(event, Added) else []
    forced = isinstance(event, Added) and event.forced
    return event.name, event.step, event.position, token, added, forced


@patient
@given(sessions)
def test_what_was_removed_is_told_with_the_event_that_it_answered(session: Session) -> None:
    """A mod hears of it later, with the next `Added`; here it stands where it happened."""
    removed: list[int] = []
    pending: list[int] = []
    for event, told in zip(session.events, session.told, strict=True):
        if isinstance(told, Added):
            assert list(told.removed) == removed
            removed = []
        pending = [event.sampled_token] if event.sampled_token is not None else []
        left = list(event.removed_tokens)
        if pending and left:
            assert left.pop() == pending[0]
        removed = left + removed


@patient
@given(sessions)
def test_the_story_ends_with_the_output(session: Session) -> None:
    if not session.outcome.failed:
        assert session.trace.story.surviving() == session.machine.output.tokens


@patient
@given(sessions)
def test_a_story_gathered_from_its_events_tells_them_again(session: Session) -> None:
    story = story_of(session.events, session.trace.request)
    assert events_of(story, session.trace.request) == session.events
    assert story.tokens == session.trace.story.tokens
    assert story.erased == session.trace.story.erased


@patient
@given(sessions)
def test_a_record_made_again_from_its_own_json_is_equal(session: Session) -> None:
    body = session.trace.record().to_json()
    again = Trace.from_json(body)
    assert again.events is None
    assert again.record().to_json() == body


@patient
@given(sessions)
def test_every_call_belongs_to_an_event_that_its_mod_was_told(session: Session) -> None:
    record = session.trace.record()
    heard = [
        record.events[call.event_sequence_order].event_type
        for call in record.mod_calls
        if call.mod_name == "spy"
    ]
    assert heard == [event.name for event in session.told]


def test_without_any_round_there_are_a_beginning_and_an_end() -> None:
    request = Request(request_id="r", user_prompt_token_ids=[1, 2], finish_reason="stop")
    first, last = events_of(Story(), request)
    assert (first.event_type, first.prompt_length) == ("Prefilled", 2)
    assert (last.event_type, last.finish_reason) == ("Finished", "stop")


def test_an_output_put_in_at_the_beginning_is_told_with_it() -> None:
    story = Story()
    story.replaced([5, 6], 0, 0, None)
    first, last = events_of(story, Request(request_id="r", mods=[ModUse("m")]))
    assert (first.output_tokens, first.output_mod_name) == ([5, 6], "m")
    assert last.position == 2


def test_a_story_says_of_each_token_whence_it_came_and_whether_it_stayed() -> None:
    story = Story()
    story.sampled(1, 0, 10, 0.5)
    story.sampled(2, 1, 20)
    story.erase(2, 4)
    story.forced([7, 8], 1, 1, 20)
    story.replaced([9], 0, 1, 30)
    assert story.origins == [SAMPLED, SAMPLED, FORCED, FORCED_MORE, OUTPUT]
    assert story.mods == [NOBODY, NOBODY, 1, 1, 0]
    assert story.erased == [4, 4, STAYED, STAYED, STAYED]
    assert story.surviving() == [7, 8, 9]
    assert (story.count(), story.count(SAMPLED), story.count(FORCED)) == (2, 0, 1)


def test_erasing_more_than_there_is_takes_what_there_is() -> None:
    story = Story()
    story.sampled(1, 0)
    story.erase(5, 2)
    assert story.erased == [2]


def test_candidates_belong_to_the_newest_token() -> None:
    story = Story()
    story.sampled(1, 0)
    story.sampled(2, 1)
    story.candidates([2, 3], [0.7, 0.2], 0.9)
    story.sampled(4, 2)
    story.forward_passes = 3
    assert story.entropies == [None, 0.9]
    forward = [e for e in events_of(story, Request(request_id="r")) if e.event_type[0] == "F"][:3]
    assert [event.entropy for event in forward] == [None, 0.9, None]
    assert [c.token for c in forward[1].top_tokens] == [2, 3]


@pytest.mark.parametrize("kept", [True, False])
def test_a_drawn_token_that_is_never_said_to_be_in_counts_as_in(kept: bool) -> None:
    """Records from elsewhere may tell of draws alone."""
    events = [Told("Sampled", 0, sampled_token=5), Told("Sampled", 1, sampled_token=6)]
    if not kept:
        events[1].removed_tokens = [6]
    story = story_of(events, Request(request_id="r"))
    assert story.surviving() == ([5, 6] if kept else [5])
