"""Self-prompts: what is asked, what is answered, and what is left of it in the output."""

from __future__ import annotations

from typing import Any

import pytest

from mods.sdk.actions import ActionBuilder
from mods.sdk.constraints import Regex
from mods.sdk.events import Added, Event, Finished, ForwardPass, Prefilled
from mods.sdk.mod import declaration_of
from mods.sdk.self_prompt import EraseMode, SelfPrompt, SelfPromptError, self_prompt_mod
from mods.sdk.strategies import (
    CharsMode,
    CharsStrat,
    ChoicesStrat,
    ListStrat,
    StrategyError,
    UntilEndType,
    UntilStrat,
)
from tests.mods.sdk.playing import Player, play
from tests.mods.sdk.strategies.by_token import ByToken

ASK = " Tea? "
YES_NO = ["yes", "no", "no thanks"]


FORMS = {"compiled": lambda strategy: strategy, "by token": ByToken}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("erase", "answer", "left"),
    [
        (EraseMode.NONE, "yes", " Tea? yes;"),
        (EraseMode.NONE, "no", " Tea? no;"),
        (EraseMode.PROMPT, "yes", "yes"),
        (EraseMode.PROMPT, "no", "no"),
        (EraseMode.PROMPT, "no thanks", "no thanks"),
        (EraseMode.ALL, "yes", ""),
        (EraseMode.ALL, "no", ""),
    ],
)
def test_erasing_leaves_what_it_promises_streaming_too(
    form: str, erase: EraseMode, answer: str, left: str
) -> None:
    ask = SelfPrompt(
        prompt=ASK, strategy=FORMS[form](ChoicesStrat(YES_NO)), completion=";", erase=erase
    )
    kept: list[str | None] = []

    def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> Any:
        if isinstance(event, Finished):
            kept.append(ask.answer(event.request_id))
        return ask.handle_event(event, actions, tokenizer)

    played = play(handler, "0123456789 rest", {ASK: answer})
    assert played.text == left + "0123456789 rest"[len(left) :]
    assert kept == [answer]
    assert played.reason == "stop"
    if erase is not EraseMode.NONE:
        assert not any("Tea" in text for text in played.shown)
    shown_early = [text for text in played.shown if text != played.text]
    assert shown_early, "nothing was streamed"


def test_without_a_prompt_the_answer_stands_alone() -> None:
    mod = self_prompt_mod(strategy=YES_NO, erase="prompt")
    assert play(mod, "no thanks, said she").text == "no thanks, said she"
    assert play(mod, "yet").text == "yes"


def test_an_answer_that_an_end_of_sequence_ends_loses_that_end_and_nothing_else() -> None:
    mod = self_prompt_mod(prompt=ASK, strategy=YES_NO)
    played = play(mod, "           more", {ASK: "no"})
    assert played.text == " Tea? no   more"
    assert 256 not in played.tokens[:-1]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("erase", EraseMode)
@pytest.mark.parametrize("deaf", ["ForwardPass", "Added"])
def test_what_another_mod_overrode_is_asked_for_again(
    form: str, erase: EraseMode, deaf: str
) -> None:
    ask = SelfPrompt(
        prompt=ASK, strategy=FORMS[form](ChoicesStrat(YES_NO)), completion=".", erase=erase
    )
    answer = "yes" if deaf == "Added" else "no thanks"
    played = play(ask.handle_event, "x" * 30, {ASK: answer}, deaf=frozenset({deaf}), reach=None)
    begun = "x" if deaf == "ForwardPass" else ""
    left = {EraseMode.NONE: begun + ASK + answer, EraseMode.PROMPT: begun + answer}.get(
        erase, begun
    )
    assert played.text.startswith(left)
    assert (
        played.text.strip("x")
        in {
            EraseMode.NONE: {f"{ASK}{answer}.", f"{ASK}{answer}x.", f"{ASK}{answer}"},
            EraseMode.PROMPT: {answer},
            EraseMode.ALL: {""},
        }[erase]
    )


def test_a_mod_may_hand_on_the_three_events_by_itself_and_ignore_what_added_returns() -> None:
    ask = SelfPrompt(prompt={"text": ASK}, strategy=ChoicesStrat(["yes"]), erase=EraseMode.ALL)

    def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> Any:
        if isinstance(event, Prefilled):
            ask.handle_prefilled(event, tokenizer)
        if isinstance(event, ForwardPass):
            return ask.handle_forward_pass(event, actions, tokenizer)
        if isinstance(event, Added):
            ask.handle_added(event, actions, tokenizer)
        return actions.noop()

    assert play(handler, "The rest.", reach=None).text == "The rest."


