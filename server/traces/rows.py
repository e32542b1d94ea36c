"""A trace as rows: one of `traces`, and one for each action, log line and failure."""

from __future__ import annotations

from collections.abc import Sequence
from sys import intern
from typing import Any

import msgspec
from msgspec.structs import replace

from server.traces.errors import RefusedError
from server.traces.record import Action, Event, ModLog, Request
from server.traces.story import FORCED, FORCED_MORE, OUTPUT, SAMPLED, Story
from server.traces.trace import Calls, Failure, Trace

TRACES = (
    *("request_id", "created_at", "completed_at", "latency", "time_to_first_token"),
    *("model", "endpoint", "caller", "status", "finish_reason", "level", "parent_id"),
    *("mods", "actions", "tags"),
    *("prompt_tokens", "output_tokens", "sampled_tokens", "forced_tokens", "erased_tokens"),
    *("prompt", "output"),
    *("token_ids", "origins", "token_mods", "rounds", "times", "probabilities", "erased_by"),
    *("forward_passes", "entropies", "top_counts", "top_tokens", "top_probabilities"),
    *("call_events", "call_mods", "call_micros"),
    *("version", "prompt_token_ids", "final_token_ids", "request", "events"),
)
"""The columns that `trace_row` fills, in order."""

ACTIONS = (
    *("created_at", "request_id", "number", "call", "mod", "action", "event", "step"),
    *("position", "tokens", "before", "backtrack_steps", "overridden", "details"),
)
MOD_LOGS = ("created_at", "request_id", "number", "call", "mod", "level", "message")
MOD_FAILURES = (
    *("created_at", "request_id", "number", "call", "mod", "type", "message", "traceback"),
)


def trace_row(trace: Trace) -> tuple[Any, ...]:
    """The values of `TRACES`. Raises `RefusedError` where something is nested too deeply."""
    request, story, calls = trace.request, trace.story, trace.calls
    final = request.final_token_ids
    return (
        *(escaped(request.request_id), request.created_at, request.completed_at),
        *(request.latency or 0.0, request.time_to_first_token),
        *map(escaped, (request.model, request.endpoint, request.caller, request.status)),
        *map(escaped, (request.finish_reason, request.level, request.parent_id)),
        list(dict.fromkeys(escaped(mod.name) for mod in request.mods)),
        effective_actions(trace),
        sorted({escaped(tag) for tag in request.tags}),
        *token_counts(trace),
        *map(escaped, (request.user_prompt, request.final_text)),
        *(story.tokens, story.origins, story.mods, story.rounds, story.times),
        *(story.probabilities, story.erased, story.forward_passes, story.entropies),
        *_flat(story),
        *(calls.events, calls.mods, calls.micros),
        *(trace.version, request.user_prompt_token_ids),
        None if final == story.surviving() else final,
        _json(_without_columns(request)),
        None if trace.events is None else _json(trace.events),
    )


def action_rows(trace: Trace) -> list[tuple[Any, ...]]:
    """The values of `ACTIONS`, for each."""
    request = trace.request
    return [
        (
            *(request.created_at, escaped(request.request_id), number, action.mod_call_sequence),
            *(escaped(action.mod_name), escaped(action.action_type), action.event_type),
            *(action.step, action.position, action.tokens, action.before),
            *(action.backtrack_steps, action.overridden, _json(action.details)),
        )
        for number, action in enumerate(trace.actions)
    ]


def log_rows(trace: Trace) -> list[tuple[Any, ...]]:
    """The values of `MOD_LOGS`, for each."""
    request = trace.request
    return [
        (
            *(request.created_at, escaped(request.request_id), number, log.mod_call_sequence),
            *(escaped(log.mod_name), log.log_level, escaped(log.log_message)),
        )
        for number, log in enumerate(trace.logs)
    ]


def failure_rows(trace: Trace) -> list[tuple[Any, ...]]:
    """The values of `MOD_FAILURES`, for each."""
    request = trace.request
    return [
        (
            *(request.created_at, escaped(request.request_id), number, failure.call),
            escaped(request.mods[trace.calls.mods[failure.call]].name),
            *map(escaped, (failure.type, failure.message, failure.traceback)),
        )
        for number, failure in enumerate(trace.failures)
    ]


