"""What mods were told and what they answered, kept by request: the evidence for the laws."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

from mods.runtime.compile import Traits
from mods.runtime.contents import checked
from mods.runtime.seat import Handler, LoadedMod
from mods.runtime.waiting import may_wait
from mods.sdk.actions import Action, ActionBuilder, Noop, validate_action
from mods.sdk.errors import InvalidActionError
from mods.sdk.events import Added, Event, ForwardPass
from mods.sdk.testing.chain import at_held_temperature
from mods.sdk.testing.tokenizer import VOCABULARY


@dataclass(frozen=True)
class Said:
    """One mod's answer: what it returned, or the exception that it raised."""

    mod: str
    answer: object
    ignored: bool = False
    """The mod's errors count as noops."""
    heard: Event | None = None
    """What this mod alone was told: the stretch through which it slept, as one `Added`."""


@dataclass
class Turn:
    """One event, and the answers that it got, in the order of the chain."""

    event: Event
    answers: list[Said] = field(default_factory=list)
    vocabulary: int = VOCABULARY

    def wrong(self) -> Said | None:
        """The answer that makes the session fail, if there is one: raised, or illegal here."""
        for said in self.answers:
            if not said.ignored and self._error(said) is not None:
                return said
        return None

    def actions(self) -> list[Action]:
        """The answers that are legal actions, in order."""
        return [
            Noop() if said.answer is None else said.answer  # type: ignore[misc]
            for said in self.answers
            if self._error(said) is None
        ]

    def _error(self, said: Said) -> BaseException | None:
        return error_of(self.event, said.answer, self.vocabulary)


@dataclass
class Story:
    """One request, as its mods saw it."""

    request_id: str
    turns: list[Turn] = field(default_factory=list)

    @property
    def events(self) -> list[Event]:
        return [turn.event for turn in self.turns]

    def pairs(self) -> Iterator[tuple[Turn, Turn | None]]:
        """Each turn with the one after it."""
        yield from zip(self.turns, [*self.turns[1:], None], strict=False)


class Recorder:
    """Wraps handlers, and keeps the story of each request that they are called for.

    vocabulary: the width of a row of logits; a token id past it is a wrong answer.
    """

    def __init__(self, vocabulary: int = VOCABULARY) -> None:
        self.vocabulary = vocabulary
        self.stories: dict[str, Story] = {}

    def observer(self) -> LoadedMod:
        """A mod that watches and always answers noop: put it first, it hears every event."""

        def watch(event: Event, actions: ActionBuilder, tokenizer: Any) -> None:
            self._open(event)

        return LoadedMod(watch, Traits("observer", reach=0, logits=False))

    def watch(self, mod: LoadedMod) -> LoadedMod:
        """The same mod, whose answers are kept."""
        name, ignored = mod.traits.name, mod.traits.on_error == "ignore"
        held: dict[str, float | None] = {}

        @contextmanager
        def heard(event: Event) -> Iterator[Turn]:
            turn = self._turn(event, name)
            try:
                yield turn
            except BaseException as error:
                turn.answers.append(Said(name, error, ignored, slept_through(event)))
                raise

        hears = mod.traits.events

        def say(turn: Turn, event: Event, actions: ActionBuilder, answer: object) -> object:
            rid = turn.event.request_id
            if actions.warmed:
                held[rid] = actions.held
            said = at_held_temperature(turn.event, answer, held.get(rid))
            turn.answers.append(Said(name, said, ignored, slept_through(event)))
            return answer

        def watched(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
            with heard(event) as turn:
                answer = mod.handler(event, actions, tokenizer) if event.name in hears else None
                return say(turn, event, actions, answer)

        async def awaited(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
            if event.name not in hears:
                return watched(event, actions, tokenizer)
            with heard(event) as turn:
                answer = mod.handler(event, actions, tokenizer)
                return say(turn, event, actions, await cast(Awaitable[object], answer))

        # A mod that holds a temperature shapes draws of which it is not told.
        traits = replace(mod.traits, events=hears | {ForwardPass.name})
        return LoadedMod(awaited if may_wait(mod.handler) else watched, traits)

    def chain(self, mods: Sequence[LoadedMod]) -> list[LoadedMod]:
        """The observer, and the mods behind it, all watched."""
        return [self.observer(), *map(self.watch, mods)]

    def wrap(self, handler: Handler, name: str = "mod") -> Handler:
        """A bare handler, watched."""
        return self.watch(LoadedMod(handler, Traits(name))).handler

    def _turn(self, event: Event, name: str) -> Turn:
        """The turn of this event: the newest, or one more."""
        story = self.stories.get(event.request_id)
        if story and story.turns and same(story.turns[-1].event, event):
            heard = any(said.mod == name for said in story.turns[-1].answers)
            if not heard:
                return story.turns[-1]
        return self._open(event)

    def _open(self, event: Event) -> Turn:
        if isinstance(event, Added):
            event = replace(event, added_tokens=list(event.added_tokens))
        story = self.stories.setdefault(event.request_id, Story(event.request_id))
        story.turns.append(Turn(event, vocabulary=self.vocabulary))
        return story.turns[-1]


def error_of(event: Event, answer: object, vocabulary: int) -> BaseException | None:
    """The exception that an answer is, or that it deserves at this event."""
    if isinstance(answer, BaseException):
        return answer
    try:
        checked(validate_action(event, answer), vocabulary)
    except InvalidActionError as error:
        return error
    return None


def same(one: Event, other: Event) -> bool:
    """Whether two mods were told of one thing: who slept through it hears of the whole stretch."""
    if slept_through(other) is not None and isinstance(one, Added):
        return (one.step, one.position) == (other.step, other.position)
    return told(one) == told(other)


def slept_through(event: Event) -> Event | None:
    """The event, if it tells of a stretch through which its mod slept."""
    if not (isinstance(event, Added) and event.constrained):
        return None
    return replace(event, added_tokens=list(event.added_tokens))


def told(event: Event) -> tuple[object, ...]:
    """An event as plain values that can be compared; logits as their bytes."""
    values = [getattr(event, part.name) for part in fields(event) if part.compare]
    plain = [value.tobytes() if hasattr(value, "tobytes") else value for value in values]
    return (event.name, *(tuple(value) if type(value) is list else value for value in plain))
