"""Every action at every event, in the reference loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mods.runtime.seat import LoadedMod
from mods.sdk.actions import Action, ActionBuilder
from mods.sdk.events import Added, Event, ForwardPass, Prefilled, Sampled
from server.engine.reference.loop import ReferenceLoop
from tests.server.engine.reference.asking import COUNT, FRANCE, PARIS, ask, greedy, mod, once, say


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"stop": ["7"]},
        {"repetition_penalty": 1.3, "presence_penalty": 0.4},
        {"bad_words": ["3"]},
        {"logit_bias": {50: -100.0}},
        {"min_tokens": 40},
        {"temperature": 1.1, "seed": 9, "top_p": 0.95, "top_k": 40, "min_p": 0.01},
    ],
)
@pytest.mark.parametrize("logits", [False, True])
def test_a_noop_mod_changes_nothing(
    loop: ReferenceLoop, more: dict[str, Any], logits: bool
) -> None:
    plain = say(loop, COUNT, **more)
    seen: list[Event] = []
    made = say(loop, COUNT, mod(lambda event, *_: seen.append(event), logits=logits), **more)
    assert (made.tokens, made.text, made.stop_reason) == (
        plain.tokens, plain.text, plain.stop_reason,
    )  # fmt: skip
    assert made.logprobs == plain.logprobs
    assert len(seen) == 3 * len(made.tokens) + 2
    assert made.record["calls"] == len(seen)


def test_adjust_prefill_asks_another_question(loop: ReferenceLoop) -> None:
    other = ask(loop, "What is the capital of Japan?")
    asked = once(Prefilled, lambda event, actions, _: actions.adjust_prefill(other, 4))
    made = say(loop, FRANCE, mod(asked))
    assert "The capital of Japan is Tokyo.".startswith(made.text)
    assert (len(made.tokens), made.finish_reason, made.prompt) == (4, "length", other)


@pytest.mark.parametrize("kind", [ForwardPass, Sampled, Added])
@pytest.mark.parametrize("words", ["Sure! ", "Of course. However, Paris is nice. Additionally, "])
def test_tokens_are_forced(loop: ReferenceLoop, kind: type[Event], words: str) -> None:
    force = once(kind, lambda event, actions, _: actions.force_tokens(words))
    made = say(loop, FRANCE, mod(force))
    run = loop.mods_tokenizer.encode(words, add_special_tokens=False)
    at = 1 if kind is Added else 0
    assert made.tokens[at : at + len(run)] == run
    assert made.usage.forced == len(run)
    assert made.usage.erased == (1 if kind is Sampled else 0)
    if len(run) >= 8:
        assert made.logprobs[at : at + len(run)] == [None] * len(run)
        assert made.logprobs[-1] is not None


@pytest.mark.parametrize("kind", [ForwardPass, Sampled, Added])
@pytest.mark.parametrize("tokens", ["", "XYZ"])
def test_tokens_are_taken_back(loop: ReferenceLoop, kind: type[Event], tokens: str) -> None:
    taken = once(kind, lambda event, actions, _: actions.backtrack(3, tokens), position=5)
    events: list[Event] = []
    made = say(loop, FRANCE, mod(taken), mod(lambda event, *_: events.append(event)))
    assert made.usage.erased == 3
    removed = [event.removed for event in events if isinstance(event, Added) and event.removed]
    assert len(removed) == 1
    assert len(removed[0]) == (2 if kind is Sampled else 3)
    if tokens:
        assert tokens in made.text
    else:
        assert made.text == PARIS


def test_a_token_taken_back_again_and_again_leaves_no_trace(loop: ReferenceLoop) -> None:
    left = 12

    def waver(event: Event, actions: ActionBuilder, _: Any) -> Action | None:
        nonlocal left
        if isinstance(event, Added) and event.position >= 6 and left:
            left -= 1
            return actions.backtrack(1 + left % 5)
        return None

    plain, made = say(loop, COUNT), say(loop, COUNT, mod(waver))
    assert made.tokens == plain.tokens
    assert made.usage.erased > 12
    assert made.logprobs[-1] == pytest.approx(plain.logprobs[-1], abs=1e-4)


def test_a_whole_row_of_logits_decides(loop: ReferenceLoop) -> None:
    paris = loop.mods_tokenizer.encode(" Paris", add_special_tokens=False)[0]

    def ban(event: Event, actions: ActionBuilder, _: Any) -> Action | None:
        if not isinstance(event, ForwardPass):
            return None
        row = event.logits.to_numpy()
        assert event.top_k_logprob(1)[0][0] == int(row.argmax())
        row[0, paris] = -np.inf
        return actions.adjust_logits(row)

    assert paris not in say(loop, FRANCE, mod(ban, logits=True)).tokens


@pytest.mark.parametrize(
    "act",
    [
        lambda actions, ids: actions.bias({ids[0]: -100.0}),
        lambda actions, ids: actions.ban(ids[:1]),
    ],
)
def test_bias_and_ban_keep_a_word_out(loop: ReferenceLoop, act: Any) -> None:
    ids = loop.mods_tokenizer.encode(" Paris", add_special_tokens=False)
    shape = mod(
        lambda event, actions, _: act(actions, ids) if event.name == "ForwardPass" else None
    )
    assert ids[0] not in say(loop, FRANCE, shape).tokens


def test_allow_leaves_only_what_is_allowed(loop: ReferenceLoop) -> None:
    ids = loop.mods_tokenizer.encode("no yes", add_special_tokens=False)
    shape = mod(
        lambda event, actions, _: actions.allow(ids) if event.name == "ForwardPass" else None
    )
    assert set(say(loop, FRANCE, shape, max_tokens=6).tokens) <= set(ids)


def warm(temperature: float) -> LoadedMod:
    return mod(
        lambda event, actions, _: (
            actions.adjust_logits(token_temp=temperature) if event.name == "ForwardPass" else None
        )
    )


def test_a_temperature_holds_for_one_draw(loop: ReferenceLoop) -> None:
    assert say(loop, FRANCE, warm(0), temperature=2.0).text == PARIS
    wild = {say(loop, FRANCE, warm(50), max_tokens=8, seed=seed).text for seed in range(4)}
    assert len(wild) > 1
    assert len({say(loop, FRANCE, warm(50), max_tokens=8, seed=5).text for _ in range(2)}) == 1


@pytest.mark.parametrize("kind", [Prefilled, ForwardPass, Sampled, Added])
def test_terminal_actions_end(loop: ReferenceLoop, kind: type[Event]) -> None:
    secret = once(kind, lambda event, actions, _: actions.force_output("It is a secret."))
    made = say(loop, FRANCE, mod(secret))
    assert (made.text, made.finish_reason, made.replaced) == ("It is a secret.", "stop", True)

    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    calls = once(kind, lambda event, actions, _: actions.tool_calls(call))
    made = say(loop, FRANCE, mod(calls))
    assert (made.tool_calls, made.finish_reason) == ([call], "tool_calls")

    error = once(kind, lambda event, actions, _: actions.emit_error("not today"))
    made = loop.generate(ask(loop, FRANCE), greedy(), [mod(error)])
    assert made.failure is not None
    assert (made.failure.status, made.failure.message) == (400, "not today")
    assert made.finish_reason == "error"


def test_a_mod_that_raises_fails_its_request_alone(loop: ReferenceLoop) -> None:
    def wrong(event: Event, *_: Any) -> None:
        if event.position == 3:
            raise KeyError("lost")

    made = loop.generate(ask(loop, FRANCE), greedy(), [mod(wrong)])
    assert made.failure is not None
    assert (made.failure.status, made.failure.type) == (422, "mod_exception")
    assert made.record["failures"][0]["error"] == "KeyError"
    assert say(loop, FRANCE).text == PARIS


def test_a_mod_may_go_on_past_an_end(loop: ReferenceLoop) -> None:
    def more(event: Event, actions: ActionBuilder, tokenizer: Any) -> Action | None:
        if isinstance(event, Added) and event.added_tokens[-1] == tokenizer.eos_token_id:
            return None if event.position > 12 else actions.force_tokens(" Or so I heard.")
        return None

    made = say(loop, FRANCE, mod(more))
    assert made.text.startswith(PARIS + " Or so I heard.")
    assert [end.index for end in made.passed_ends] == [made.tokens.index(loop.backend.eos_ids[0])]

    again = once(Added, lambda event, actions, _: actions.force_tokens(" and"), position=13)
    made = say(loop, COUNT, mod(again), stop=["5"])
    assert made.passed_ends[0].stop == "5"
    assert made.text.startswith("1, 2, 3, 4,  and")


def test_a_forced_run_is_cut_at_the_first_end(loop: ReferenceLoop) -> None:
    force = once(ForwardPass, lambda event, actions, _: actions.force_tokens("a b STOP c d e f"))
    made = say(loop, FRANCE, mod(force), stop=["STOP"])
    assert (made.text, made.stop_reason) == ("a b ", "STOP")
    assert [entry["action"] for entry in made.record["actions"]] == ["force_tokens", "cut"]


def test_min_tokens_counts_the_session_s_tokens(loop: ReferenceLoop) -> None:
    words = "Of course. However, Paris is nice. Additionally, "
    force = once(ForwardPass, lambda event, actions, _: actions.force_tokens(words))
    eos = loop.backend.eos_ids[0]
    made = say(loop, FRANCE, mod(force), min_tokens=34, logit_bias={eos: 100.0})
    assert made.usage.forced >= 8
    assert made.tokens.index(eos) == 34


def test_a_draw_that_was_taken_back_is_not_simply_drawn_again(loop: ReferenceLoop) -> None:
    def tries() -> list[int]:
        drawn: list[int] = []

        def redraw(event: Event, actions: ActionBuilder, _: Any) -> Action | None:
            if isinstance(event, Sampled) and event.position == 0 and len(drawn) < 8:
                drawn.append(event.sampled_token)
                return actions.backtrack(1)
            return None

        say(loop, "Tell me about cats.", mod(redraw), temperature=2.0, seed=5, max_tokens=2)
        return drawn

    first = tries()
    assert len(set(first)) > 1
    assert tries() == first


def test_two_mods_act_in_order_and_each_sees_the_original_event(loop: ReferenceLoop) -> None:
    ids = loop.mods_tokenizer.encode(" Paris", add_special_tokens=False)
    ban = mod(
        lambda event, actions, _: actions.ban(ids[:1]) if event.name == "ForwardPass" else None
    )
    sure = mod(once(ForwardPass, lambda event, actions, _: actions.force_tokens("Sure! ")))
    made = say(loop, FRANCE, ban, sure)
    assert made.text.startswith("Sure! ")
    assert ids[0] not in made.tokens
    assert made.record["actions"][0]["overridden"]
