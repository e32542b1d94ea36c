"""A record from outside: read, checked, and made regular. What is wrong is named by its field."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from server.traces.record import (
    MAX_COUNT,
    VERSION,
    Action,
    Event,
    ModCall,
    ModLog,
    ModUse,
    Record,
    Request,
    now,
)

OLD_ACTIONS = {
    "Noop": "noop",
    "AdjustedPrefill": "adjust_prefill",
    "ForceTokens": "force_tokens",
    "ForceOutput": "force_output",
    "Backtrack": "backtrack",
    "AdjustedLogits": "adjust_logits",
    "ToolCalls": "tool_calls",
    "EmitError": "emit_error",
}
"""Names of actions in records of an older system."""

MAX_TOKENS = 1_000_000
"""That the events of a record may tell of."""
MAX_LABELS = 1_000
"""Mods of a record, wherever they are named; its tags."""
MAX_NAME = 768
"""Bytes of the names by which statistics are kept: three must fit into one key of an index."""
MAX_DEPTH = 100
"""Lists and objects within each other, where anything may stand."""
MAX_PROBLEM = 500
"""Characters of what msgspec says is wrong, which may quote what was sent."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_decoder = msgspec.json.Decoder(Record)


class RecordError(ValueError):
    """A record that cannot be taken. `field` is where, such as `events[3].step`."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field


def read_record(body: bytes) -> Record:
    """What `POST /v1/ingest` was sent. Fields that are not known are passed over.

    Raises `RecordError` for what is malformed and for links that lead nowhere.
    """
    try:
        record = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _located(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError("", f"the body is no JSON: {error}") from None
    except RecursionError:
        raise RecordError("", "the body is nested too deeply") from None
    return regular(record)


def regular(record: Record) -> Record:
    """The record as it will be given back, changed in place. Raises `RecordError`.

    Times become UTC, older names of actions the present ones, and what follows from a link is
    filled in.
    """
    if record.version != VERSION:
        raise RecordError("version", f"expected {VERSION}, got {record.version}")
    _check_request(record.request)
    for number, event in enumerate(record.events):
        _check_event(event, number)
    _check_tokens(record.events)
    for number, call in enumerate(record.mod_calls):
        _check_call(record, call, number)
    for number, log in enumerate(record.mod_logs):
        _follow(record, log, f"mod_logs[{number}]")
    for number, action in enumerate(record.actions):
        _check_action(record, action, number)
    _name_mods(record)
    return record


def _check_request(request: Request) -> None:
    _check_times(request)
    _check_name(request.caller, "request.caller")
    usage = request.usage
    if usage.sampled + usage.forced > MAX_COUNT:
        problem = f"sampled and forced are more than {MAX_COUNT} together"
        raise RecordError("request.usage", problem)
    if len(request.tags) > MAX_LABELS:
        raise RecordError("request.tags", f"expected {MAX_LABELS} at most, got {len(request.tags)}")
    for name in ("messages", "tools", "response_format", "sampling", "tool_calls"):
        _check_depth(getattr(request, name), f"request.{name}")


def _check_times(request: Request) -> None:
    request.created_at = _utc(request.created_at, "request.created_at")
    for name in ("first_token_at", "completed_at"):
        time = getattr(request, name)
        if time is None:
            continue
        time = _utc(time, f"request.{name}")
        if time < request.created_at:
            raise RecordError(f"request.{name}", f"{time} is before created_at")
        setattr(request, name, time)


def _utc(time: datetime, where: str) -> datetime:
    if time < _EPOCH:
        raise RecordError(where, f"{time} is before 1970")
    if time > now() + timedelta(days=1):
        raise RecordError(where, f"{time} is in the future")
    return time.astimezone(UTC)


def _check_name(name: str, where: str) -> None:
    size = len(name.encode())
    if size > MAX_NAME:
        raise RecordError(where, f"a name may have {MAX_NAME} bytes, this one has {size}")


def _check_depth(value: Any, where: str) -> None:
    """What is nested more deeply may be read here and not by the writer, whose stack is deeper."""
    level = [value]
    for _ in range(MAX_DEPTH):
        nested = [item for item in level if isinstance(item, (dict, list))]
        if not nested:
            return
        level = [
            item for each in nested for item in (each.values() if isinstance(each, dict) else each)
        ]
    raise RecordError(where, f"is nested more than {MAX_DEPTH} deep")


def _check_event(event: Event, number: int) -> None:
    where = f"events[{number}]"
    if event.sequence_order not in (None, number):
        raise RecordError(
            f"{where}.sequence_order",
            f"expected {number}, its position in the list, got {event.sequence_order}",
        )
    event.sequence_order = None
    if event.event_type == "Sampled" and event.sampled_token is None:
        raise RecordError(f"{where}.sampled_token", "is missing")
    if event.created_at is not None:
        event.created_at = _utc(event.created_at, f"{where}.created_at")


def _check_tokens(events: Sequence[Event]) -> None:
    tokens = 0
    for number, event in enumerate(events):
        tokens += len(event.added_tokens) + len(event.output_tokens)
        tokens += event.sampled_token is not None
        if tokens > MAX_TOKENS:
            problem = f"a record may tell of {MAX_TOKENS} tokens at most"
            raise RecordError(f"events[{number}]", problem)


def _check_call(record: Record, call: ModCall, number: int) -> None:
    if call.event_sequence_order >= len(record.events):
        raise RecordError(
            f"mod_calls[{number}].event_sequence_order",
            f"there is no event {call.event_sequence_order}; there are {len(record.events)}",
        )
    if call.execution_time_ms is not None:
        call.execution_time_ms = round(call.execution_time_ms * 1000) / 1000
    if call.exception_type or call.exception_message or call.exception_traceback:
        call.exception_occurred = True


def _check_action(record: Record, action: Action, number: int) -> None:
    where = f"actions[{number}]"
    _check_name(action.action_type, f"{where}.action_type")
    _check_depth(action.details, f"{where}.details")
    action.action_type = OLD_ACTIONS.get(action.action_type, action.action_type)
    call = _follow(record, action, where)
    if call is not None:
        event = record.events[call.event_sequence_order]
        action.event_type = action.event_type or event.event_type
        action.step = event.step if action.step is None else action.step


def _follow(record: Record, part: ModLog | Action, where: str) -> ModCall | None:
    """The call of a log line or an action. The part takes over the mod's name."""
    if part.mod_call_sequence is None:
        return None
    if part.mod_call_sequence >= len(record.mod_calls):
        raise RecordError(
            f"{where}.mod_call_sequence",
            f"there is no mod call {part.mod_call_sequence}; there are {len(record.mod_calls)}",
        )
    call = record.mod_calls[part.mod_call_sequence]
    part.mod_name = part.mod_name or call.mod_name
    return call