def trace_of(
    row: Any, actions: Sequence[Any], logs: Sequence[Any], failures: Sequence[Any]
) -> Trace:
    """The trace that these rows were made of."""
    request = msgspec.json.decode(row["request"], type=Request)
    request.user_prompt, request.final_text = plain(row["prompt"]), plain(row["output"])
    request.user_prompt_token_ids = row["prompt_token_ids"]
    trace = Trace(
        request=request,
        version=row["version"],
        story=_story(row),
        calls=Calls(row["call_events"], row["call_mods"], row["call_micros"]),
        failures=[
            Failure(one["call"], plain(one["type"]), plain(one["message"]), plain(one["traceback"]))
            for one in failures
        ],
        logs=list(map(_log, logs)),
        actions=list(map(_action, actions)),
    )
    final = row["final_token_ids"]
    request.final_token_ids = trace.story.surviving() if final is None else final
    if row["events"] is not None:
        trace.events = msgspec.json.decode(row["events"], type=list[Event])
    return trace


def effective_actions(trace: Trace) -> list[str]:
    """The kinds of action that had an effect."""
    return sorted({escaped(one.action_type) for one in trace.actions if not one.overridden})


def token_counts(trace: Trace) -> tuple[int, int, int, int, int]:
    """Of the prompt, of the output, sampled, forced, erased: by the story, or as the usage says."""
    story, usage = trace.story, trace.request.usage
    prompt = usage.prompt or len(trace.request.user_prompt_token_ids)
    if not story.tokens:
        output = usage.sampled + usage.forced
        return prompt, output, usage.sampled, usage.forced, usage.erased
    sampled = story.count(SAMPLED)
    forced = sum(story.count(origin) for origin in (FORCED, FORCED_MORE, OUTPUT))
    return prompt, sampled + forced, sampled, forced, story.count()


def escaped(text: str) -> str:
    """Text that Postgres takes: it has no NUL. `plain` undoes it."""
    if "\x00" in text or "\x1a" in text:
        return text.replace("\x1a", "\x1a1").replace("\x00", "\x1a0")
    return text


def plain(text: str) -> str:
    """What `escaped` was given."""
    return text.replace("\x1a0", "\x00").replace("\x1a1", "\x1a") if "\x1a" in text else text


def _without_columns(request: Request) -> Request:
    return replace(
        request, user_prompt="", final_text="", user_prompt_token_ids=[], final_token_ids=[]
    )


def _flat(story: Story) -> tuple[list[int], list[int], list[float]]:
    """Lists of lists as one list, with the lengths before it."""
    return (
        [len(tokens) for tokens in story.top_tokens],
        [token for tokens in story.top_tokens for token in tokens],
        [p for probabilities in story.top_probabilities for p in probabilities],
    )


def _story(row: Any) -> Story:
    story = Story(
        tokens=row["token_ids"],
        origins=row["origins"],
        mods=row["token_mods"],
        rounds=row["rounds"],
        times=row["times"],
        probabilities=row["probabilities"],
        erased=row["erased_by"],
        forward_passes=row["forward_passes"],
        entropies=row["entropies"],
    )
    start = 0
    for count in row["top_counts"]:
        story.top_tokens.append(row["top_tokens"][start : start + count])
        story.top_probabilities.append(row["top_probabilities"][start : start + count])
        start += count
    return story


def _action(row: Any) -> Action:
    return Action(
        action_type=plain(row["action"]),
        mod_call_sequence=row["call"],
        mod_name=plain(row["mod"]),
        event_type=row["event"],
        step=row["step"],
        position=row["position"],
        tokens=row["tokens"],
        before=row["before"],
        backtrack_steps=row["backtrack_steps"],
        overridden=row["overridden"],
        details=msgspec.json.decode(row["details"]),
    )


def _log(row: Any) -> ModLog:
    # Interned: msgspec leaves a default out of the bytes if it is the very same object.
    level: Any = intern(row["level"])
    return ModLog(plain(row["message"]), plain(row["mod"]), row["call"], level)


def _json(value: Any) -> str:
    """Raises `RefusedError` for what was nested just less deeply than a spool can be read."""
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        raise RefusedError("the trace is nested too deeply") from None
