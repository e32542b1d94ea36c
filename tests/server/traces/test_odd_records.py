"""Whatever `POST /v1/ingest` is sent is refused by name or stored: nothing is taken and lost."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.traces.errors import RefusedError
from server.traces.ingest_route import _trace as taken
from server.traces.reading import MAX_DEPTH, MAX_NAME, RecordError
from server.traces.record import Request
from server.traces.routing import TooLargeError
from server.traces.rows import trace_row
from server.traces.store import Store
from server.traces.trace import Trace
from tests.server.traces.records import patient, records


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


TIMES = [
    "0001-01-01T00:00:00+14:00",
    "0001-01-01T00:00:00Z",
    "1969-12-31T23:59:59.999999Z",
    "1970-01-01T00:00:00+23:59",
    "1970-01-01T00:00:00Z",
    "2024-02-29T23:59:59.999999-12:00",
    "9999-12-31T23:59:59-01:00",
]
WORDS = [
    *("", "\x00", "\x00" * 256, "\x1a0", "required field", "x - at `$.y`", "é" * 256),
    *("\U00020000" * 192, "\U00020000" * 193, "\U00020000" * 256, "x" * 257),
    *("ForwardPass", "Sampled", "Added", "Finished", "full", "Backtrack"),
]
WHOLE = [0, 1, -1, 99, 32_767, 32_768, 2**31 - 1, 2**31, 2**63, 10**30]
NUMBERS = [*WHOLE, 0.5, 1e308, -1e-320]
odd: st.SearchStrategy[Any] = (
    st.sampled_from([*TIMES, *WORDS, *NUMBERS, None, True])
    | st.sampled_from([1, MAX_DEPTH, MAX_DEPTH + 1]).map(nested)
    | st.lists(st.sampled_from([*WORDS, *NUMBERS]), max_size=3)
)

kin = {
    str: st.sampled_from([*TIMES, *WORDS]),
    int: st.sampled_from(WHOLE),
    list: st.lists(st.sampled_from(WORDS), max_size=3) | st.lists(st.sampled_from(WHOLE)),
}


def places(value: Any) -> list[tuple[Any, Any]]:
    """Everything that stands in something: that, and the key or index."""
    found, around = [], [value]
    for inside in around:
        for key in list(inside) if isinstance(inside, dict) else range(len(inside)):
            found.append((inside, key))
            if isinstance(inside[key], (dict, list)):
                around.append(inside[key])
    return found


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A record with some of it replaced, left out or added to."""
    sent = json.loads(draw(records()).to_json())
    for _ in range(draw(st.integers(1, 4))):
        inside, key = draw(st.sampled_from(places(sent) or [(sent, "request")]))
        if draw(st.integers(0, 5)):
            there = inside[key] if isinstance(inside, list) else inside.get(key)
            inside[key] = draw(kin.get(type(there), odd) if draw(st.integers(0, 3)) else odd)
        elif isinstance(inside, dict):
            inside.pop(key, None)
        else:
            inside.append(draw(odd))
    return json.dumps(sent).encode()


def body(request: str = "", rest: str = "") -> bytes:
    return f'{{"request":{{"request_id":"r"{request}}}{rest}}}'.encode()


NAMELESS = ',"events":[{"event_type":"Added","step":0}],"mod_calls":[%s]'
NAMELESS %= '{"event_sequence_order":0,"mod_name":""}'


def test_what_is_taken_is_stored_and_all_else_is_refused(
    looped: tuple[asyncio.Runner, Store],
) -> None:
    runner, store = looped
    numbers = itertools.count()

    @settings(patient, max_examples=150)
    @example(body(',"usage":{"sampled":2147483647,"forced":1}'))
    @example(body(',"created_at":"0001-01-01T00:00:00+14:00"'))
    @example(body(f',"sampling":{{"a":{json.dumps(nested(900))}}}'))
    @example(body(rest=NAMELESS))
    @given(bodies())
    def check(sent: bytes) -> None:
        try:
            trace = taken(sent)
        except (RecordError, TooLargeError):
            return
        trace.request.request_id = f"{next(numbers)} {trace.request.request_id[:100]}"
        spooled = Trace.decode(trace.encode())
        assert runner.run(store.write([spooled])) == 1
        stored = runner.run(store.read(trace.request.request_id))
        assert stored.trace.encode() == spooled.encode()

    check()


async def test_the_longest_names_fit_into_every_index(store: Store) -> None:
    def name(first: int) -> str:
        return "".join(map(chr, range(first, first + MAX_NAME // 4)))

    actions = [{"action_type": name(0x20000), "mod_name": name(0x21000)}]
    request = {"request_id": name(0x22000), "caller": name(0x23000), "model": name(0x24000)}
    sent = json.dumps({"request": request, "actions": actions})
    assert await store.write([taken(sent.encode())]) == 1


def test_taking_back_again_and_again_is_soon_told() -> None:
    """Each removal looks at what it removes, not at all that was removed before it."""
    events = [
        {"event_type": "Added", "step": 0, "added_tokens": [1] * 200_000},
        {"event_type": "Added", "step": 0, "removed_tokens": [1] * 100_000},
        *[{"event_type": "Added", "step": 0, "removed_tokens": [1]}] * 20_000,
    ]
    began = time.process_time()
    story = taken(body(rest=f',"events":{json.dumps(events)}')).story
    assert story.erased[79_999:80_001] == [-1, 20_001]
    assert time.process_time() - began < 10  # once it was minutes


def test_what_only_a_larger_spool_could_take_is_too_large() -> None:
    action = json.dumps({"action_type": "x", "mod_call_sequence": 0})
    call = json.dumps({"event_sequence_order": 0, "mod_name": "\U00020000" * (MAX_NAME // 4)})
    parts = f',"mod_calls":[{call}],"actions":[{",".join([action] * 99_999)}]'
    with pytest.raises(TooLargeError):
        taken(body(rest=f',"events":[{{"event_type":"Added","step":0}}]{parts}'))


def test_a_trace_that_is_nested_too_deeply_is_refused_wherever_it_is_noticed() -> None:
    """Writers have more on their stack than those who spool."""
    deep = Trace(request=Request(request_id="r", sampling={"a": nested(2_000)}))
    with pytest.raises(RefusedError, match="nested too deeply"):
        trace_row(deep)
    level = b"\x91" * 2_000 + b"\xc0"
    with pytest.raises(RecordError, match="nested too deeply"):
        Trace.decode(b"\x81\xa7request\x82\xaarequest_id\xa1r\xa8sampling\x81\xa1a" + level)
