"""Records from outside: what is wrong is named by its field, what is right comes back whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.traces.reading import RecordError, read_record
from server.traces.trace import Trace


def body(**parts: Any) -> bytes:
    request = {"request_id": "r1", "created_at": "2025-03-01T12:00:00Z"}
    return json.dumps({"request": {**request, **parts.pop("request", {})}, **parts}).encode()


FORWARD = {"event_type": "ForwardPass", "step": 0}
SAMPLED = {"event_type": "Sampled", "step": 0, "sampled_token": 5}
ADDED = {"event_type": "Added", "step": 0}
CALL = {"event_sequence_order": 0, "mod_name": "m"}
FAT = "\U00020000" * 200
"""A name of 800 bytes."""
TOMORROW = (datetime.now(UTC) + timedelta(days=2)).isoformat()


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        (b"{", ""),
        (b"\xff", ""),
        (b"[" * 100_000, ""),
        (b"[]", ""),
        (b"{}", "request"),
        (b'{"request": {}}', "request.request_id"),
        (body(version=2), "version"),
        (body(request={"request_id": ""}), "request.request_id"),
        (body(request={"request_id": 7}), "request.request_id"),
        (body(request={"request_id": "x" * 201}), "request.request_id"),
        (body(request={"created_at": "yesterday"}), "request.created_at"),
        (body(request={"created_at": "2025-03-01T12:00:00"}), "request.created_at"),
        (body(request={"created_at": TOMORROW}), "request.created_at"),
        (body(request={"completed_at": "2025-03-01T11:00:00Z"}), "request.completed_at"),
        (body(request={"first_token_at": "2025-03-01T11:00:00Z"}), "request.first_token_at"),
        (body(request={"created_at": "1969-12-31T23:59:59Z"}), "request.created_at"),
        (body(request={"created_at": "0001-01-01T00:00:00+14:00"}), "request.created_at"),
        (body(request={"completed_at": TOMORROW}), "request.completed_at"),
        (body(request={"completed_at": "9999-12-31T23:59:59-01:00"}), "request.completed_at"),
        (body(request={"first_token_at": "0001-01-01T00:00:00+14:00"}), "request.first_token_at"),
        (body(request={"final_token_ids": [1, -1]}), "request.final_token_ids[1]"),
        (body(request={"final_token_ids": [2**31]}), "request.final_token_ids[0]"),
        (body(request={"usage": {"forced": "3"}}), "request.usage.forced"),
        (body(request={"usage": {"sampled": 2**31 - 1, "forced": 1}}), "request.usage"),
        (body(request={"tags": [""]}), "request.tags[0]"),
        (body(request={"tags": [f"{n}" for n in range(1001)]}), "request.tags"),
        (body(request={"mods": [{"name": f"{n}"} for n in range(1001)]}), "request.mods"),
        (body(request={"mods": [{"name": "m"}, {"name": FAT}]}), "request.mods[1].name"),
        (body(request={"caller": FAT}), "request.caller"),
        (body(request={"sampling": {"a": json.loads("[" * 100 + "]" * 100)}}), "request.sampling"),
        (body(actions=[{"action_type": "x"}, {"action_type": FAT}]), "actions[1].action_type"),
        (body(actions=[{"action_type": "x"}] * 100_001), "actions"),
        (body(actions=[{"action_type": "x", "details": {"a": json.loads("[" * 100 + "]" * 100)}}]),
            "actions[0].details"),
        (body(mod_logs=[{"log_message": "x"}] * 100_001), "mod_logs"),
        (body(events=[FORWARD, {"step": 1}]), "events[1].event_type"),
        (body(events=[{"event_type": "Sampeld", "step": 1}]), "events[0].event_type"),
        (body(events=[{"event_type": "required field", "step": 1}]), "events[0].event_type"),
        (body(events=[{"event_type": " - at `$.x`", "step": 1}]), "events[0].event_type"),
        (body(events=[FORWARD, {**ADDED, "created_at": "9999-12-31T23:59:59-01:00"}]), (
            "events[1].created_at"
        )),
        (body(events=[{**FORWARD, "top_tokens": [{"token": 1, "probability": 0.0}] * 2**15}]), (
            "events[0].top_tokens"
        )),
        (body(events=[FORWARD, {**ADDED, "added_tokens": [1] * 1_000_001}]), "events[1]"),
        (body(events=[FORWARD, {"event_type": "Sampled", "step": 1}]), "events[1].sampled_token"),
        (body(events=[{**FORWARD, "sequence_order": 1}]), "events[0].sequence_order"),
        (body(events=[FORWARD], mod_calls=[{**CALL, "mod_name": ""}]), "mod_calls[0].mod_name"),
        (body(mod_calls=[CALL]), "mod_calls[0].event_sequence_order"),
        (body(events=[FORWARD], mod_calls=[{**CALL, "execution_time_ms": -1}]), CALL_TIME := (
            "mod_calls[0].execution_time_ms"
        )),
        (body(events=[FORWARD], mod_calls=[{**CALL, "execution_time_ms": "1"}]), CALL_TIME),
        (body(mod_logs=[{"log_message": "x", "mod_call_sequence": 0}]), LOG := (
            "mod_logs[0].mod_call_sequence"
        )),
        (body(mod_logs=[{"log_message": "x", "mod_call_sequence": -1}]), LOG),
        (body(actions=[{"action_type": "noop", "mod_call_sequence": 3}]), (
            "actions[0].mod_call_sequence"
        )),
        (body(actions=[{"mod_call_sequence": 3}]), "actions[0].action_type"),
        (body(actions={}), "actions"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_field(sent: bytes, field: str) -> None:
    with pytest.raises(RecordError) as caught:
        read_record(sent)
    assert caught.value.field == field
    assert str(caught.value).startswith(field)


def test_a_link_that_leads_nowhere_says_how_many_there_are() -> None:
    with pytest.raises(RecordError, match="there is no event 4; there are 1"):
        read_record(body(events=[FORWARD], mod_calls=[{**CALL, "event_sequence_order": 4}]))


def test_a_record_of_the_older_system_is_taken() -> None:
    record = read_record(
        body(
            request={"user_api_key": "secret", "active_mod_name": "m", "inference_stats": {}},
            events=[
                {**FORWARD, "sequence_order": 0, "top_k": 5, "adjusted_logits": False},
                {**SAMPLED, "sequence_order": 1, "token_text": "x", "details": {"a": 1}},
            ],
            mod_calls=[{**CALL, "event_type": "ForwardPass", "step": 0, "execution_time_ms": 0.1}],
            mod_logs=[{"mod_call_sequence": 0, "mod_name": "m", "log_message": "hi"}],
            actions=[{"mod_call_sequence": 0, "action_type": "ForceTokens", "action_order": 0}],
        )
    )
    (action,) = record.actions
    assert action.action_type == "force_tokens"
    assert (action.mod_name, action.step, action.event_type) == ("m", 0, "ForwardPass")
    assert [mod.name for mod in record.request.mods] == ["m"]
    assert b"secret" not in record.to_json()


def test_times_become_utc() -> None:
    record = read_record(body(request={"created_at": "2025-03-01T14:00:00+02:00"}))
    assert record.request.created_at == datetime(2025, 3, 1, 12, tzinfo=UTC)
    assert b'"2025-03-01T12:00:00Z"' in record.to_json()


def test_a_missing_time_is_the_present() -> None:
    record = read_record(b'{"request": {"request_id": "r"}}')
    assert abs(record.request.created_at - datetime.now(UTC)) < timedelta(seconds=10)


@pytest.mark.parametrize(
    "events",
    [
        [],
        [SAMPLED],
        [FORWARD, SAMPLED, {"event_type": "Added", "step": 0, "added_tokens": [9]}],
        [{"event_type": "Added", "step": 3, "added_tokens": [1], "forced": True, "mod_name": "m"}],
        [FORWARD] * 3,
        [{**FORWARD, "step": 5}, {**SAMPLED, "step": 1}],
        [{"event_type": "Finished", "step": 0, "output_tokens": [1], "output_mod_name": "m"}],
    ],
)
def test_events_that_no_session_has_come_back_as_they_were(events: list[dict[str, Any]]) -> None:
    read = read_record(body(events=events)).to_json()
    trace = Trace.from_json(body(events=events))
    assert trace.record().to_json() == read
    assert Trace.decode(trace.encode()).record().to_json() == read


def test_the_version_is_always_said() -> None:
    assert json.loads(read_record(body()).to_json())["version"] == 1
