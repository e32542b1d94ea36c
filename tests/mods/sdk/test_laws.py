"""The kit of laws can fail: each broken machine or engine here is caught, by the right law."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from mods.runtime import chain as runtime_chain
from mods.runtime import handlers as runtime_handlers
from mods.runtime import machine as runtime_machine
from mods.runtime.chain import Answer
from mods.runtime.compile import Traits
from mods.runtime.decisions import Decision, Shape, Sureness
from mods.runtime.ends import End
from mods.runtime.machine import Machine
from mods.runtime.seat import LoadedMod, Seat
from mods.sdk.actions import Action, ActionBuilder, AdjustedLogits, EmitError, ForceOutput, Noop
from mods.sdk.events import Added, Event, Finished, FloatRow, ForwardPass, Prefilled, Sampled
from mods.sdk.testing import HashModel, LawBroken, ScriptedEngine, TextModel, check_laws, spec_for
from mods.sdk.testing.check import check_story
from mods.sdk.testing.recorder import Recorder

Handle = Callable[[Event, ActionBuilder, Any], object]


def mod(handler: Handle, name: str = "mod", reach: int | None = None, **traits: Any) -> LoadedMod:
    return LoadedMod(handler, Traits(name, reach=reach, logits=False, **traits))


def at(kind: type[Event], position: int, answer: Callable[[ActionBuilder], object]) -> Handle:
    """A handler that answers one kind of event at one position, every time."""

    def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        here = type(event) is kind and event.position == position
        return answer(actions) if here else None

    return handler


def once(kind: type[Event], position: int, answer: Callable[[ActionBuilder], object]) -> Handle:
    """A handler that answers one event of each request."""
    last = ""

    def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        nonlocal last
        if type(event) is Prefilled:
            last = ""
        if type(event) is kind and event.position == position and last != event.request_id:
            last = event.request_id
            return answer(actions)
        return None

    return handler


noop = mod(lambda event, actions, tokenizer: actions.noop(), reach=0)
forces_two = mod(at(ForwardPass, 2, lambda a: a.force_tokens("XY")))
replaces_pending = mod(at(Sampled, 1, lambda a: a.force_tokens("XYZ")))
appends = mod(at(Added, 3, lambda a: a.force_tokens("XYZ")))
takes_back = mod(once(Added, 4, lambda a: a.backtrack(2)))
takes_back_and_puts = mod(once(Added, 4, lambda a: a.backtrack(3, "XYZ")))
takes_back_pending = mod(once(Sampled, 3, lambda a: a.backtrack(2)))
ends_with_text = mod(at(Added, 3, lambda a: a.force_output("bye")))
calls_a_tool = mod(at(Sampled, 2, lambda a: a.tool_calls({"id": "c", "function": {"name": "f"}})))
emits_an_error = mod(at(Added, 2, lambda a: a.emit_error("no")))
passes_an_end = mod(at(Added, 3, lambda a: a.force_tokens("X")))
biases = [
    mod(lambda e, a, t: a.bias({97: 3.0}) if e.name == "ForwardPass" else None, "one", 0),
    mod(lambda e, a, t: a.bias({97: 4.0, 98: 1}) if e.name == "ForwardPass" else None, "two", 0),
]
forces_for_ever = mod(lambda e, a, t: a.force_tokens("x") if e.name == "Added" else None)
takes_back_for_ever = mod(lambda e, a, t: a.backtrack(1) if e.name == "Sampled" else None)
force_and_backtrack = [
    mod(at(Added, 3, lambda a: a.force_tokens("F")), "forces"),
    mod(once(Added, 3, lambda a: a.backtrack(2)), "takes back"),
]


def raises_at_added(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
    if isinstance(event, Added) and event.position == 2:
        raise ValueError("boom")
    return None


def illegal_at_sampled(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
    return actions.ban([97]) if isinstance(event, Sampled) else None


GOOD: dict[str, Any] = {
    "noop": noop,
    "forces two": forces_two,
    "replaces pending": replaces_pending,
    "appends": appends,
    "takes back": takes_back,
    "takes back and puts": takes_back_and_puts,
    "takes back pending": takes_back_pending,
    "ends with text": ends_with_text,
    "calls a tool": calls_a_tool,
    "emits an error": emits_an_error,
    "biases": biases,
    "forces for ever": forces_for_ever,
    "takes back for ever": takes_back_for_ever,
    "force and backtrack": force_and_backtrack,
    "raises": mod(raises_at_added),
    "raises and is ignored": mod(raises_at_added, on_error="ignore"),
    "illegal": mod(illegal_at_sampled),
}


@pytest.mark.parametrize("name", GOOD)
def test_the_machine_keeps_the_laws_whatever_a_mod_does(name: str) -> None:
    check_laws(GOOD[name])


def test_a_bare_handler_can_be_checked() -> None:
    check_laws(lambda event, actions, tokenizer: None, prompts=["one"], stop=["ab"])


# Machines that break a law each.


class ReportsTwice(Machine):
    async def _ask_added(self, tokens: list[int], seat: Seat | None, ends: bool) -> Any:
        await super()._ask_added(tokens, seat, ends)
        return await super()._ask_added(tokens, seat, ends)


class DropsRemoved(Machine):
    async def _ask(self, event: Event) -> Any:
        return await super()._ask(replace(event, removed=()) if isinstance(event, Added) else event)


class LosesFinished(Machine):
    async def _finished(self, reason: str) -> None:
        pass


class FinishesTwice(Machine):
    async def _finished(self, reason: str) -> None:
        await super()._finished(reason)
        await super()._finished(reason)


class LosesPrefilled(Machine):
    async def _prefill(self) -> None:
        pass


class MiscountsPositions(Machine):
    async def _ask(self, event: Event) -> Any:
        off = isinstance(event, Sampled)
        return await super()._ask(replace(event, position=event.position + off))


class ResetsSteps(Machine):
    async def _ask(self, event: Event) -> Any:
        return await super()._ask(replace(event, step=event.step % 3))


class NeverSaysForced(Machine):
    async def _ask(self, event: Event) -> Any:
        return await super()._ask(
            replace(event, forced=False) if isinstance(event, Added) else event
        )


class ReportsARunTokenByToken(Machine):
    async def _enter(self, run: list[int], seat: Seat | None) -> None:
        for token in run:
            await super()._enter([token], seat)


class LosesTheLastOfARun(Machine):
    def _append(self, run: list[int], seat: Seat | None) -> Any:
        return super()._append(run if seat is None else run[:-1] or run, seat)


class KeepsThePendingToken(Machine):
    """What was drawn enters although a mod replaced it."""

    async def _sampled(self, token: int) -> None:
        self._pending = token
        await super()._sampled(token)

    def _append(self, run: list[int], seat: Seat | None) -> Any:
        if seat is not None and len(self.output) == 1:
            run = [self._pending, *run]
        return super()._append(run, seat)


class CountsNoRuns(Machine):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.budget.run = lambda: None  # type: ignore[method-assign]


class TakesOneTooMany(Machine):
    def _take_back(self, seat: Seat | None, n: int) -> None:
        super()._take_back(seat, n + 1)


class Meddles(Machine):
    """Shapes rows that nobody asked to be shaped."""

    async def deciding(
        self,
        segment: int,
        position: int,
        token: int,
        logits: FloatRow | None = None,
        earlier: Sequence[int] = (),
        sureness: Sureness | None = None,
    ) -> Decision:
        decision = await super().deciding(segment, position, token, logits, earlier, sureness)
        return Shape(bias={ord("b"): 9.0}) if decision == runtime_machine.LEAVE else decision


class Bleeds(Machine):
    async def _ask(self, event: Event) -> Any:
        return await super()._ask(
            replace(event, request_id="another") if event.step == 2 else event
        )


class RunsPastEnds(Machine):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.ends.at = lambda tokens: (  # type: ignore[method-assign]
            End("length") if len(tokens) >= self.ends.max_tokens else None
        )


class WritesOneTooMany(Machine):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.ends.max_tokens += 1


class AppendsForcedOutput(Machine):
    def _end_by(self, action: Action, seat: Seat | None) -> bool:
        if isinstance(action, ForceOutput):
            action = ForceOutput([*self.output.tokens, *action.tokens])
        return super()._end_by(action, seat)


class SoftensErrors(Machine):
    def _end_by(self, action: Action, seat: Seat | None) -> bool:
        if isinstance(action, EmitError):
            self._finish(End("stop"))
            return True
        return super()._end_by(action, seat)


class ForgetsToolCalls(Machine):
    def _finish(self, end: End, **extra: Any) -> None:
        super()._finish(end, **{**extra, "tool_calls": None})


class Swallows(Machine):
    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.handlers._blame = lambda seat, event, error: Noop()  # type: ignore[method-assign]


class Mumbles(Machine):
    def _fail(self, error: runtime_machine.ModError) -> None:
        super()._fail(type(error)("something went wrong"))


class HasNoBudget(Machine):
    def _spend(self, tokens: int) -> None:
        if self.step > 5_000:
            super()._spend(1_000_000)


class ShowsEverything(Machine):
    @property
    def floor(self) -> int:
        return len(self.output)


class ObeysTheLast(Machine):
    async def _ask(self, event: Event) -> Any:
        combine = runtime_handlers.combine
        runtime_handlers.combine = lambda answers: runtime_chain.Outcome(  # type: ignore[assignment]
            answers[0].seat, answers[0].action
        )
        try:
            return await super()._ask(event)
        finally:
            runtime_handlers.combine = combine


class OverwritesBiases(Machine):
    async def _ask(self, event: Event) -> Any:
        combine = runtime_handlers.combine
        runtime_handlers.combine = _last_bias  # type: ignore[assignment]
        try:
            return await super()._ask(event)
        finally:
            runtime_handlers.combine = combine


def _last_bias(answers: Sequence[Answer]) -> runtime_chain.Outcome:
    bias: dict[int, float] = {}
    for answer in answers:
        assert isinstance(answer.action, AdjustedLogits)
        bias |= answer.action.bias
    return runtime_chain.Outcome(answers[0].seat, AdjustedLogits(bias=bias))


class TellsAnUnforcedTokenTwice(Machine):
    """The second time with nothing removed and at the next position, as if it had come again."""

    async def _ask_added(self, tokens: list[int], seat: Seat | None, ends: bool) -> Any:
        outcome = await super()._ask_added(tokens, seat, ends)
        position = len(self.output) + len(tokens)
        await super()._ask(Added(self.spec.request_id, self._round, position, list(tokens), True))
        return outcome


BROKEN: list[tuple[type[Machine], Any, int]] = [
    (LosesPrefilled, noop, 0),
    (LosesFinished, noop, 0),
    (FinishesTwice, noop, 0),
    (MiscountsPositions, noop, 0),
    (ResetsSteps, noop, 0),
    (ReportsTwice, noop, 1),
    (TellsAnUnforcedTokenTwice, noop, 1),
    (DropsRemoved, takes_back, 1),
    (NeverSaysForced, forces_two, 2),
    (NeverSaysForced, takes_back_and_puts, 3),
    (ReportsARunTokenByToken, replaces_pending, 2),
    (LosesTheLastOfARun, forces_two, 2),
    (LosesTheLastOfARun, appends, 2),
    (KeepsThePendingToken, replaces_pending, 2),
    (CountsNoRuns, forces_for_ever, 2),
    (TakesOneTooMany, takes_back, 3),
    (TakesOneTooMany, takes_back_and_puts, 3),
    (TakesOneTooMany, takes_back_pending, 3),
    (Meddles, noop, 4),
    (Bleeds, noop, 5),
    (RunsPastEnds, noop, 6),
    (WritesOneTooMany, noop, 6),
    (AppendsForcedOutput, ends_with_text, 7),
    (ForgetsToolCalls, calls_a_tool, 7),
    (SoftensErrors, emits_an_error, 7),
    (Swallows, mod(raises_at_added), 8),
    (Swallows, mod(illegal_at_sampled), 8),
    (Mumbles, mod(illegal_at_sampled), 8),
    (HasNoBudget, takes_back_for_ever, 9),
    (ShowsEverything, takes_back_and_puts, 10),
    (ObeysTheLast, force_and_backtrack, 3),
    (OverwritesBiases, biases, 11),
]


@pytest.mark.parametrize(
    ("machine", "chain", "law"), BROKEN, ids=[f"{m.__name__}-{law}" for m, _, law in BROKEN]
)
def test_a_broken_machine_is_caught_by_the_law_it_breaks(
    machine: type[Machine], chain: Any, law: int
) -> None:
    model = HashModel(eos_bonus=1.0) if machine is RunsPastEnds else HashModel(eos_bonus=-30)
    long = {"max_tokens": 90 if machine is CountsNoRuns else 16}
    with pytest.raises(LawBroken) as caught:
        check_laws(chain, engine=ScriptedEngine(model, machine=machine), **long)
    assert caught.value.law == law, str(caught.value)


@pytest.mark.parametrize(
    ("model", "chain", "request_"),
    [(HashModel(eos_bonus=1.0), noop, {}), (HashModel(eos_bonus=-30), biases, {"max_tokens": 90})],
)
def test_the_same_checks_pass_with_the_machine_as_it_is(
    model: HashModel, chain: Any, request_: dict[str, Any]
) -> None:
    check_laws(chain, engine=ScriptedEngine(model), **request_)


class DrawsAnotherToken(TextModel):
    """An engine whose second draw depends on something besides the context."""

    draws = 0

    def logits(self, context: Sequence[int]) -> Any:
        DrawsAnotherToken.draws += 1
        row = super().logits(context)
        row[(DrawsAnotherToken.draws * 7) % 97] += 20
        return row


def test_an_engine_whose_draws_depend_on_something_else_breaks_law_4() -> None:
    with pytest.raises(LawBroken, match="law 4"):
        check_laws(noop, prompts=["hi"], engine=ScriptedEngine(DrawsAnotherToken("abcdef", 2)))


def test_a_story_is_checked_without_knowing_the_engine() -> None:
    recorder, spec = Recorder(), spec_for("hi")
    outcome = ScriptedEngine().run(spec, recorder.chain([takes_back]))
    outcome.decisions, outcome.shown = None, []
    check_story(recorder.stories[spec.request_id], outcome, spec)
    outcome.tokens = outcome.tokens[1:]
    with pytest.raises(LawBroken, match="law 1"):
        check_story(recorder.stories[spec.request_id], outcome, spec)


def test_a_recorder_without_its_observer_puts_the_answers_of_a_chain_together() -> None:
    recorder, spec = Recorder(), spec_for("hi", max_tokens=3)
    chain = [recorder.watch(noop), recorder.watch(mod(lambda e, a, t: None, "other", 0))]
    ScriptedEngine(HashModel(eos_bonus=-30)).run(spec, chain)
    story = recorder.stories[spec.request_id]
    assert [said.mod for said in story.turns[0].answers] == ["mod", "other"]
    assert isinstance(story.events[-1], Finished)
    assert len(story.turns) == 2 + 3 * 3


def test_sixty_four_sessions_at_once_see_only_their_own() -> None:
    def canary(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, ForwardPass) and event.position % 3 == 0:
            return actions.force_tokens(event.request_id)
        return None

    recorder = Recorder()
    specs = [spec_for("hi", max_tokens=40) for _ in range(64)]
    chain = recorder.chain([mod(canary, reach=0)])
    engine = ScriptedEngine(HashModel(eos_bonus=-30))
    outcomes = engine.run_all([(spec, chain) for spec in specs])
    for spec, outcome in zip(specs, outcomes, strict=True):
        check_story(recorder.stories[spec.request_id], outcome, spec)
        text = engine.tokenizer.decode(outcome.tokens)
        assert spec.request_id in text
        others = {other.request_id for other in specs} - {spec.request_id}
        assert not any(f"{other}," in f"{text}," for other in others)