@pytest.mark.parametrize(
    ("strategy", "wish", "answer", "tokens"),
    [
        (CharsStrat(CharsMode.NUMERIC, stop="\n"), "42\n", "42", "42"),
        (CharsStrat(CharsMode.ALPHA, stop=3), "abcd", "abc", "abc"),
        (UntilStrat("<a>", UntilEndType.TAG, "</a>"), "<a>é</a>", "<a>é</a>", "<a>é</a>"),
        (ListStrat(["a", "b"], open="[", close="]"), "", "[a, b]", "[a, b]"),
        (Regex("[0-9]{3}"), "123", "123", "123"),
    ],
)
def test_the_answer_is_without_the_stop_of_characters(
    strategy: Any, wish: str, answer: str, tokens: str
) -> None:
    ask = SelfPrompt(prompt=ASK, strategy=strategy, erase=EraseMode.ALL)
    kept = []

    def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> Any:
        action = ask.handle_event(event, actions, tokenizer)
        if ask.is_complete(event.request_id) and not isinstance(event, Finished):
            kept.append((ask.answer(event.request_id), ask.answer_tokens(event.request_id)))
        return action

    assert play(handler, "rest", {ASK: wish}).text == "rest"
    assert kept[0] == (answer, list(tokens.encode()))


def test_nothing_is_known_before_the_answer_is_there_or_after_the_request() -> None:
    ask = SelfPrompt(prompt=ASK, strategy=YES_NO)
    player = Player(ask.handle_event, "", {ASK: "yes"})
    assert ask.answer_tokens(player.request_id) is None
    assert not ask.is_complete(player.request_id)
    player.run()
    assert ask.answer(player.request_id) is None


@pytest.mark.parametrize(
    ("completion", "strategy", "left"),
    [
        (None, ["a"], " Tea? a"),
        ("\n", ["a"], " Tea? a\n"),
        ({"suffix": "!"}, ["a"], " Tea? a!"),
        ({"suffix": [33, 34], "force": True}, ["a"], ' Tea? a!"'),
        ({"suffix": "!", "force": False}, ["a"], " Tea? a"),
        ("!", ListStrat(["a"], end_with=";"), " Tea? a;"),
        ("!", ListStrat(["a"]), " Tea? a!"),
    ],
)
def test_a_completion_is_written_behind_an_answer_that_stays(
    completion: Any, strategy: Any, left: str
) -> None:
    mod = self_prompt_mod(prompt=ASK, strategy=strategy, completion=completion)
    assert play(mod, "").text == left


@pytest.mark.parametrize(
    "prompt", [ASK, {"text": ASK}, {"tokens": list(ASK.encode())}, list(ASK.encode())]
)
def test_a_prompt_is_text_or_ids(prompt: Any) -> None:
    assert play(self_prompt_mod(prompt=prompt, strategy=["a"]), "").text == " Tea? a"


def test_argmax_sampling_draws_the_answer_greedily() -> None:
    shapes = []

    def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> Any:
        action = ask.handle_event(event, actions, tokenizer)
        shapes.append(getattr(action, "token_temp", None))
        return action

    ask = SelfPrompt(prompt=ASK, strategy=["a"], argmax_sampling=True, mask_value=-100)
    play(handler, "")
    assert 0.0 in shapes


def test_stop_strings_of_the_request_end_no_prompt_that_is_erased() -> None:
    mod = self_prompt_mod(prompt=" Line one\nTwo? ", strategy=["yes"], erase="all")
    assert play(mod, "Fine.\nMore", stop=["\n"]).text == "Fine.\n"


def test_a_stop_string_in_a_prompt_that_stays_ends_the_request() -> None:
    mod = self_prompt_mod(prompt="Line\nTwo? ", strategy=["yes"])
    played = play(mod, "Fine.", stop=["\n"])
    assert (played.text, played.reason) == ("Line\n", "stop")


