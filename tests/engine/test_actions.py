"""Every action at every legal event, through the real engine."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import pytest

from tests.engine.live import Live

QUESTION = "What is the capital of France?"
PLAIN = "The capital of France is Paris."

PRELUDE = """
from mods.sdk import *
import numpy as np
once = set()
def first(event):
    if event.request_id in once:
        return False
    once.add(event.request_id)
    return True
def text(tokenizer, tokens):
    return tokenizer.decode(list(tokens))
"""


def mod_that(live: Live, body: str, declared: str = "") -> str:
    """Upload a mod whose handler has this body; its name is made from it."""
    name = f"m{abs(hash((body, declared))) % 10**12}"
    lines = textwrap.indent(textwrap.dedent(body), "    ")
    source = f"{PRELUDE}\n@mod{declared}\ndef handler(event, actions, tokenizer):\n{lines}\n"
    return live.upload(source, name=name)


def test_noop_changes_nothing(live: Live) -> None:
    assert live.say(QUESTION, mod_that(live, "return actions.noop()")) == PLAIN


def test_returning_nothing_is_a_noop(live: Live) -> None:
    assert live.say(QUESTION, mod_that(live, "return None")) == PLAIN


def test_adjust_prefill_asks_another_question(live: Live) -> None:
    name = mod_that(
        live,
        """
        if isinstance(event, Prefilled):
            asked = tokenizer.decode(event.context_info.tokens[:event.context_info._prompt_len])
            return actions.adjust_prefill(tokenizer.encode(asked.replace("France", "Japan")))
        """,
    )
    assert live.say(QUESTION, name) == "The capital of Japan is Tokyo."


def test_adjust_prefill_limits_the_steps(live: Live) -> None:
    name = mod_that(
        live,
        """
        if isinstance(event, Prefilled):
            return actions.adjust_prefill(list(event.context_info.tokens), max_steps=3)
        """,
    )
    answer = live.chat("Count to ten.", name).json()
    assert answer["usage"]["completion_tokens"] == 3
    assert answer["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("event", ["ForwardPass", "Sampled", "Added"])
@pytest.mark.parametrize("words", ["Sure! ", "Of course. However, Paris is nice. Additionally, "])
def test_tokens_are_forced_at(live: Live, event: str, words: str) -> None:
    name = mod_that(
        live,
        f"""
        if isinstance(event, {event}) and first(event):
            return actions.force_tokens({words!r})
        """,
    )
    said = live.say(QUESTION, name)
    assert words in said
    assert live.say(QUESTION, name, stream=False) == said
    expected_start = " The" if event == "Added" else words
    assert said.startswith(expected_start.strip())


@pytest.mark.parametrize("event", ["ForwardPass", "Sampled", "Added"])
def test_tokens_are_taken_back_and_replaced_at(live: Live, event: str) -> None:
    name = mod_that(
        live,
        f"""
        if isinstance(event, {event}) and event.position == 5 and first(event):
            return actions.backtrack(2, "XYZ")
        """,
    )
    answer = live.chat(QUESTION, name).json()
    assert "XYZ" in answer["choices"][0]["message"]["content"]
    assert answer["usage"]["erased_tokens"] == 2


@pytest.mark.parametrize("event", ["ForwardPass", "Sampled", "Added"])
def test_tokens_are_taken_back_without_a_replacement_at(live: Live, event: str) -> None:
    name = mod_that(
        live,
        f"""
        if isinstance(event, {event}) and event.position == 5 and first(event):
            return actions.backtrack(n=3)
        """,
    )
    answer = live.chat(QUESTION, name).json()
    assert answer["choices"][0]["message"]["content"] == PLAIN
    assert answer["usage"]["erased_tokens"] == 3


def test_a_whole_row_of_logits_decides(live: Live) -> None:
    name = mod_that(
        live,
        """
        if isinstance(event, ForwardPass):
            logits = event.logits.to_numpy()
            for word in (" Paris", "Paris"):
                logits[0, tokenizer.encode(word, add_special_tokens=False)[0]] = -np.inf
            return actions.adjust_logits(logits)
        """,
    )
    assert "Paris" not in live.say(QUESTION, name)


def test_top_k_logprob_gives_what_the_model_wanted(live: Live) -> None:
    name = mod_that(
        live,
        """
        if isinstance(event, ForwardPass):
            return actions.allow([event.top_k_logprob(5)[0][0]])
        """,
    )
    assert live.say(QUESTION, name) == PLAIN


def test_a_greedy_request_may_become_sampled(live: Live) -> None:
    name = mod_that(
        live,
        "if isinstance(event, ForwardPass): return actions.adjust_logits(token_temp=50.0)",
    )
    assert len({live.say(QUESTION, name) for _ in range(4)}) > 1


def test_a_sampled_request_may_become_greedy(live: Live) -> None:
    name = mod_that(
        live,
        "if isinstance(event, ForwardPass): return actions.adjust_logits(token_temp=0)",
    )
    assert {live.say(QUESTION, name, temperature=2.0) for _ in range(3)} == {PLAIN}


@pytest.mark.parametrize(
    "action",
    [
        'actions.bias({" Paris": -100.0, "Paris": -100.0})',
        'actions.ban(tokenizer.encode(" Paris", add_special_tokens=False)[:1])',
    ],
)
def test_bias_and_ban_keep_a_word_out(live: Live, action: str) -> None:
    name = mod_that(live, f"if isinstance(event, ForwardPass): return {action}")
    assert " Paris" not in live.say(QUESTION, name)


def test_allow_leaves_only_what_is_allowed(live: Live) -> None:
    name = mod_that(
        live,
        'if isinstance(event, ForwardPass): return actions.allow(tokenizer.encode("no yes"))',
    )
    answer = live.say(QUESTION, name, max_tokens=6)
    assert set(answer) <= set("noyes ")


@pytest.mark.parametrize("event", ["Prefilled", "ForwardPass", "Sampled", "Added"])
def test_force_output_replaces_everything_at(live: Live, event: str) -> None:
    name = mod_that(
        live,
        f"if isinstance(event, {event}): return actions.force_output('It is a secret.')",
    )
    answer = live.chat(QUESTION, name).json()["choices"][0]
    assert answer["message"]["content"] == "It is a secret."
    assert answer["finish_reason"] == "stop"


CALL = {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": "{}"}}


@pytest.mark.parametrize("event", ["Prefilled", "ForwardPass", "Sampled", "Added"])
def test_tool_calls_end_with_openai_s_shape_at(live: Live, event: str) -> None:
    name = mod_that(live, f"if isinstance(event, {event}): return actions.tool_calls({CALL!r})")
    choice = live.chat(QUESTION, name).json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"] == [CALL]


@pytest.mark.parametrize("event", ["Prefilled", "ForwardPass", "Sampled", "Added"])
def test_emit_error_is_a_400_at(live: Live, event: str) -> None:
    name = mod_that(live, f"if isinstance(event, {event}): return actions.emit_error('not today')")
    answer = live.chat(QUESTION, name)
    assert answer.status_code == 400
    assert "not today" in answer.json()["error"]["message"]
    assert answer.json()["error"]["type"] == "mod_emitted_error"


def test_an_illegal_action_is_a_422_that_says_what_is_allowed(live: Live) -> None:
    name = mod_that(live, "if isinstance(event, Prefilled): return actions.force_tokens([5])")
    answer = live.chat(QUESTION, name)
    assert answer.status_code == 422
    message = answer.json()["error"]["message"]
    assert "force_tokens" in message
    assert "Prefilled" in message
    assert "adjust_prefill" in message


def test_mods_work_in_order_and_each_sees_the_original_event(live: Live) -> None:
    ban = mod_that(
        live,
        'if isinstance(event, ForwardPass): return actions.ban(tokenizer.encode(" Paris")[:1])',
    )
    sure = mod_that(
        live,
        """
        if isinstance(event, ForwardPass) and event.position == 0:
            return actions.force_tokens("Sure! ")
        """,
    )
    said = live.say(QUESTION, ban, sure)
    assert said.startswith("Sure! ")
    assert " Paris" not in said


def test_a_mod_may_ignore_its_errors(live: Live) -> None:
    name = mod_that(live, "raise ValueError('no matter')", '(on_error="ignore")')
    assert live.say(QUESTION, name) == PLAIN


def stream(live: Live, text: str, *mods: str, **more: Any) -> list[dict[str, Any]]:
    """The events of a chat stream."""
    answer = live.chat(text, *mods, stream=True, **more)
    assert answer.status_code == 200, answer.text
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def shown(events: list[dict[str, Any]]) -> list[str]:
    """The pieces of text that a stream showed."""
    deltas = [choice["delta"] for event in events for choice in event.get("choices", ())]
    return [delta["content"] for delta in deltas if delta.get("content")]


def test_text_that_may_be_taken_back_is_not_streamed(live: Live) -> None:
    name = mod_that(
        live,
        """
        if isinstance(event, Added) and event.position == 5 and first(event):
            return actions.backtrack(2, "XYZ")
        """,
    )
    pieces = shown(stream(live, QUESTION, name))
    assert "XYZ" in "".join(pieces)
    assert "".join(pieces) == live.say(QUESTION, name)
    assert len(pieces) == 1


def test_a_declared_reach_streams_what_it_cannot_touch(live: Live) -> None:
    name = mod_that(
        live,
        """
        if isinstance(event, Added) and event.position == 12 and first(event):
            return actions.backtrack(3, "!")
        """,
        "(reach=4)",
    )
    pieces = shown(stream(live, "Count to ten.", name))
    assert len(pieces) > 1  # how many, the load of the machine decides
    assert "".join(pieces) == live.say("Count to ten.", name)


def test_taking_back_more_than_the_reach_is_an_error_streaming_or_not(live: Live) -> None:
    name = mod_that(
        live,
        "if isinstance(event, Added) and event.position == 8: return actions.backtrack(5)",
        "(reach=2)",
    )
    answer = live.chat("Count to ten.", name)
    assert answer.status_code == 422
    assert answer.json()["error"]["type"] == "reach_exceeded"
    assert stream(live, "Count to ten.", name)[-1]["error"]["type"] == "reach_exceeded"


def test_hold_keeps_text_back_until_release(live: Live) -> None:
    name = mod_that(
        live,
        """
        if isinstance(event, ForwardPass) and event.position == 0:
            return actions.hold()
        if isinstance(event, Added) and event.position == 9:
            return actions.release()
        """,
    )
    pieces = shown(stream(live, "Count to ten.", name))
    assert "".join(pieces) == live.say("Count to ten.")
    assert pieces[0].startswith("1, 2, 3")


def test_a_client_may_ask_for_tokens_at_once_and_removals(live: Live) -> None:
    name = mod_that(
        live,
        """
        if isinstance(event, Added) and event.position == 6 and first(event):
            return actions.backtrack(3, "XYZ")
        """,
    )
    events = stream(live, "Count to ten.", name, stream_removed=True)
    text = ""
    removals = 0
    for event in events:
        for choice in event["choices"]:
            removed = choice["delta"].get("removed")
            if removed:
                removals += 1
                assert text.endswith(removed["text"])
                text = text[: len(text) - len(removed["text"])]
            text += choice["delta"].get("content") or ""
    assert removals == 1
    assert text == live.say("Count to ten.", name)