def _name_mods(record: Record) -> None:
    """Mods that only the other parts name are the request's too."""
    named = [
        *(event.mod_name for event in record.events),
        *(event.output_mod_name for event in record.events),
        *(call.mod_name for call in record.mod_calls),
        *(log.mod_name for log in record.mod_logs),
        *(action.mod_name for action in record.actions),
    ]
    known = {"", *(mod.name for mod in record.request.mods)}
    missing = dict.fromkeys(name for name in named if name not in known)
    mods = record.request.mods = [*record.request.mods, *map(ModUse, missing)]
    if len(mods) > MAX_LABELS:
        raise RecordError("request.mods", f"expected {MAX_LABELS} at most, {len(mods)} are named")
    for number, mod in enumerate(mods):
        _check_name(mod.name, f"request.mods[{number}].name")


def _located(error: msgspec.ValidationError) -> RecordError:
    """msgspec names the place behind the problem, and a missing field inside it."""
    said, found, place = str(error).rpartition(" - at `$")
    problem = said if found else place
    place = place.rstrip("`").removeprefix(".") if found else ""
    if problem.startswith("Object missing required field"):
        missing = problem.split("`")[1]
        return RecordError(f"{place}.{missing}".removeprefix("."), "is missing")
    return RecordError(place, problem[:1].lower() + problem[1:MAX_PROBLEM])
