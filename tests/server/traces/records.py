"""Records as they may come from outside, by the thousand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from server.traces.reading import regular
from server.traces.record import (
    Action,
    Candidate,
    Error,
    Event,
    ModCall,
    ModLog,
    ModUse,
    Record,
    Request,
    Usage,
)

patient = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
"""For machines that have other things to do."""

START = datetime(2024, 5, 1, tzinfo=UTC)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["\x00", "a\x00b\x1a0", "\x1a1", "'; drop table", "\U0001f600"]
)
names = st.sampled_from(["a", "b", "é"])
ids = st.integers(0, 2**31 - 1)
counts = st.integers(0, 99)
token_lists = st.lists(ids, max_size=4)
numbers = st.floats(allow_nan=False, allow_infinity=False)
probabilities = st.none() | st.floats(0, 1)
times = st.integers(0, 10**12).map(lambda micros: START + timedelta(microseconds=micros))
things: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(texts, things, max_size=3)

events = st.one_of(
    st.builds(
        Event,
        event_type=st.sampled_from(["Prefilled", "ForwardPass", "Added", "Finished"]),
        step=counts,
        position=st.none() | counts,
        created_at=st.none() | times,
        max_steps=st.none() | counts,
        top_tokens=st.lists(st.builds(Candidate, ids, st.floats(0, 1)), max_size=2),
        entropy=probabilities,
        added_tokens=token_lists,
        forced=st.booleans(),
        mod_name=names,
        removed_tokens=token_lists,
    ),
    st.builds(
        Event,
        event_type=st.just("Sampled"),
        step=counts,
        sampled_token=ids,
        probability=probabilities,
        created_at=st.none() | times,
    ),
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    created = draw(times)
    later = st.none() | st.integers(0, 10**10).map(lambda n: created + timedelta(microseconds=n))
    return Request(
        request_id=draw(st.uuids()).hex + draw(texts),
        created_at=created,
        first_token_at=draw(later),
        completed_at=draw(later),
        group_id=draw(texts),
        choice=draw(counts),
        parent_id=draw(texts),
        parent_step=draw(st.none() | counts),
        model=draw(texts),
        endpoint=draw(texts),
        caller=draw(texts),
        stream=draw(st.booleans()),
        level=draw(st.sampled_from(["tokens", "full"])),
        messages=draw(st.lists(objects, max_size=2)),
        tools=draw(st.lists(objects, max_size=1)),
        response_format=draw(st.none() | objects),
        user_prompt=draw(texts),
        user_prompt_token_ids=draw(token_lists),
        max_tokens=draw(st.none() | counts),
        temperature=draw(st.none() | numbers),
        sampling=draw(objects),
        mods=draw(st.lists(st.builds(ModUse, names, texts), max_size=2)),
        final_text=draw(texts),
        final_token_ids=draw(token_lists),
        finish_reason=draw(texts),
        stop_reason=draw(st.none() | texts | st.integers(-(2**63), 2**63 - 1)),
        tool_calls=draw(st.lists(objects, max_size=1)),
        usage=draw(st.builds(Usage, counts, counts, counts, counts, counts)),
        error=draw(st.none() | st.builds(Error, texts, texts, counts)),
        tags=draw(st.lists(texts.filter(bool), max_size=2)),
    )


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Any record that `read_record` would take, as it would leave it."""
    told = draw(st.lists(events, max_size=6))
    place = st.integers(0, len(told) - 1)
    call = st.builds(
        ModCall,
        event_sequence_order=place,
        mod_name=names,
        execution_time_ms=st.none() | st.floats(0, 2e6),
        exception_occurred=st.booleans(),
        exception_type=texts,
        exception_message=texts,
        exception_traceback=texts,
    )
    calls = draw(st.lists(call, max_size=4)) if told else []
    link = st.none() | st.integers(0, len(calls) - 1) if calls else st.none()
    log = st.builds(ModLog, texts, names, link, st.sampled_from(["DEBUG", "INFO", "ERROR"]))
    action = st.builds(
        Action,
        action_type=st.sampled_from(["force_tokens", "backtrack", "Backtrack", "cut", "x"]),
        mod_call_sequence=link,
        mod_name=names,
        event_type=st.none() | st.sampled_from(["Sampled", "Added"]),
        step=st.none() | counts,
        position=st.none() | counts,
        tokens=token_lists,
        before=token_lists,
        backtrack_steps=st.none() | counts,
        overridden=st.booleans(),
        details=objects,
    )
    return regular(
        Record(
            request=draw(requests()),
            events=told,
            mod_calls=calls,
            mod_logs=draw(st.lists(log, max_size=2)),
            actions=draw(st.lists(action, max_size=3)),
        )
    )
