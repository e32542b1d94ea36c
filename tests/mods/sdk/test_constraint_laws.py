"""The kit of laws where constraints hold: good mods pass, broken machines and bad mods do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mods.runtime import constraining, seat
from mods.runtime.compile import Traits
from mods.runtime.decisions import Resume
from mods.runtime.machine import Machine
from mods.runtime.seat import LoadedMod
from mods.runtime.spans import Span
from mods.sdk import SelfPrompt
from mods.sdk.actions import ActionBuilder
from mods.sdk.constraints import Regex
from mods.sdk.events import Added, Event, Finished, ForwardPass
from mods.sdk.per_request import PerRequest
from mods.sdk.strategies import CharsMode, CharsStrat, ChoicesStrat, ListStrat
from mods.sdk.testing import HashModel, LawBroken, ScriptedEngine, check_laws, spec_for
from mods.sdk.testing.check import TROUBLES

Handle = Callable[[Event, ActionBuilder, Any], object]


def mod(handler: Handle, name: str = "mod", reach: int | None = 0, **more: Any) -> LoadedMod:
    return LoadedMod(handler, Traits(name, reach=reach, logits=False, **more))


def constrains(what: object, position: int = 2, sleeps: bool = True) -> Handle:
    def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, ForwardPass) and event.position == position:
            return actions.constrain(what, until_complete=sleeps)  # type: ignore[arg-type]
        return None

    return handler


def takes_back_once(event: Event, actions: ActionBuilder) -> object:
    if isinstance(event, Added) and event.constrained and not taken[event.request_id]:
        taken[event.request_id].append(event.position)
        return actions.backtrack(2, "é!")
    return None


taken: PerRequest[list[int]] = PerRequest(lambda request_id: [])

TEXTS = [Regex("[ab]{4}"), Regex("<[0-9]+>"), Regex("(aé){2,}"), Regex("[a-z]{40}")]


@pytest.mark.parametrize("sleeps", [True, False])
@pytest.mark.parametrize("text", TEXTS, ids=str)
def test_the_laws_hold_under_a_mods_constraint(text: Regex, sleeps: bool) -> None:
    for position in (0, 3):
        check_laws(mod(constrains(text, position, sleeps)), prompts=["hi"], max_tokens=20)


def test_the_laws_hold_where_a_stretch_is_partly_taken_back() -> None:
    sleeps = constrains(Regex("[ab]{5}"))

    def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        return takes_back_once(event, actions) or sleeps(event, actions, tokenizer)

    check_laws(mod(handler, reach=8))


def test_the_laws_hold_for_mods_that_sleep_through_different_stretches() -> None:
    one = mod(constrains(Regex("[ab]{4}"), 1), "one")
    two = mod(constrains(Regex("[a-c]+d"), 3), "two")
    check_laws([one, two])
    check_laws([one, mod(lambda event, actions, tokenizer: None, "listens"), two])


def test_the_laws_hold_under_the_requests_own_constraint() -> None:
    hears_nothing = mod(lambda *_: None, events=frozenset({"Prefilled"}))
    for each in (hears_nothing, mod(lambda *_: None), mod(constrains(Regex("[a-c]{3}")))):
        check_laws(each, constraint=Regex("[a-e]{3,9}"))


@pytest.mark.parametrize(
    "strategy",
    [
        ChoicesStrat(["a", "ab", "dé"]),
        CharsStrat(CharsMode.ALPHA, stop=4, min=1),
        ListStrat(CharsStrat(CharsMode.NUMERIC, stop=2, min=1), open="[", close="]", min=1, max=3),
    ],
    ids=lambda strategy: type(strategy).__name__,
)
@pytest.mark.parametrize("erase", ["none", "prompt", "all"])
def test_the_laws_hold_for_self_prompts_whose_strategy_is_compiled(
    strategy: Any, erase: str
) -> None:
    ask = SelfPrompt(prompt=" Which? ", strategy=strategy, completion=".", erase=erase)
    for trouble in TROUBLES:
        engine = ScriptedEngine(HashModel("abcd ", eos_bonus=-2.0), trouble=trouble)
        check_laws(mod(ask.handle_event), engine=engine, prompts=["hi"], max_tokens=60)


def test_where_all_sleep_nobody_is_asked_and_text_streams() -> None:
    engine = ScriptedEngine(HashModel(eos_bonus=-30))
    outcome = engine.run(spec_for("hi", 20), [mod(constrains(Regex("[0-9]{20,}"), 0))])
    assert outcome.asked == 0
    assert len(outcome.shown) > 15
    assert bytes(outcome.tokens).isdigit()


class NeverWakes(constraining.Constraining):
    def _wake(self, spans: Sequence[Span]) -> None:
        pass


class WakesLate(constraining.Constraining):
    def _wake(self, spans: Sequence[Span]) -> None:
        super()._wake(spans)
        for span in spans:
            if span.sleeper is not None and span.sleeper.stretch is not None:
                span.sleeper.stretch = span.sleeper.stretch[1:]


class HoldsNothing(Machine):
    def _next_segment(self, keep: int) -> Resume:
        resume = super()._next_segment(keep)
        resume.held = []
        return resume


class ListensNot(constraining.Constraining):
    """Says that nobody needs to be asked although somebody listens."""

    @property
    def quiet(self) -> bool:
        return bool(self._spans.held())


class ShowsAll(constraining.Constraining):
    @property
    def reach(self) -> int | None:
        return 0


@pytest.mark.parametrize("broken", [NeverWakes, WakesLate, ListensNot])
def test_a_machine_that_wakes_nobody_in_time_is_caught(
    broken: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mods.runtime.rounds.Constraining", broken)
    with pytest.raises(LawBroken):
        check_laws(mod(constrains(Regex("[0-9]{4}"))), engine=long_winded())


def test_a_machine_that_shows_what_may_still_go_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    sleeps = constrains(Regex("[ab]{5}"))

    def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        return takes_back_once(event, actions) or sleeps(event, actions, tokenizer)

    check_laws(mod(handler, reach=8), engine=long_winded())
    monkeypatch.setattr("mods.runtime.rounds.Constraining", ShowsAll)
    with pytest.raises(LawBroken) as caught:
        check_laws(mod(handler, reach=8), engine=long_winded())
    assert caught.value.law == 10


def test_a_machine_that_forgets_a_constraint_is_caught() -> None:
    engine = ScriptedEngine(HashModel(eos_bonus=-30), machine=HoldsNothing)
    with pytest.raises(LawBroken):
        check_laws(mod(constrains(Regex("[0-9]{4}"), sleeps=False)), engine=engine)


def test_a_mod_whose_sleep_reaches_others_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def deaf(self: seat.Seat, event: Event) -> Event | None:
        return None if self.asleep and not isinstance(event, Finished) else event

    monkeypatch.setattr(seat.Seat, "hears", deaf)
    with pytest.raises(LawBroken):
        check_laws(mod(constrains(Regex("[0-9]{4}"))), engine=long_winded())


def test_what_breaks_a_constraint_is_told_of_like_any_other_failure() -> None:
    def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        return actions.force_tokens("é") if isinstance(event, Added) else None

    check_laws(mod(handler), constraint=Regex("[a-e]{3,9}"))
    outcome = ScriptedEngine().run(spec_for("hi", constraint=Regex("[a-e]{3}")), [mod(handler)])
    assert (outcome.status, outcome.type) == (422, "broken_constraint")
    assert len(outcome.written) == 1


def long_winded() -> ScriptedEngine:
    return ScriptedEngine(HashModel(eos_bonus=-30))
