"""Calling mods: the one place where an author's code runs, and where what it raises is caught."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from mods.runtime.chain import NOTHING, Answer, Outcome, combine
from mods.runtime.contents import checked, does_nothing
from mods.runtime.decisions import SessionSpec
from mods.runtime.record import Record, speaker
from mods.runtime.seat import Seat
from mods.sdk import conversation
from mods.sdk.actions import Action, ActionBuilder, Noop, validate_action
from mods.sdk.errors import InvalidActionError, ModRaisedError
from mods.sdk.events import Added, Event


class Watch(Protocol):
    """Told when an author's code begins to run, and when it is done."""

    def call_begins(self, seat: int) -> None: ...
    def call_ends(self) -> None: ...


class Unwatched:
    """Nobody looks."""

    def call_begins(self, seat: int) -> None:
        pass

    def call_ends(self) -> None:
        pass


UNWATCHED = Unwatched()


class Handlers:
    """One session's mods in their seats: events go out to them in order, one outcome comes back."""

    def __init__(
        self,
        seats: Sequence[Seat],
        spec: SessionSpec,
        tokenizer: Any,
        record: Record,
        watch: Watch = UNWATCHED,
    ) -> None:
        self._seats, self._spec, self._tokenizer = seats, spec, tokenizer
        self._record, self._watch = record, watch

    def ask(self, event: Event) -> Outcome:
        """Each mod's answer, and what comes of them. Raises what `call` raises."""
        answers = []
        for seat in self._seats:
            action = self.call(seat, event)
            if action.rank and not does_nothing(event, action):
                answers.append(Answer(seat, action))
        if not answers:
            return NOTHING
        outcome = combine(answers)
        self._write_down(event, answers, outcome)
        return outcome

    def call(self, seat: Seat, event: Event) -> Action:
        """One handler, one event. Raises `InvalidActionError` and `ModRaisedError`."""
        if event.name not in seat.mod.traits.events:
            return Noop()
        if isinstance(event, Added):
            event = replace(event, added_tokens=list(event.added_tokens))
        builder = ActionBuilder(event, self._tokenizer)
        self._record.calls += 1
        speaker.record, speaker.mod = self._record, seat.name
        conversation.enter(self._spec)
        self._watch.call_begins(seat.number)
        try:
            action = validate_action(event, seat.mod.handler(event, builder, self._tokenizer))
            action = checked(action, self._spec.vocabulary)
        except BaseException as error:
            return self._blame(seat, event, error)
        finally:
            self._watch.call_ends()
            speaker.record = None
        if builder.holding is True:
            seat.hold()
        elif builder.holding is False:
            seat.release(event.position)
        return action

    def _blame(self, seat: Seat, event: Event, error: BaseException) -> Action:
        """Turn what a handler raised into a failure that names it, or record and ignore it."""
        message = _message(error)
        self._record.failure(
            mod=seat.name,
            event=event.name,
            step=event.step,
            error=type(error).__name__,
            message=message,
            traceback="".join(traceback.format_exception(error)[-12:]),
        )
        if seat.mod.traits.on_error == "ignore":
            return Noop()
        where = f"mod {seat.name!r} at {event.name} (step {event.step})"
        if isinstance(error, InvalidActionError):
            raise InvalidActionError(f"{where}: {message}") from error
        line = _last_line(error)
        raise ModRaisedError(f"{where} raised {type(error).__name__}: {message}{line}") from error

    def _write_down(self, event: Event, answers: Sequence[Answer], outcome: Outcome) -> None:
        lost = {id(answer) for answer in outcome.overridden}
        for answer in answers:
            self._record.action(
                step=event.step,
                event=event.name,
                position=event.position,
                mod=answer.seat.name,
                action=answer.action.name,
                tokens=list(getattr(answer.action, "tokens", ())),
                n=getattr(answer.action, "n", None),
                overridden=id(answer) in lost,
            )


def _message(error: BaseException) -> str:
    """An exception's text. An author's exception may fail at that, too."""
    try:
        return str(error)
    except BaseException:
        return "(its message cannot be read)"


def _last_line(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return (
        f" ({frames[-1].filename.rsplit('/', 1)[-1]}, line {frames[-1].lineno})" if frames else ""
    )
