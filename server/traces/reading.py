"""A record from outside: read, checked, and made regular. What is wrong is named by its field."""

from __future__ import annotations

from datetime import UTC, timedelta

import msgspec

from server.traces.record import (
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
    _check_times(record.request)
    for number, event in enumerate(record.events):
        _check_event(event, number)
    for number, call in enumerate(record.mod_calls):
        _check_call(record, call, number)
    for number, log in enumerate(record.mod_logs):
        _follow(record, log, f"mod_logs[{number}]")
    for number, action in enumerate(record.actions):
        _check_action(record, action, number)
    _name_mods(record)
    return record


def _check_times(request: Request) -> None:
    request.created_at = request.created_at.astimezone(UTC)
    if request.created_at > now() + timedelta(days=1):
        raise RecordError("request.created_at", f"{request.created_at} is in the future")
    for name in ("first_token_at", "completed_at"):
        time = getattr(request, name)
        if time is None:
            continue
        if time < request.created_at:
            raise RecordError(f"request.{name}", f"{time} is before created_at")
        setattr(request, name, time.astimezone(UTC))


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
        event.created_at = event.created_at.astimezone(UTC)


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
    action.action_type = OLD_ACTIONS.get(action.action_type, action.action_type)
    call = _follow(record, action, f"actions[{number}]")
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
    record.request.mods = [*record.request.mods, *map(ModUse, missing)]


def _located(error: msgspec.ValidationError) -> RecordError:
    """msgspec names the place behind the problem, and a missing field inside it."""
    problem, _, place = str(error).partition(" - at `$")
    place = place.rstrip("`").removeprefix(".")
    if "required field" in problem:
        missing = problem.split("`")[1]
        return RecordError(f"{place}.{missing}".removeprefix("."), "is missing")
    return RecordError(place, problem[:1].lower() + problem[1:])
