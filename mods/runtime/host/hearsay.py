"""What a host says, checked before anybody acts on it.

A host runs strangers' code, which can reach everything in its process and write whatever it likes
to the socket. The types were checked when the message was decoded. Here the values are: what
would upset the API process or the engine is refused, and the host with it. Whether an answer is
wise is the host's own affair, for it can only be about sessions of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from mods.runtime.compile import Traits
from mods.runtime.decisions import Fail, Finish, Next, PassedEnd, Resume, SessionSpec, Usage
from mods.runtime.host.decoding import decode
from mods.runtime.host.page import SLOTS
from mods.runtime.host.protocol import FROM_HOST, Closed, Loaded, LoadFailed, Reply
from mods.runtime.package import Package
from mods.sdk.events import EVENTS

MAX_TEXT = 16_384
"""Characters of an error's message, a printed text or a stop string at most."""
MAX_LINES = 10_000
"""Lines of print in one record at most."""
MAX_TOOL_CALLS = 128
MAX_HELD = 64
"""Constraints in force at once at most."""
MAX_PRINTS = 200
"""Lines that are kept of what a chain printed while it was imported."""
_COUNT = 2**31
_STATUSES = frozenset(status.value for status in HTTPStatus if 400 <= status < 500)
_REASONS = ("stop", "length", "tool_calls")


class Nonsense(ValueError):
    """What no host of ours says; the message says what it was."""


def decode_answer(body: bytearray) -> Loaded | LoadFailed | Reply | Closed:
    """Any answer. Raises what `decode` raises."""
    answer: Loaded | LoadFailed | Reply | Closed = decode(FROM_HOST, body)
    return answer


def fit_load(packages: Sequence[Package], answer: Loaded | LoadFailed) -> Loaded | LoadFailed:
    """What came of a load, fit to be told. Raises `Nonsense` for traits that these mods lack."""
    prints = [plain(line) for line in answer.prints[:MAX_PRINTS]]
    if isinstance(answer, Loaded):
        _check_traits(packages, answer.traits)
        return Loaded(answer.traits, prints)
    _check_failure(answer.status, answer.kind)
    return LoadFailed(answer.status, answer.kind, plain(answer.message), prints)


def check_reply(spec: SessionSpec, reply: Reply) -> None:
    """Raises `Nonsense` unless the engine and the way out can live with this answer.

    A failure is made fit in place: its status one that a client may get, its message no longer
    than a page.
    """
    _demand(-1 <= reply.slot < SLOTS, f"slot {reply.slot}")
    answer: Next = reply.next
    if isinstance(answer, Fail):
        return _make_fit(answer)
    _demand(0 <= answer.keep <= spec.max_context, f"to keep {answer.keep} tokens")
    _check_tokens(spec, answer.tokens, "tokens")
    _check_passed(spec, answer.passed_ends)
    if isinstance(answer, Resume):
        _check_resume(spec, answer)
    else:
        _check_finish(spec, answer)


def fit_record(record: dict[str, Any]) -> dict[str, Any]:
    """The record with its prints and failures as whoever writes them down expects them.

    Raises `Nonsense` where they are something else.
    """
    for kind, words in (("logs", ("mod", "text")), ("failures", ("mod", "message", "traceback"))):
        entries = record.get(kind, [])
        _demand(isinstance(entries, list) and len(entries) <= MAX_LINES, f"{kind} of no use")
        for entry in entries:
            _demand(isinstance(entry, dict), f"{kind} of no use")
            for word in words:
                if word in entry or word in ("mod", "text"):
                    entry[word] = plain(entry.get(word, ""))
    return record


def plain(text: object) -> str:
    """A text as a log may hold it: no longer than a page, and nothing that steers a terminal."""
    _demand(isinstance(text, str), "a text that is none")
    cut = str(text)[:MAX_TEXT]
    if cut.isprintable():
        return cut
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in cut)


