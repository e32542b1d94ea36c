"""Constraints in a session: in force, complete, broken, slept through, jumped over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from llguidance import LLMatcher

from mods.runtime.compile import Traits
from mods.runtime.decisions import Fail, Finish, Next, Resume, SessionSpec
from mods.runtime.grammar.grammar import Grammar
from mods.runtime.grammar.matcher import Matcher
from mods.runtime.grammar.vocabulary import Vocabulary
from mods.runtime.machine import Machine
from mods.runtime.seat import LoadedMod
from mods.sdk.constraints import AllOf, Constraint, Regex
from mods.sdk.events import Added, Event, ForwardPass
from mods.sdk.testing import Outcome, ScriptedEngine
from mods.sdk.tokenizer import load_tokenizer
from server.demo import MODEL_PATH

EOS, SENTINEL = 0, 2047


class RegexMatchers:
    """Matchers for regular expressions, and for intersections of them kept in parts."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def matcher(self, constraint: Constraint) -> Matcher:
        parts = constraint.parts if isinstance(constraint, AllOf) else (constraint,)
        texts = tuple(LLMatcher.grammar_from_regex(part.pattern) for part in parts)  # type: ignore[union-attr]
        return Matcher(Grammar("digest", texts, tuple("ab"[: len(texts)])), self.vocabulary)

    def text(self, tokens: Sequence[int]) -> str:
        return self.vocabulary.text(tokens)


@pytest.fixture(scope="module")
def matchers() -> RegexMatchers:
    text = (MODEL_PATH / "tokenizer.json").read_text()
    return RegexMatchers(Vocabulary.from_text(text, [EOS]))


TOKENIZER = load_tokenizer(MODEL_PATH)


def a_mod(handler: Callable[..., Any], name: str = "mod", **traits: Any) -> LoadedMod:
    return LoadedMod(handler, Traits(name, **{"reach": None, "logits": False, **traits}))


def spec(**more: Any) -> SessionSpec:
    fields: dict[str, Any] = {
        "session": 1,
        "request_id": "one",
        "prompt": [5, 6, 7],
        "max_tokens": 40,
        "max_context": 400,
        "vocabulary": 2048,
        "sentinel": SENTINEL,
        "eos": [EOS],
    }
    return SessionSpec(**{**fields, **more})


