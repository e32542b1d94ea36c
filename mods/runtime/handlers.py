"""Calling mods: the one place where an author's code runs, and where what it raises is caught.

A handler may wait, so asking is a coroutine. Where no handler does, it runs through at once.
"""

from __future__ import annotations

import math
import traceback
from asyncio import CancelledError
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from time import perf_counter
from types import CoroutineType
from typing import Any, Protocol

from mods.runtime.chain import NOTHING, Answer, Outcome, combine
from mods.runtime.chronicle import Chronicle
from mods.runtime.contents import checked, does_nothing
from mods.runtime.decisions import SessionSpec
from mods.runtime.output import Output
from mods.runtime.record import Record, speaker
from mods.runtime.seat import Seat
from mods.runtime.transcript import Transcript
from mods.runtime.waiting import (
    MAX_DEADLINE,
    DeadlineMissedError,
    Steps,
    at_once,
    may_wait,
    wait_here,
)
from mods.sdk import conversation
from mods.sdk.actions import Action, ActionBuilder, AdjustedLogits, Noop, validate_action
from mods.sdk.errors import HostError, InvalidActionError, ModRaisedError
from mods.sdk.events import Event, Finished, ForwardPass, look_at, look_away


class Watch(Protocol):
    """Told when an author's code begins to run, and when it is done or waits.

    deadline: seconds that one call may take, waits included, where its mod declares no more.
    """

    deadline: float

    def call_begins(self, seat: int) -> None: ...
    def call_ends(self) -> None: ...


class Unwatched:
    """Nobody looks."""

    deadline = math.inf

    def call_begins(self, seat: int) -> None:
        pass

    def call_ends(self) -> None:
        pass


UNWATCHED = Unwatched()
NOOP = Noop()
_speak = speaker.voice.set
_enter = conversation.enter


class Handlers:
    """One session's mods in their seats: events go out to them in order, one outcome comes back."""

    def __init__(
        self,
        seats: Sequence[Seat],
        spec: SessionSpec,
        tokenizer: Any,
        output: Output,
        record: Record,
        watch: Watch = UNWATCHED,
    ) -> None:
        self._seats, self._spec, self._tokenizer = seats, spec, tokenizer
        self._record, self._watch = record, watch
        self.transcript = Transcript(output, seats, spec, tokenizer, record)
        self._chronicle = Chronicle(self.transcript, tokenizer) if spec.tells_events else None
        if self._chronicle is not None:
            record.events = []
        self._voices = [(record, seat.name) for seat in seats]
        self._began = 0.0
        self.may_wait = any(may_wait(seat.mod.handler) for seat in seats)
        self.run = wait_here if self.may_wait else at_once
        """How a call of the machine is run by whoever does not await it."""
        self.abandoned = False
        """Whether the call under way leads nowhere any more: then a handler that waits is blamed
        for nothing, and the call ends with its cancellation."""

    async def ask(self, event: Event) -> Outcome:
        """Each mod's answer, and what comes of them. Raises what `call` raises."""
        self.note(event)
        answers = []
        for seat in self._seats:
            action = await self.call(seat, event)
            if action.rank and does_nothing(event, action):
                action = NOOP
            if seat.held is not None and type(event) is ForwardPass:
                action = _at_held_temperature(action, seat.held)
            if action.rank:
                answers.append(Answer(seat, action, self._record.calls - 1))
        if not answers:
            return NOTHING
        outcome = combine(answers)
        self._write_down(event, answers, outcome)
        return outcome

    def note(self, event: Event) -> None:
        """Keep an event, if somebody wants to know."""
        if self._chronicle is not None:
            self._record.event(self._chronicle.entry(event))

    async def call(self, seat: Seat, event: Event) -> Action:
        """One handler, one event.

        Raises `InvalidActionError`, `ModRaisedError`, and `HostError` for a missed deadline.
        """
        heard = seat.hears(event)
        if heard is None:
            return NOOP
        builder = ActionBuilder(heard, self._tokenizer)
        self._record.calls += 1
        before = self._record.seconds
        look_at(heard, self.transcript)
        self._begin(seat)
        try:
            answer = seat.mod.handler(heard, builder, self._tokenizer)
            if type(answer) is CoroutineType:
                answer = await self._waited(seat, answer)
            if answer is None or type(answer) is Noop:
                action: Action = NOOP
            else:
                action = checked(validate_action(heard, answer), self._spec.vocabulary)
        except DeadlineMissedError as error:
            raise self._late(seat, heard) from error
        except BaseException as error:
            if self.abandoned:
                raise
            return self._blame(seat, heard, error)
        finally:
            self._end()
            self._record.tape.called(seat.number, self._record.seconds - before)
            look_away(heard)
        if builder.holding is not None or builder.warmed:
            self._steer(seat, heard, builder)
        return action

    def _begin(self, seat: Seat) -> None:
        """The handler's own code runs from here on."""
        _speak(self._voices[seat.number])
        _enter(self._spec)
        self._watch.call_begins(seat.number)
        self._began = perf_counter()

    def _end(self) -> None:
        """It is done, or waits."""
        self._record.seconds += perf_counter() - self._began
        self._watch.call_ends()
        _speak(None)

    async def _waited(self, seat: Seat, answer: Coroutine[Any, Any, object]) -> object:
        """What a handler that may wait answers in the end; once all is abandoned, nobody hears."""
        steps = Steps(answer, lambda: self._begin(seat), self._end, self._deadline(seat))
        try:
            return await steps
        finally:
            if self.abandoned:
                raise CancelledError

    def _deadline(self, seat: Seat) -> float:
        declared = seat.mod.traits.deadline or 0.0
        return max(self._watch.deadline, min(declared, MAX_DEADLINE))

    def _steer(self, seat: Seat, event: Event, builder: ActionBuilder) -> None:
        """Carry out what the mod asked for beside its action."""
        if builder.holding is True:
            seat.hold()
        elif builder.holding is False:
            seat.release(event.position)
        if builder.warmed and type(event) is not Finished:
            seat.hold_temperature(builder.held)
            self._record.action(
                step=event.step,
                event=event.name,
                position=event.position,
                mod=seat.name,
                action="temperature",
                tokens=[],
                n=None,
                overridden=False,
                call=self._record.calls - 1,
                temperature=builder.held,
            )

    def _late(self, seat: Seat, event: Event) -> HostError:
        message = (
            f"mod {seat.name!r} waited longer than its hard deadline of {self._deadline(seat):g} s"
            f" in one call, at {event.name} (step {event.step})"
        )
        self._record.failure(
            mod=seat.name,
            event=event.name,
            step=event.step,
            message=message,
            call=self._record.calls - 1,
        )
        return HostError(message)

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
            call=self._record.calls - 1,
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
            if answer.action is answer.seat.held:
                continue
            self._record.action(
                step=event.step,
                event=event.name,
                position=event.position,
                mod=answer.seat.name,
                action=answer.action.name,
                tokens=list(getattr(answer.action, "tokens", ())),
                n=getattr(answer.action, "n", None),
                overridden=id(answer) in lost,
                call=answer.call,
            )


def _at_held_temperature(action: Action, held: AdjustedLogits) -> Action:
    """What a mod answers at `ForwardPass`; where it names no temperature, at the one it holds."""
    if type(action) is Noop:
        return held
    if isinstance(action, AdjustedLogits) and action.token_temp is None:
        return replace(action, token_temp=held.token_temp)
    return action


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