def test_an_answer_that_is_to_be_erased_may_not_be_cut_off() -> None:
    until = UntilStrat("", UntilEndType.TAG, "</a>")
    ask = SelfPrompt(prompt=ASK, strategy=until, erase="all")
    with pytest.raises(SelfPromptError, match=r"' Tea\? '.* ended the answer after 5 tokens"):
        play(ask.handle_event, "", {ASK: "one\n\ntwo</a>"}, stop=["\n\n", "e\n\nt"])
    with pytest.raises(SelfPromptError, match="max_tokens ended the answer after 4 tokens"):
        play(ask.handle_event, "", {ASK: "one two three</a>"}, max_tokens=10)
    by_token = SelfPrompt(prompt=ASK, strategy=ByToken(until), erase="all")
    with pytest.raises(SelfPromptError, match="max_tokens ended the answer after 4 tokens"):
        play(by_token.handle_event, "", {ASK: "one two three</a>"}, max_tokens=10)


def test_an_answer_that_stays_is_cut_like_any_text() -> None:
    ask = SelfPrompt(prompt=ASK, strategy=UntilStrat("", UntilEndType.TAG, "</a>"))
    played = play(ask.handle_event, "", {ASK: "one two three</a>"}, max_tokens=10)
    assert (played.text, played.reason) == (" Tea? one ", "length")


def test_a_prompt_for_which_there_is_no_room_is_an_error_that_says_how_much_it_needs() -> None:
    ask = SelfPrompt(prompt=ASK, strategy=YES_NO, erase="all")
    with pytest.raises(SelfPromptError, match=r"needs at least 7 tokens of output.*allows 6"):
        play(ask.handle_event, max_tokens=6)


def test_other_choices_for_one_request_are_asked_anew_and_are_nobody_else_s() -> None:
    ask = SelfPrompt(prompt=ASK, strategy=["cat", "dog"], erase=EraseMode.ALL)
    answers = []

    def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> Any:
        action = ask.handle_event(event, actions, tokenizer)
        if ask.is_complete(event.request_id) and len(answers) < 2:
            answers.append(ask.answer(event.request_id))
            if len(answers) == 1:
                ask.refresh_responses(["owl"], request_id=event.request_id)
        return action

    assert play(handler, "rest", {ASK: "dog"}).text == "rest"
    assert answers == ["dog", "owl"]
    assert play(ask.handle_event, "", {ASK: "dog"}).told
    ask.refresh_responses(["eel"])
    kept: list[str | None] = []

    def keeping(event: Event, actions: ActionBuilder, tokenizer: Any) -> Any:
        kept.append(ask.answer(event.request_id))
        return ask.handle_event(event, actions, tokenizer)

    play(keeping, "", {ASK: "dog"})
    assert kept[-1] == "eel"


def test_choices_inside_a_list_can_be_replaced_too() -> None:
    fixed = SelfPrompt(prompt=ASK, strategy=ListStrat([["cat"], "x"]))
    fixed.refresh_responses(["owl"], idx=0)
    assert play(fixed.handle_event, "").text == " Tea? owl, x"
    shared = SelfPrompt(prompt=ASK, strategy=ListStrat(ChoicesStrat(["a"]), min=2, max=2))
    shared.refresh_responses(["b"])
    assert play(shared.handle_event, "").text == " Tea? b, b"
    with pytest.raises(ValueError, match="has no choices there"):
        fixed.refresh_responses(["owl"], idx=5)
    with pytest.raises(ValueError, match="has no choices there"):
        SelfPrompt(strategy=CharsStrat(CharsMode.ALPHA, stop=2)).refresh_responses(["owl"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy": []}, "no text satisfies this"),
        ({"strategy": 3}, "got 3"),
        ({"strategy": ["a"], "prompt": {"text", "x"}}, "prompt is a text"),
        ({"strategy": ["a"], "prompt": 7}, "prompt is a text"),
        ({"strategy": ["a"], "completion": 7}, "completion is a text"),
        ({"strategy": ["a"], "erase": "some"}, "some"),
        ({"strategy": ["a"], "mask_value": 1.0}, "mask_value is a logit below 0"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_where_they_are_given(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SelfPrompt(**arguments)


def test_a_constraint_that_needs_the_engine_says_so_in_the_token_form() -> None:
    ask = SelfPrompt(strategy=Regex("a"))
    with pytest.raises(StrategyError, match="no token form"):
        ask._question.strategy.into_strategy(None)


def test_the_mod_streams_at_once_and_reads_no_logits() -> None:
    declared = declaration_of(self_prompt_mod(strategy=["a"], name="likes"))
    assert declared is not None
    assert (declared.name, declared.reach, declared.logits) == ("likes", 0, False)