class AnyText:
    """Any token of the demo model's as likely as any other."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def logits(self, context: Sequence[int]) -> Any:
        return np.random.default_rng([self._seed, *context]).random(2048, dtype=np.float32)


@dataclass
class Run:
    """What came of a session, and what the engine did for it."""

    outcome: Outcome

    @property
    def text(self) -> str:
        return TOKENIZER.decode(self.outcome.tokens, skip_special_tokens=True)


def run(
    matchers: RegexMatchers, *mods: LoadedMod, seed: int = 0, **fields: Any
) -> tuple[Run, Next]:
    engine = ScriptedEngine(AnyText(seed), tokenizer=TOKENIZER, matchers=matchers)
    session = engine.session(spec(**fields), mods)
    for _ in session.steps():
        pass
    assert session.answer is not None
    return Run(session.outcome), session.answer


@pytest.mark.parametrize("seed", range(5))
def test_a_requests_constraint_holds_to_the_end_of_its_output(
    matchers: RegexMatchers, seed: int
) -> None:
    engine, end = run(matchers, seed=seed, constraint=Regex("[a-c]{2,5}[0-9]"), tracked=False)
    assert isinstance(end, Finish)
    assert end.reason == "stop"
    assert engine.text[-1].isdigit()
    assert set(engine.text[:-1]) <= set("abc")
    assert engine.outcome.asked == 0
    assert engine.outcome.segments == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_mods_constraint_is_lifted_when_it_is_complete(
    matchers: RegexMatchers, seed: int
) -> None:
    def handler(event: Event, actions: Any, _: Any) -> Any:
        if isinstance(event, ForwardPass) and event.position == 3:
            return actions.constrain(regex="<[0-9]{3}>")
        return None

    engine, end = run(matchers, a_mod(handler), seed=seed, max_tokens=30, ignore_eos=True)
    assert isinstance(end, Finish)
    tail = TOKENIZER.decode(engine.outcome.tokens[3:])
    assert tail[0] == "<"
    assert tail[1:4].isdigit()
    assert tail[4] == ">"
    assert len(tail) > 8


@pytest.mark.parametrize("seed", range(5))
def test_a_mod_may_sleep_until_its_constraint_is_complete(
    matchers: RegexMatchers, seed: int
) -> None:
    heard: list[Event] = []

    def handler(event: Event, actions: Any, _: Any) -> Any:
        heard.append(event)
        if isinstance(event, ForwardPass) and event.position == 0:
            return actions.constrain(regex="[0-9]{6}", until_complete=True)
        if isinstance(event, Added) and event.constrained:
            return actions.force_output("got " + TOKENIZER.decode(event.added_tokens))
        return None

    engine, end = run(matchers, a_mod(handler), seed=seed)
    assert isinstance(end, Finish)
    assert engine.text.startswith("got ")
    assert engine.text[4:].isdigit()
    assert [event.name for event in heard] == ["Prefilled", "ForwardPass", "Added", "Finished"]
    assert engine.outcome.asked == 0


def test_who_does_not_sleep_hears_every_round(matchers: RegexMatchers) -> None:
    sleeper: list[str] = []
    other: list[str] = []

    def sleeps(event: Event, actions: Any, _: Any) -> Any:
        sleeper.append(event.name)
        if isinstance(event, ForwardPass) and event.position == 0:
            return actions.constrain(regex="[0-9]{40,}", until_complete=True)
        return None

    def listens(event: Event, actions: Any, _: Any) -> None:
        other.append(event.name)

    run(matchers, a_mod(sleeps, "one"), a_mod(listens, "two"), max_tokens=4)
    assert other.count("Added") == 4
    assert sleeper.count("Added") == 1


def test_the_end_of_the_output_wakes_a_sleeper(matchers: RegexMatchers) -> None:
    told: list[Added] = []

    def handler(event: Event, actions: Any, _: Any) -> Any:
        if isinstance(event, Added):
            told.append(event)
        if isinstance(event, ForwardPass):
            return actions.constrain(regex="[0-9]{60,}", until_complete=True)
        return None

    _, end = run(matchers, a_mod(handler), max_tokens=5)
    assert isinstance(end, Finish)
    assert end.reason == "length"
    assert [len(event.added_tokens) for event in told] == [5]


def test_a_forced_run_that_breaks_the_constraint_fails_and_says_where(
    matchers: RegexMatchers,
) -> None:
    def handler(event: Event, actions: Any, _: Any) -> Any:
        if isinstance(event, Added) and event.position >= 2 and not event.forced:
            return actions.force_tokens("x")
        return None

    _, end = run(matchers, a_mod(handler), constraint=Regex("[0-9]{12,30}"))
    assert isinstance(end, Fail)
    assert (end.status, end.type) == (422, "broken_constraint")
    assert "'x' cannot follow" in end.message
    assert "output token" in end.message


def test_a_forced_run_that_keeps_the_constraint_enters(matchers: RegexMatchers) -> None:
    def handler(event: Event, actions: Any, _: Any) -> Any:
        if isinstance(event, ForwardPass) and event.position == 0:
            return actions.force_tokens("12345")
        return None

    engine, end = run(matchers, a_mod(handler), constraint=Regex("[0-9]{7}"))
    assert isinstance(end, Finish)
    assert engine.text.startswith("12345")
    assert len(engine.text) == 7


@pytest.mark.parametrize("seed", range(8))
def test_a_backtrack_takes_the_constraint_back_with_it(matchers: RegexMatchers, seed: int) -> None:
    done: list[int] = []

    def handler(event: Event, actions: Any, _: Any) -> Any:
        if isinstance(event, Added) and event.position >= 4 and not done:
            done.append(event.position)
            return actions.backtrack(3)
        return None

    engine, end = run(
        matchers, a_mod(handler), seed=seed, constraint=Regex("([a-z][0-9]){8}"), max_tokens=39
    )
    assert isinstance(end, Finish)
    assert end.reason == "stop"
    assert len(engine.text) == 16
    assert done


def test_a_backtrack_past_its_beginning_lifts_a_mods_constraint(matchers: RegexMatchers) -> None:
    done: list[str] = []

    def handler(event: Event, actions: Any, _: Any) -> Any:
        if isinstance(event, ForwardPass) and event.position == 3 and not done:
            done.append("constrained")
            return actions.constrain(regex="[0-9]{9}")
        if isinstance(event, Added) and event.position == 5 and len(done) == 1:
            done.append("taken back")
            return actions.backtrack(4, "z")
        return None

    engine, end = run(matchers, a_mod(handler), max_tokens=12, ignore_eos=True)
    assert isinstance(end, Finish)
    assert not TOKENIZER.decode(engine.outcome.tokens[3:]).isdigit()


def test_a_forced_output_must_be_whole_for_the_constraint(matchers: RegexMatchers) -> None:
    def handler(event: Event, actions: Any, _: Any) -> Any:
        return actions.force_output("12") if isinstance(event, ForwardPass) else None

    _, short = run(matchers, a_mod(handler), constraint=Regex("[0-9]{3}"))
    assert isinstance(short, Fail)
    assert "before the constraint is satisfied" in short.message
    engine, whole = run(matchers, a_mod(handler), constraint=Regex("[0-9]{2}"))
    assert isinstance(whole, Finish)
    assert engine.text == "12"


def test_an_allow_list_that_the_constraint_leaves_nothing_of_is_the_mods_error(
    matchers: RegexMatchers,
) -> None:
    def handler(event: Event, actions: Any, _: Any) -> Any:
        return actions.allow("x") if isinstance(event, ForwardPass) else None

    _, end = run(matchers, a_mod(handler), constraint=Regex("[0-9]+"))
    assert isinstance(end, Fail)
    assert end.type == "invalid_action"
    assert "under the constraint" in end.message


@pytest.mark.parametrize("seed", range(5))
def test_what_is_forced_by_the_grammar_enters_unsampled(matchers: RegexMatchers, seed: int) -> None:
    fixed = "the quick brown fox jumps over the lazy dog and runs away"
    engine, end = run(matchers, seed=seed, constraint=Regex(f"[ab]: {fixed}[cd]"), jump=True)
    assert isinstance(end, Finish)
    assert fixed in engine.text
    assert end.usage.forced >= 8
    assert end.usage.forced + engine.outcome.drawn == len(engine.outcome.tokens)


@pytest.mark.parametrize("seed", range(12))
def test_a_dead_end_between_two_parts_is_taken_back(matchers: RegexMatchers, seed: int) -> None:
    both = AllOf((Regex("(ab|cd)+x?"), Regex("(ab|cx)+cd")))
    engine, end = run(matchers, seed=seed, constraint=both)
    assert isinstance(end, (Finish, Fail))
    if isinstance(end, Finish) and end.reason == "stop":
        assert engine.text.endswith("cd")
        assert set(engine.text) <= set("abcd")


def test_parts_that_cannot_both_be_satisfied_fail_by_name(matchers: RegexMatchers) -> None:
    _, end = run(matchers, constraint=AllOf((Regex("a[bc]d"), Regex("a[ef]d"))))
    assert isinstance(end, Fail)
    assert end.type == "broken_constraint"
    assert "a and b" in end.message


def test_before_the_reasoning_ends_anything_goes(matchers: RegexMatchers) -> None:
    def handler(event: Event, actions: Any, _: Any) -> Any:
        if isinstance(event, ForwardPass) and event.position == 0:
            return actions.force_tokens([300, 301, 9])
        return None

    engine, end = run(matchers, a_mod(handler), constraint=Regex("[0-9]{3}"), reasoning_end=9)
    assert isinstance(end, Finish)
    assert TOKENIZER.decode(engine.outcome.tokens[3:], skip_special_tokens=True).isdigit()


def test_nobody_to_ask_means_nobody_is_asked(matchers: RegexMatchers) -> None:
    only_at_the_start = a_mod(lambda *_: None, events=frozenset({"Prefilled"}), reach=0)
    machine = Machine(spec(), [only_at_the_start], TOKENIZER, matchers=matchers)
    first = machine.open()
    assert isinstance(first, Resume)
    assert first.quiet
    assert first.reach == 0
    end = machine.tail(1, 4, EOS, [300, 301, 302])
    assert isinstance(end, Finish)
    assert end.keep == 4
    assert end.usage.sampled == 4


def test_an_end_is_drawn_though_its_decision_was_late(matchers: RegexMatchers) -> None:
    a = TOKENIZER.encode("a", add_special_tokens=False)[-1]
    noop = a_mod(lambda *_: None)

    def begun(*mods: LoadedMod) -> tuple[Machine, Next]:
        machine = Machine(spec(constraint=Regex("a")), mods, TOKENIZER, matchers=matchers)
        first = machine.open()
        assert isinstance(first, Resume)
        step = machine.tail(first.segment, 1, a)
        return machine, machine.tail(2, 2, SENTINEL) if isinstance(step, Resume) else step

    machine, late = begun(noop)
    assert isinstance(late, Resume)
    end = machine.tail(late.segment, 2, EOS)
    assert isinstance(end, Finish)
    assert (end.reason, end.keep, end.usage.sampled) == ("stop", 2, 2)
    # Nothing again is no lateness: the end itself is forbidden, as by `min_tokens`.
    machine, late = begun(noop)
    assert isinstance(late, Resume)
    end = machine.tail(late.segment, 2, SENTINEL)
    assert isinstance(end, Finish)
    assert (end.reason, end.keep) == ("stop", 1)
    # Without mods no decision can be late.
    assert isinstance(begun()[1], Finish)
