"""What a session's host says that its mods did, printed and got wrong, as parts of its trace.

A stranger's word: an entry that makes no sense is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from server.traces.record import Action, Count, EventType, ModLog, Token
from server.traces.trace import Failure, Trace

MAX_TEXT = 16_384
_TAKING = ("backtrack", "force_tokens", "force_output")
"""Actions in whose place tokens went."""

Word = Annotated[str, Meta(max_length=256)]


class _Acted(Struct):
    action: Word
    mod: Word = ""
    event: EventType | None = None
    step: Count | None = None
    position: Count | None = None
    tokens: list[Token] = []
    n: Count | None = None
    overridden: bool = False
    temperature: float | None = None


class _Printed(Struct):
    text: str
    mod: Word = ""


class _Failed(Struct):
    message: str
    mod: Word = ""
    error: Word = ""
    traceback: str = ""


T = TypeVar("T", _Acted, _Printed, _Failed)


def actions_of(
    trace: Trace, record: Mapping[str, Any], calls: Sequence[int], prompt: Sequence[int]
) -> list[Action]:
    """Every answer other than noop, overridden ones too, and what was cut behind an end.

    calls: of each entry of the record. prompt: before a mod changed it. What was there before is
    told once, by the first that took it: however many say so, a trace stays as small.
    """
    removed, asked = _removed(trace), list(prompt)
    actions = []
    for number, acted in _entries(record, "actions", _Acted):
        call = _call(trace, calls, number)
        action = Action(
            action_type=acted.action,
            mod_call_sequence=call,
            mod_name=acted.mod,
            event_type=acted.event,
            step=acted.step,
            position=acted.position,
            tokens=acted.tokens,
            backtrack_steps=acted.n,
            overridden=acted.overridden,
        )
        if call is not None and acted.action in _TAKING and not acted.overridden:
            action.before = removed.pop(trace.calls.events[call], [])
        if acted.action == "adjust_prefill" and not acted.overridden:
            action.before, asked = asked, []
        if acted.action == "temperature":
            action.details = {"temperature": acted.temperature}
        actions.append(action)
    return actions


def logs_of(trace: Trace, record: Mapping[str, Any], calls: Sequence[int]) -> list[ModLog]:
    """What the mods printed, line by line."""
    return [
        ModLog(printed.text[:MAX_TEXT], printed.mod, _call(trace, calls, number))
        for number, printed in _entries(record, "logs", _Printed)
    ]


def failures_of(trace: Trace, record: Mapping[str, Any], calls: Sequence[int]) -> list[Failure]:
    """What handlers raised, one for a call."""
    failures = {}
    for number, failed in _entries(record, "failures", _Failed):
        call = _call(trace, calls, number)
        if call is not None:
            failures[call] = Failure(
                call, failed.error, failed.message[:MAX_TEXT], failed.traceback[:MAX_TEXT]
            )
    return [failures[call] for call in sorted(failures)]


def _entries(record: Mapping[str, Any], kind: str, type_: type[T]) -> Iterator[tuple[int, T]]:
    """Each with its number."""
    for number, entry in enumerate(record.get(kind) or ()):
        try:
            yield number, msgspec.convert(entry, type_)
        except msgspec.ValidationError:
            continue


def _call(trace: Trace, calls: Sequence[int], number: int) -> int | None:
    """The call of the entry of this number, None if it has none."""
    call = calls[number] if number < len(calls) else -1
    return call if 0 <= call < len(trace.calls.events) else None


def _removed(trace: Trace) -> dict[int, list[int]]:
    """The tokens that left the output, by the number of the event whose answer took them."""
    removed: dict[int, list[int]] = defaultdict(list)
    story = trace.story
    for token, event in zip(story.tokens, story.erased, strict=True):
        removed[event].append(token)
    removed.pop(-1, None)
    return removed
