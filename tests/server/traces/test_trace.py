"""A trace keeps all of a record, in bytes and back, whatever text it has to carry."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given

from server.traces.reading import RecordError
from server.traces.record import Record, Request
from server.traces.trace import Trace
from tests.server.traces.records import patient, records


@patient
@given(records())
def test_a_record_comes_back_from_bytes_as_it_was(record: Record) -> None:
    body = record.to_json()
    trace = Trace.decode(Trace.of(record).encode())
    assert trace.record().to_json() == body


@patient
@given(records())
def test_a_record_comes_back_from_json_as_it_was(record: Record) -> None:
    assert Trace.from_json(record.to_json()).record().to_json() == record.to_json()


def test_text_that_has_no_utf8_and_huge_numbers_are_written_all_the_same() -> None:
    request = Request(
        request_id="r", final_text="a\ud800b", sampling={"seed": 10**30, "x": "\udfff"}
    )
    kept = Trace.decode(Trace(request=request).encode()).request
    assert kept.final_text == "a?b"
    assert kept.sampling == {"seed": str(10**30), "x": "?"}
    assert kept.created_at == request.created_at


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x80", b"\x90", msgspec.msgpack.encode({"request": {"request_id": 1}})]
)
def test_bytes_that_are_no_trace_are_refused(data: bytes) -> None:
    with pytest.raises(RecordError):
        Trace.decode(data)


def test_a_version_that_is_not_known_is_refused_by_name() -> None:
    trace = Trace(request=Request(request_id="r"))
    trace.version = 2
    with pytest.raises(RecordError, match="version: expected 1, got 2"):
        Trace.decode(trace.encode())


def test_a_trace_is_small() -> None:
    """A row of arrays: some 15 bytes for a token, where its events alone take hundreds."""
    trace = Trace(request=Request(request_id="r"))
    for step in range(1000):
        trace.story.sampled(20_000 + step, step, 4000 * step)
    trace.story.forward_passes = 1000
    assert len(trace.encode()) < 20_000
    assert len(trace.record().to_json()) > 200_000


def test_an_event_of_a_step_that_nobody_reaches_costs_nothing() -> None:
    """Two billion rounds are not told of, only because somebody names the last."""
    body = (
        b'{"request": {"request_id": "r", "created_at": "2024-05-01T00:00:00Z"}, "events":'
        b' [{"event_type": "ForwardPass", "step": 2147483647}]}'
    )
    trace = Trace.from_json(body)
    assert [event.step for event in trace.record().events] == [2147483647]
    assert Trace.decode(trace.encode()).record().to_json() == trace.record().to_json()
