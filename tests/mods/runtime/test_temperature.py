"""A temperature that holds: from the call on, for every draw that has none of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mods.runtime.compile import Traits
from mods.runtime.decisions import EndSegment, Leave, Shape
from mods.runtime.seat import LoadedMod
from mods.sdk.actions import ActionBuilder
from mods.sdk.events import Added, Event, Finished, ForwardPass, Prefilled, Sampled
from mods.sdk.self_prompt import EraseMode, SelfPrompt
from mods.sdk.strategies import ChoicesStrat
from mods.sdk.testing import (
    HashModel,
    Outcome,
    ScriptedEngine,
    TextModel,
    check_laws,
    spec_for,
)
from tests.mods.sdk.strategies.by_token import ByToken

Handle = Callable[[Event, ActionBuilder, Any], object]


def mod(handler: Handle, name: str = "mod", **traits: Any) -> LoadedMod:
    return LoadedMod(handler, Traits(name, **{"reach": 0, "logits": False, **traits}))


def sets(kind: type[Event], position: int, temperature: float | None) -> Handle:
    def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if type(event) is kind and event.position == position:
            return actions.temperature(temperature)
        return None

    return handler


def temperatures(*chain: LoadedMod, max_tokens: int = 6) -> list[float | None]:
    """Of each draw, as the engine was told."""
    outcome = run(*chain, max_tokens=max_tokens)
    assert not outcome.failed, outcome.message
    assert outcome.decisions is not None
    draws = [one for _, one in outcome.decisions if not isinstance(one, EndSegment)]
    assert all(isinstance(decision, (Leave, Shape)) for decision in draws)
    return [getattr(decision, "temperature", None) for decision in draws]


def run(*chain: LoadedMod, max_tokens: int = 6) -> Outcome:
    return ScriptedEngine(TextModel("abcdefgh", 1)).run(spec_for("p", max_tokens), chain)


@pytest.mark.parametrize(
    ("kind", "position", "first"),
    [(Prefilled, 0, 0), (ForwardPass, 2, 2), (Sampled, 2, 3), (Added, 2, 2)],
)
def test_it_holds_from_the_next_draw_on_wherever_it_is_set(
    kind: type[Event], position: int, first: int
) -> None:
    wanted = [None] * first + [0.5] * (6 - first)
    assert temperatures(mod(sets(kind, position, 0.5))) == wanted
    check_laws(mod(sets(kind, position, 0.5)))


def test_it_holds_until_it_is_changed_and_none_lets_go() -> None:
    def phases(event: Event, actions: ActionBuilder, tokenizer: Any) -> None:
        if isinstance(event, Added) and event.position in (1, 3, 5):
            actions.temperature({1: 1.5, 3: 0.0, 5: None}[event.position])

    assert temperatures(mod(phases)) == [None, 1.5, 1.5, 0.0, 0.0, None]
    check_laws(mod(phases))


def test_a_draw_with_a_temperature_of_its_own_has_that_one() -> None:
    def both(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, Prefilled):
            return actions.temperature(0.5)
        if isinstance(event, ForwardPass) and event.position == 2:
            return actions.adjust_logits(token_temp=2.0)
        if isinstance(event, ForwardPass) and event.position == 4:
            return actions.bias({"z": 1.0})
        return None

    assert temperatures(mod(both)) == [0.5, 0.5, 2.0, 0.5, 0.5, 0.5]
    check_laws(mod(both))


def test_of_several_mods_the_first_that_has_one_decides() -> None:
    late = mod(sets(Added, 2, 0.1), "late")
    early = mod(sets(Prefilled, 0, 0.9), "early")
    assert temperatures(late, early) == [0.9, 0.9, 0.1, 0.1, 0.1, 0.1]

    def once(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        here = isinstance(event, ForwardPass) and event.position == 1
        return actions.adjust_logits(token_temp=2.0) if here else None

    assert temperatures(early, mod(once, "once"))[:3] == [0.9, 0.9, 0.9]
    assert temperatures(mod(once, "once"), early)[:3] == [0.9, 2.0, 0.9]
    check_laws([late, early, mod(once, "once")])


def test_a_mod_that_is_not_told_of_the_draws_holds_it_all_the_same() -> None:
    chain = mod(sets(Added, 1, 0.7), events=frozenset({"Added"}))
    assert temperatures(chain) == [None] + [0.7] * 5
    only_once = mod(sets(Prefilled, 0, 0.7), events=frozenset({"Prefilled"}))
    assert temperatures(only_once) == [0.7] * 6
    check_laws(only_once)


def test_it_outlives_take_backs_and_forced_runs() -> None:
    def busy(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, Added) and event.step == 1 and not event.forced:
            actions.temperature(0.3)
            return actions.backtrack(1, "XYZ")
        return None

    chain = mod(busy, reach=4)
    outcome = run(chain, max_tokens=7)
    assert outcome.decisions is not None
    shapes = [(at, said.temperature) for at, said in outcome.decisions if isinstance(said, Shape)]
    assert shapes == [(4, 0.3), (5, 0.3), (6, 0.3)]
    check_laws(chain)


def test_it_is_written_down_once_and_not_with_every_draw() -> None:
    record = run(mod(sets(Prefilled, 0, 0.5))).record
    assert [(entry["action"], entry["temperature"]) for entry in record["actions"]] == [
        ("temperature", 0.5)
    ]


def test_at_the_end_it_means_nothing() -> None:
    outcome = run(mod(lambda e, a, t: a.temperature(1.0) if isinstance(e, Finished) else None))
    assert outcome.record["actions"] == outcome.record["failures"] == []


@pytest.mark.parametrize("wrong", [-1.0, float("inf"), float("nan"), "hot"])
def test_what_is_no_temperature_is_refused(wrong: Any) -> None:
    outcome = run(mod(lambda e, a, t: a.temperature(wrong)))
    assert outcome.status == 422
    assert "temperature" in outcome.message or "hot" in outcome.message


def test_a_mod_that_raises_after_it_changes_nothing() -> None:
    def raises(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, Prefilled):
            actions.temperature(0.5)
            raise ValueError("no")
        return None

    assert temperatures(mod(raises, on_error="ignore")) == [None] * 6


@pytest.mark.parametrize("compiled", [True, False])
def test_every_draw_of_an_answer_is_the_likeliest_where_that_is_asked_for(compiled: bool) -> None:
    choices = ChoicesStrat(["abcd", "bcda"])
    ask = SelfPrompt(
        prompt="?",
        strategy=choices if compiled else ByToken(choices),
        erase=EraseMode.PROMPT,
        argmax_sampling=True,
    )

    def asks(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, Prefilled):
            actions.temperature(0.9)
        return ask.handle_event(event, actions, tokenizer)

    engine = ScriptedEngine(HashModel("abcd", eos_bonus=-30))
    outcome = engine.run(spec_for("p", 9), [mod(asks)])
    assert not outcome.failed, outcome.message
    assert outcome.decisions is not None
    shapes = [(at, said.temperature) for at, said in outcome.decisions if isinstance(said, Shape)]
    assert [at for at, warm in shapes if warm == 0.0] == [1, 2, 3, 4]
    assert [at for at, warm in shapes if warm == 0.9] == [4, 5, 6, 7, 8]
    check_laws(mod(asks))


def test_a_mod_that_slept_through_a_stretch_leaves_the_temperature_as_it_was() -> None:
    def sleeps(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, ForwardPass) and event.position == 2:
            return actions.constrain(regex="[0-9]{3}", until_complete=True, token_temp=0.1)
        return None

    assert temperatures_at(mod(sleeps)) == [None, None, 0.1, 0.1, 0.1, None]
    later = mod(sets(Prefilled, 0, 0.8), "later")
    assert temperatures_at(mod(sleeps), later) == [0.8, 0.8, 0.1, 0.1, 0.1, 0.8]
    check_laws([mod(sleeps), later])


def temperatures_at(*chain: LoadedMod) -> list[float | None]:
    """Of the draw at each position, where segments may end in between."""
    decisions = run(*chain).decisions
    assert decisions is not None
    drawn = {at: said for at, said in decisions if not isinstance(said, EndSegment)}
    return [getattr(drawn.get(at), "temperature", None) for at in range(6)]