def _check_traits(packages: Sequence[Package], traits: Sequence[Traits]) -> None:
    if [trait.name for trait in traits] != [package.name for package in packages]:
        raise Nonsense("traits of other mods than it was given")
    for trait in traits:
        _demand(trait.events <= frozenset(EVENTS), "an event that there is not")
        _demand(trait.reach is None or 0 <= trait.reach < _COUNT, f"a reach of {trait.reach}")
        _demand(trait.on_error in ("fail", "ignore"), "an unknown way to treat errors")
        seconds = trait.deadline
        if seconds is not None:
            _demand(math.isfinite(seconds) and seconds > 0, f"a deadline of {seconds}")


def _check_resume(spec: SessionSpec, resume: Resume) -> None:
    _demand(1 <= resume.segment < _COUNT, f"segment {resume.segment}")
    _demand(0 <= resume.erased < _COUNT, f"{resume.erased} erased tokens")
    if resume.prompt is not None:
        _demand(bool(resume.prompt), "an empty prompt")
        _check_tokens(spec, resume.prompt, "prompt")
    if resume.max_tokens is not None:
        _demand(0 <= resume.max_tokens <= spec.max_context, f"{resume.max_tokens} tokens at most")
    _check_tokens(spec, resume.barred, "barred tokens")
    _demand(resume.reach is None or 0 <= resume.reach < _COUNT, f"a reach of {resume.reach}")
    _demand(len(resume.held) <= MAX_HELD, f"{len(resume.held)} constraints")
    for held in resume.held:
        _demand(-1 <= held.start <= spec.max_context, f"a constraint from {held.start} on")


def _check_finish(spec: SessionSpec, finish: Finish) -> None:
    _demand(finish.reason in _REASONS, f"the finish reason {finish.reason!r:.40}")
    _check_usage(finish.usage)
    if isinstance(finish.stop_reason, int):
        _check_tokens(spec, [finish.stop_reason], "the token that ended it")
    elif finish.stop_reason is not None:
        _demand(len(finish.stop_reason) <= MAX_TEXT, "a stop string of many characters")
    calls = finish.tool_calls
    if calls is not None:
        _demand(len(calls) <= MAX_TOOL_CALLS, f"{len(calls)} tool calls")
        for call in calls:
            _check_call(call)


def _check_call(call: dict[str, Any]) -> None:
    """`{"id", "type", "function": {"name", "arguments"}}`, every value a string."""
    function = call.get("function")
    _demand(isinstance(function, dict), "a tool call without a function")
    values = [value for key, value in call.items() if key != "function"]
    values += function.values() if isinstance(function, dict) else ()
    _demand(all(isinstance(value, str) for value in values), "a tool call that holds no strings")


def _check_passed(spec: SessionSpec, passed: Sequence[PassedEnd]) -> None:
    _demand(len(passed) <= spec.max_context, f"{len(passed)} ends that were passed")
    for end in passed:
        _demand(0 <= end.index <= spec.max_context, f"an end at {end.index}")
        _demand(end.stop is None or len(end.stop) <= MAX_TEXT, "a stop string of many characters")


def _check_tokens(spec: SessionSpec, tokens: Sequence[int], what: str) -> None:
    _demand(len(tokens) <= spec.max_context, f"{len(tokens)} {what}")
    if tokens and not (min(tokens) >= 0 and max(tokens) < spec.vocabulary):
        raise Nonsense(f"{what} outside the vocabulary")


def _check_usage(usage: Usage) -> None:
    for count in (usage.sampled, usage.forced, usage.erased):
        _demand(0 <= count < _COUNT, f"{count} tokens used")


def _make_fit(fail: Fail) -> None:
    _check_failure(fail.status, fail.type)
    fail.message = plain(fail.message)
    if fail.usage is not None:
        _check_usage(fail.usage)


def _check_failure(status: int, kind: str) -> None:
    _demand(status in _STATUSES, f"status {status}")
    _demand(kind.isidentifier() and len(kind) <= 64, "an error of no type")


def _demand(holds: bool, said: str) -> None:
    if not holds:
        raise Nonsense(said)
