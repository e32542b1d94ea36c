"""What the machine does at its edges, one property a test."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from mods.runtime.compile import Traits
from mods.runtime.decisions import Fail, Finish, Resume, SessionSpec, Shape
from mods.runtime.machine import Machine
from mods.runtime.seat import LoadedMod
from mods.sdk.actions import (
    Action,
    ActionBuilder,
    AdjustedLogits,
    AdjustedPrefill,
    Backtrack,
    EmitError,
    ForceTokens,
    ToolCalls,
)
from mods.sdk.errors import HostError, ModError
from mods.sdk.events import Added, Event, Finished, ForwardPass, Prefilled, Sampled
from mods.sdk.testing import ByteTokenizer, Outcome, Recorder, ScriptedEngine, TextModel, Trouble
from mods.sdk.testing import spec_for as any_spec
from mods.sdk.testing.recorder import told
from mods.sdk.testing.tokenizer import SENTINEL, VOCABULARY

Handle = Callable[[Event, ActionBuilder, Any], object]


def mod(handler: Handle, name: str = "mod", **traits: Any) -> LoadedMod:
    return LoadedMod(handler, Traits(name, **{"reach": None, "logits": False, **traits}))


def spec_for(max_tokens: int = 12, **rest: Any) -> SessionSpec:
    return any_spec("p", max_tokens, **rest)


def run(
    *chain: LoadedMod,
    text: str = "abcdefghijklmnopqrstuvwxyz",
    trouble: Trouble | None = None,
    **rest: Any,
) -> Outcome:
    """A session whose model writes the alphabet."""
    return ScriptedEngine(TextModel(text, 1), trouble=trouble or Trouble()).run(
        spec_for(**rest), chain
    )


def text(outcome: Outcome) -> str:
    return ByteTokenizer().decode(outcome.tokens)


def on(kind: type[Event], position: int, answer: Callable[[ActionBuilder], object]) -> Handle:
    """Answers the first event of a kind at a position."""
    answered = False

    def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        nonlocal answered
        if answered or type(event) is not kind or event.position != position:
            return None
        answered = True
        return answer(actions)

    return handler


def test_an_empty_run_is_a_noop_and_overrides_nobody() -> None:
    first = mod(on(ForwardPass, 2, lambda a: a.force_tokens([])), "first")
    second = mod(on(ForwardPass, 2, lambda a: a.bias({ord("Z"): 50})), "second")
    assert text(run(first, second, max_tokens=4)) == "abZd"


def test_a_backtrack_with_nothing_to_take_overrides_nobody() -> None:
    first = mod(on(ForwardPass, 0, lambda a: a.backtrack(3)), "first")
    second = mod(on(ForwardPass, 0, lambda a: a.force_tokens("Z")), "second")
    assert text(run(first, second, max_tokens=3)) == "Zbc"


def test_a_run_longer_than_the_budget_is_cut_and_not_an_error() -> None:
    outcome = run(mod(on(ForwardPass, 1, lambda a: a.force_tokens("x" * 5000))), max_tokens=4)
    assert (text(outcome), outcome.reason) == ("axxx", "length")
    assert [e["tokens"] for e in outcome.record["actions"] if e["action"] == "cut"] == [
        [ord("x")] * 4997
    ]


def test_a_mods_own_list_is_not_cut_with_its_run() -> None:
    mine = [ord("x")] * 10
    outcome = run(mod(on(ForwardPass, 1, lambda a: ForceTokens(mine))), max_tokens=4)
    assert text(outcome) == "axxx"
    assert len(mine) == 10


def test_a_mod_that_edits_its_event_does_not_edit_the_next_mods() -> None:
    heard: list[list[int]] = []

    def spoils(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, Added):
            event.added_tokens.clear()
        return None

    def hears(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, Added):
            heard.append(event.added_tokens)
        return None

    assert text(run(mod(spoils, "spoils"), mod(hears, "hears"), max_tokens=2)) == "ab"
    assert heard == [[ord("a")], [ord("b")]]


def test_one_mods_take_back_does_not_use_up_anothers_reach() -> None:
    deep = mod(on(Added, 10, lambda a: a.backtrack(8)), "deep", reach=10)
    shallow = mod(on(Added, 4, lambda a: a.backtrack(2)), "shallow", reach=2)
    quiet = [0]

    def later(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        quiet[0] = quiet[0] or (isinstance(event, Added) and event.position == 10)
        return shallow.handler(event, actions, tokenizer) if quiet[0] else None

    outcome = run(deep, mod(later, "shallow", reach=2), max_tokens=12)
    assert not outcome.failed, outcome.message
    assert text(outcome) == "abcdefghijkl"
    assert outcome.usage is not None
    assert outcome.usage.erased == 10


def test_taking_back_more_than_the_reach_fails_and_names_the_mod() -> None:
    outcome = run(mod(on(Added, 5, lambda a: a.backtrack(3)), "greedy", reach=2))
    assert (outcome.status, outcome.type) == (422, "reach_exceeded")
    assert "greedy" in outcome.message


def test_a_held_mod_may_take_back_past_its_reach() -> None:
    def holds(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, Added) and event.position == 2:
            return actions.hold()
        if isinstance(event, Added) and event.position == 6:
            actions.release()
            return None
        return take(event, actions, tokenizer)

    take = on(Added, 5, lambda a: a.backtrack(4, "WXYZ"))
    outcome = run(mod(holds, reach=0), max_tokens=8)
    assert (text(outcome), outcome.status) == ("aWXYZfgh", 200)


def test_a_released_token_cannot_be_taken_back() -> None:
    def releases(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, Added) and event.position == 3:
            return actions.release()
        return actions.backtrack(2) if isinstance(event, Added) and event.position == 4 else None

    assert run(mod(releases)).type == "reach_exceeded"


@pytest.mark.parametrize(
    ("stops", "wanted"),
    [(["bcd", "c"], "c"), (["cd", "d"], "cd"), (["d", "cd"], "d"), (["zz", "bcd"], "bcd")],
)
def test_the_stop_string_that_is_whole_first_ends_and_ties_go_by_the_list(
    stops: list[str], wanted: str
) -> None:
    force = mod(on(ForwardPass, 1, lambda a: a.force_tokens("bcd")))
    outcome = run(force, stop=stops)
    assert (outcome.reason, outcome.stop_reason) == ("stop", wanted)


def test_a_stop_string_of_many_tokens_a_character_is_found() -> None:
    faces = "\U0001f600" * 20
    outcome = run(
        mod(on(ForwardPass, 1, lambda a: a.force_tokens(faces + "x"))), stop=[faces], max_tokens=100
    )
    assert outcome.stop_reason == faces
    assert len(outcome.tokens) == 1 + 80


def test_a_pending_token_counts_as_erased_when_a_mod_ends_the_session_there() -> None:
    outcome = run(mod(on(Sampled, 2, lambda a: a.force_output("bye"))))
    assert outcome.usage is not None
    assert (outcome.usage.sampled, outcome.usage.forced, outcome.usage.erased) == (0, 3, 3)


def test_a_failure_at_forward_pass_finishes_in_that_round() -> None:
    recorder, spec = Recorder(), spec_for()

    def raises(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, ForwardPass) and event.step == 2:
            raise ValueError("no")
        return None

    ScriptedEngine(TextModel("abcdef", 1)).run(spec, recorder.chain([mod(raises)]))
    events = recorder.stories[spec.request_id].events
    assert isinstance(events[-1], Finished)
    assert (events[-1].step, events[-1].reason) == (2, "error")


def test_a_forced_sentinel_is_a_token_and_a_late_sentinel_is_none() -> None:
    forces = [mod(on(ForwardPass, 2, lambda a: a.force_tokens([SENTINEL, 88])))]
    outcome = run(*forces, max_tokens=5, trouble=Trouble(late=frozenset({2, 4, 6})))
    assert outcome.tokens == [97, 98, SENTINEL, 88, 101]


def test_the_sentinel_alone_cannot_be_allowed() -> None:
    outcome = run(mod(on(ForwardPass, 1, lambda a: a.allow([SENTINEL]))))
    assert (outcome.status, outcome.type) == (422, "invalid_action")


# What the mod's code may do to the machine.


class Unreadable(Exception):
    def __str__(self) -> str:
        raise ValueError("not even its message")


class Peculiar(ModError):
    status = 200

    def __init__(self, one: int, two: int) -> None:
        super().__init__("peculiar")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("boom"),
        Unreadable(),
        Peculiar(1, 2),
        HostError("I am the host"),
        KeyboardInterrupt(),
        SystemExit(3),
        GeneratorExit(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("kind", [Prefilled, ForwardPass, Sampled, Added])
def test_whatever_a_mod_raises_becomes_a_422_that_names_it(
    error: BaseException, kind: type[Event]
) -> None:
    def raises(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if type(event) is kind:
            raise error
        return None

    outcome = run(mod(raises, "culprit"))
    assert (outcome.status, outcome.type) == (422, "mod_exception")
    assert "culprit" in outcome.message
    assert kind.name in outcome.message
    assert outcome.record["failures"][0]["traceback"]


def test_what_a_mod_raises_at_finished_is_kept_and_changes_nothing() -> None:
    def raises(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, Finished):
            raise KeyboardInterrupt
        return None

    outcome = run(mod(raises), max_tokens=3)
    assert (text(outcome), outcome.status) == ("abc", 200)
    assert outcome.record["failures"][0]["event"] == "Finished"


HAND_MADE: list[Action] = [
    ForceTokens(None),  # type: ignore[arg-type]
    ForceTokens("text"),  # type: ignore[arg-type]
    ForceTokens([1.5]),  # type: ignore[list-item]
    ForceTokens([VOCABULARY]),
    ForceTokens([-1]),
    Backtrack(-5),
    Backtrack(0),
    Backtrack("two"),  # type: ignore[arg-type]
    Backtrack(1, [2**31]),
    AdjustedLogits(logits="row"),  # type: ignore[arg-type]
    AdjustedLogits(logits=np.zeros(VOCABULARY + 1, dtype=np.float32)),
    AdjustedLogits(logits=np.full(VOCABULARY, np.nan, dtype=np.float32)),
    AdjustedLogits(logits=np.full(VOCABULARY, -np.inf, dtype=np.float32)),
    AdjustedLogits(bias={97: float("nan")}),
    AdjustedLogits(bias={97: float("inf")}),
    AdjustedLogits(bias={97: "much"}),  # type: ignore[dict-item]
    AdjustedLogits(bias=[97]),  # type: ignore[arg-type]
    AdjustedLogits(allow=frozenset([VOCABULARY])),
    AdjustedLogits(allow=frozenset()),
    AdjustedLogits(token_temp=-1.0),
    AdjustedLogits(token_temp="hot"),  # type: ignore[arg-type]
    ToolCalls(None),  # type: ignore[arg-type]
    ToolCalls([{}]),
]


@pytest.mark.parametrize("action", HAND_MADE, ids=repr)
def test_an_action_made_by_hand_is_checked_like_one_of_the_builders(action: Action) -> None:
    outcome = run(mod(lambda e, a, t: action if e.name == "ForwardPass" else None, "culprit"))
    assert (outcome.status, outcome.type) == (422, "invalid_action"), outcome.message


@pytest.mark.parametrize(
    "action", [AdjustedPrefill([]), AdjustedPrefill([1], -3), AdjustedPrefill([-1])], ids=repr
)
def test_a_prefill_made_by_hand_is_checked_too(action: Action) -> None:
    outcome = run(mod(lambda e, a, t: action if e.name == "Prefilled" else None))
    assert (outcome.status, outcome.type) == (422, "invalid_action"), outcome.message


def test_numpys_numbers_become_plain_ones() -> None:
    shape = AdjustedLogits(bias={np.int64(90): np.float32(50)}, ban=frozenset([np.int64(3)]))  # type: ignore[dict-item, arg-type]
    outcome = run(mod(on(ForwardPass, 1, lambda a: shape)), max_tokens=3)
    assert text(outcome) == "aZc"
    assert outcome.decisions is not None
    said = next(decision for _, decision in outcome.decisions if isinstance(decision, Shape))
    assert [type(key) for key in said.bias] == [int]
    assert [type(value) for value in said.bias.values()] == [float]
    assert [type(token) for token in said.ban] == [int]


def test_an_emitted_error_may_hold_anything() -> None:
    outcome = run(mod(on(Added, 1, lambda a: EmitError(7))))  # type: ignore[arg-type]
    assert (outcome.status, outcome.message) == (400, "7")


# What the engine may do to the machine.

BUSY = "a busy mod"


def busy() -> LoadedMod:
    """Forces, replaces and takes back, once each."""
    steps = [
        on(ForwardPass, 1, lambda a: a.force_tokens("UV")),
        on(Sampled, 3, lambda a: a.force_tokens("W")),
        on(Added, 5, lambda a: a.backtrack(2, "XY")),
        on(ForwardPass, 5, lambda a: a.backtrack(1)),
        on(Added, 6, lambda a: a.force_tokens("Z")),
    ]

    def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        answers = [step(event, actions, tokenizer) for step in steps]
        return next((answer for answer in answers if answer), None)

    return mod(handler, BUSY)


def test_every_split_into_segments_gives_the_same_story() -> None:
    stories = set()
    for size in range(4):
        for late in combinations(range(1, 14), size):
            recorder = Recorder()
            spec = spec_for(8, request_id="same")
            engine = ScriptedEngine(TextModel("abcdefgh", 1), trouble=Trouble(late=frozenset(late)))
            outcome = engine.run(spec, recorder.chain([busy()]))
            events = recorder.stories["same"].events
            stories.add((tuple(outcome.tokens), tuple(map(told, events))))
    assert len(stories) == 1


def machine(*chain: LoadedMod, **rest: Any) -> Machine:
    return Machine(spec_for(**rest), chain or (mod(lambda e, a, t: None),), ByteTokenizer())


def test_a_repeated_open_or_tail_gets_the_same_answer_and_calls_no_mod() -> None:
    session = machine()
    first = session.open()
    calls = session.record.calls
    assert session.open() == first
    session.decide(1, 0, -1)
    answer = session.tail(1, 1, SENTINEL)
    assert isinstance(answer, Resume)
    assert session.tail(1, 1, SENTINEL) == answer
    assert session.record.calls == calls


def test_a_session_that_is_closed_calls_no_mod_again() -> None:
    session = machine()
    session.open()
    session.decide(1, 0, -1)
    session.close("aborted")
    calls = session.record.calls
    assert isinstance(session.tail(1, 1, 97), Fail)
    assert isinstance(session.open(), Fail)
    session.decide(1, 1, 97)
    session.close("aborted")
    assert session.record.calls == calls


def test_a_session_that_is_closed_before_it_opens_is_told_finished_only() -> None:
    heard: list[str] = []
    session = machine(mod(lambda e, a, t: heard.append(e.name)))
    session.close("aborted")
    assert isinstance(session.open(), Fail)
    assert heard == ["Finished"]


def test_another_token_at_a_known_position_fails_the_session() -> None:
    session = machine()
    session.open()
    session.decide(1, 0, -1)
    session.decide(1, 1, 97)
    session.decide(1, 1, 98)
    answer = session.tail(1, 2, SENTINEL)
    assert isinstance(answer, Fail)
    assert "98" in answer.message


def test_an_old_segment_is_left_alone() -> None:
    session = machine()
    session.open()
    session.decide(1, 0, -1)
    session.tail(1, 1, SENTINEL)
    calls = session.record.calls
    assert type(session.decide(1, 5, 3)).__name__ == "Leave"
    assert session.record.calls == calls


def test_a_prompt_adjusted_to_fill_the_context_is_refused() -> None:
    outcome = run(mod(on(Prefilled, 0, lambda a: a.adjust_prefill("x" * 64))), max_context=64)
    assert (outcome.status, outcome.type) == (422, "invalid_action")


def test_max_steps_of_an_adjusted_prompt_bound_the_session() -> None:
    outcome = run(mod(on(Prefilled, 0, lambda a: a.adjust_prefill("x", 3))))
    assert (text(outcome), outcome.reason) == ("abc", "length")


def test_a_session_that_ends_before_the_engine_computes_is_a_finish() -> None:
    session = machine(mod(lambda e, a, t: a.force_output("hi") if e.name == "Prefilled" else None))
    answer = session.open()
    assert isinstance(answer, Finish)
    assert (answer.keep, answer.tokens, answer.reason) == (0, [104, 105], "stop")


@pytest.mark.parametrize("runs", [64, 65])
def test_sixty_four_runs_in_a_row_are_allowed_and_no_more(runs: int) -> None:
    left = runs

    def forces(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        nonlocal left
        if event.name in ("ForwardPass", "Added") and left:
            left -= 1
            return actions.force_tokens("x")
        return None

    outcome = run(mod(forces), max_tokens=100)
    assert (outcome.type == "budget_exceeded") is (runs == 65)


def test_a_token_that_was_replaced_is_not_among_those_a_stream_may_show() -> None:
    session = machine(mod(on(Sampled, 2, lambda a: a.force_tokens("XYZ")), reach=0))
    session.open()
    for position, token in enumerate([-1, 97, 98, 99]):
        session.decide(1, position, token)
    assert len(session.output) == 5
    assert session.floor == 2
    session.tail(1, 4, SENTINEL)
    assert session.floor == 5


def test_a_repeated_tail_of_a_finished_session_keeps_what_the_engine_had() -> None:
    session = machine(
        mod(on(ForwardPass, 1, lambda a: a.force_tokens("UVW")), reach=0), max_tokens=4
    )
    session.open()
    session.decide(1, 0, -1)
    answer = session.tail(1, 1, 97)
    assert isinstance(answer, Finish)
    for _ in range(2):
        assert (answer.keep, answer.tokens) == (1, [*b"UVW"])
        assert session.tail(1, 1, 97) is answer
