"""Sampling parameters hold over the whole session: ends, logprobs, seeds, penalties, n."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.engine.live import MODEL, Live
from tests.engine.mods import NOOP, REWRITE
from tests.engine.test_actions import mod_that

COUNT = "Count to ten."
COUNTED = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10."


@pytest.fixture(scope="module")
def noop(live: Live) -> str:
    return live.upload(NOOP)


@pytest.fixture(scope="module")
def rewrite(live: Live) -> str:
    return live.upload(REWRITE)


def choices(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return list(answer.json()["choices"])


def streamed(answer: httpx.Response) -> tuple[dict[int, str], dict[int, str], list[dict[str, Any]]]:
    """Texts and finish reasons by choice, and every event, of a chat stream."""
    assert answer.status_code == 200, answer.text
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    events = [json.loads(line) for line in lines if line != "[DONE]"]
    texts: dict[int, str] = {}
    reasons: dict[int, str] = {}
    for event in events:
        assert "error" not in event, event
        for choice in event["choices"]:
            index = choice["index"]
            texts[index] = texts.get(index, "") + (choice["delta"].get("content") or "")
            if choice["finish_reason"]:
                reasons[index] = choice["finish_reason"]
    return texts, reasons, events


@pytest.mark.parametrize(
    "more",
    [
        {"stop": ["5"]},
        {"stop": [", 4", "7"]},
        {"stop": ["5"], "include_stop_str_in_output": True},
        {"stop": ["never seen"]},
        {"stop": ["2"], "min_tokens": 12},
        {"max_tokens": 7},
        {"min_tokens": 40, "max_tokens": 44},
        {"ignore_eos": True, "max_tokens": 40},
        {"presence_penalty": 1.5, "max_tokens": 30},
        {"frequency_penalty": 1.0, "max_tokens": 30},
        {"repetition_penalty": 1.3, "max_tokens": 30},
        {"presence_penalty": 0.5, "frequency_penalty": 0.5, "repetition_penalty": 1.1},
        {"logit_bias": {"50": -100}},
        {"bad_words": ["3"]},
        {"temperature": 0.9, "seed": 7},
        {"temperature": 1.2, "seed": 8, "top_p": 0.9, "top_k": 20, "min_p": 0.01},
        {"logprobs": True, "top_logprobs": 2},
    ],
)
def test_a_noop_mod_changes_nothing_under(live: Live, noop: str, more: dict[str, Any]) -> None:
    plain, modded = (choices(live.chat(COUNT, *mods, **more))[0] for mods in ((), (noop,)))
    assert modded["message"]["content"] == plain["message"]["content"]
    assert modded["finish_reason"] == plain["finish_reason"]
    assert modded["stop_reason"] == plain["stop_reason"]
    if "logprobs" in more:
        for one, other in zip(
            plain["logprobs"]["content"], modded["logprobs"]["content"], strict=True
        ):
            assert one["token"] == other["token"]
            assert one["logprob"] == pytest.approx(other["logprob"], abs=1e-3)
            assert len(other["top_logprobs"]) == 2


@pytest.mark.parametrize("more", [{}, {"stop": ["5"]}, {"max_tokens": 7}])
def test_a_noop_mod_streams_what_is_streamed_without_it(
    live: Live, noop: str, more: dict[str, Any]
) -> None:
    plain, modded = (
        streamed(live.chat(COUNT, *mods, stream=True, **more))[:2] for mods in ((), (noop,))
    )
    assert modded == plain


def test_a_stop_string_counts_over_forced_text(live: Live) -> None:
    name = mod_that(
        live,
        """
        if isinstance(event, ForwardPass) and event.position == 0:
            return actions.force_tokens("Well, I STOP here. ")
        """,
    )
    choice = choices(live.chat(COUNT, name, stop=["STOP"]))[0]
    assert choice["message"]["content"] == "Well, I "
    assert choice["stop_reason"] == "STOP"


def test_a_stop_string_may_lie_across_a_restart(live: Live) -> None:
    name = mod_that(
        live,
        """
        if isinstance(event, Added) and event.position == 4 and first(event):
            return actions.backtrack(1, "XY")
        if isinstance(event, Added) and text(tokenizer, event.added_tokens) == "XY":
            return actions.force_tokens("Z")
        """,
    )
    said = live.chat(COUNT, name, stop=["YZ"]).json()["choices"][0]
    assert said["message"]["content"].endswith("X")
    assert said["stop_reason"] == "YZ"


def test_a_mod_may_go_on_past_the_end_of_sequence(live: Live) -> None:
    name = mod_that(
        live,
        """
        if isinstance(event, Added) and not event.forced and first_end(event, tokenizer):
            return actions.force_tokens(" And then?")
        """.replace(
            "first_end(event, tokenizer)",
            "event.added_tokens[-1] == tokenizer.eos_token_id and first(event)",
        ),
    )
    said = live.say("What is the capital of France?", name)
    assert said.startswith("The capital of France is Paris. And then?")
    assert "<|" not in said


def test_a_mod_may_go_on_past_a_stop_string_which_stays_out_of_the_text(live: Live) -> None:
    name = mod_that(
        live,
        """
        if isinstance(event, Added) and "5" in text(tokenizer, event.added_tokens) and first(event):
            return actions.force_tokens(", 6")
        """,
    )
    for more in ({}, {"stream": True}):
        answer = live.chat(COUNT, name, stop=["5"], **more)
        said = streamed(answer)[0][0] if more else str(choices(answer)[0]["message"]["content"])
        assert said.startswith("1, 2, 3, 4, , 6")
        assert "5" not in said


def test_max_tokens_counts_forced_tokens(live: Live) -> None:
    name = mod_that(
        live,
        """
        if isinstance(event, ForwardPass) and event.position == 0:
            return actions.force_tokens("one two three four five six seven")
        """,
    )
    answer = live.chat(COUNT, name, max_tokens=5).json()
    assert answer["usage"]["completion_tokens"] == 5
    assert answer["choices"][0]["finish_reason"] == "length"


def test_n_runs_n_sessions_of_which_each_has_its_own_seed(live: Live, rewrite: str) -> None:
    more = {"n": 4, "temperature": 1.5, "seed": 11}
    first = choices(live.chat("Tell me about cats.", rewrite, **more))
    again = choices(live.chat("Tell me about cats.", rewrite, **more))
    texts = [choice["message"]["content"] for choice in first]
    assert [choice["index"] for choice in first] == [0, 1, 2, 3]
    assert texts == [choice["message"]["content"] for choice in again]
    assert all("XYZ" in text for text in texts)
    assert len(set(texts)) > 1


def test_n_streams_every_choice(live: Live, noop: str) -> None:
    texts, reasons, _ = streamed(live.chat(COUNT, noop, n=3, stream=True, temperature=0.01))
    assert texts == {0: COUNTED, 1: COUNTED, 2: COUNTED}
    assert reasons == {0: "stop", 1: "stop", 2: "stop"}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_seed_gives_the_same_text_again_after_a_rewind(
    live: Live, rewrite: str, seed: int
) -> None:
    more = {"temperature": 1.3, "seed": seed, "max_tokens": 40}
    one, other = (live.say("Tell me about cats.", rewrite, **more) for _ in range(2))
    assert one == other


def test_a_draw_that_was_taken_back_is_not_simply_drawn_again(live: Live) -> None:
    source = """
from mods.sdk import *
tries = {}

@mod
def redraw(event, actions, tokenizer):
    if isinstance(event, Sampled) and event.position == 0:
        mine = tries.setdefault(event.request_id, [])
        mine.append(event.sampled_token)
        if len(mine) < 8:
            return actions.backtrack(1)
        return actions.force_output(f"distinct {len(set(mine))}")
"""
    name = live.upload(source)
    said = live.say("Tell me about cats.", name, temperature=2.0, seed=5)
    assert int(said.removeprefix("distinct ")) > 1


def test_a_seeded_prompt_in_chunks_does_not_hurt_the_engine(live: Live, noop: str) -> None:
    before = live.engine_processes()
    body = {
        "prompt": "cats and dogs " * 450, "temperature": 0.8, "seed": 3, "max_tokens": 12,
    }  # fmt: skip
    texts = []
    for model in (MODEL, f"{MODEL}/{noop}", MODEL):
        answer = live.post("/v1/completions", {**body, "model": model})
        assert answer.status_code == 200, answer.text
        assert answer.json()["usage"]["prompt_tokens"] > 512
        texts.append(answer.json()["choices"][0]["text"])
    assert len(set(texts)) == 1
    assert live.engine_processes() == before


def test_forced_tokens_have_no_logprob_of_their_own_and_scored_ones_do(live: Live) -> None:
    name = mod_that(
        live,
        """
        if isinstance(event, ForwardPass) and event.position == 0:
            return actions.force_tokens("Before I answer, let me think for quite a while: ")
        """,
    )
    body = {"model": f"{MODEL}/{name}", "prompt": "One, two,", "max_tokens": 30, "logprobs": 1}
    answer = live.post("/v1/completions", {**body, "temperature": 0})
    assert answer.status_code == 200, answer.text
    logprobs = answer.json()["choices"][0]["logprobs"]
    assert len(logprobs["tokens"]) == answer.json()["usage"]["completion_tokens"]
    assert logprobs["token_logprobs"][0] is None
    assert logprobs["token_logprobs"][-1] is not None
    assert "".join(logprobs["tokens"]).startswith("Before I answer")


def test_several_prompts_in_one_completion_keep_their_order(live: Live) -> None:
    name = mod_that(
        live,
        """
        if isinstance(event, Prefilled):
            asked = tokenizer.decode(list(event.context_info.tokens))
            return actions.tool_calls({"id": "c", "function": {"name": asked.strip()}})
        """,
    )
    body = {"model": f"{MODEL}/{name}", "prompt": ["alpha", "beta"], "n": 2, "max_tokens": 4}
    answer = live.post("/v1/completions", body)
    named = [c["tool_calls"][0]["function"]["name"] for c in choices(answer)]
    assert named == ["alpha", "alpha", "beta", "beta"]


def test_usage_is_right_in_a_stream(live: Live, rewrite: str) -> None:
    answer = live.chat(COUNT, rewrite, stream=True, stream_options={"include_usage": True})
    usage = streamed(answer)[2][-1]["usage"]
    whole = live.chat(COUNT, rewrite).json()["usage"]
    for key in ("completion_tokens", "sampled_tokens", "forced_tokens", "erased_tokens"):
        assert usage[key] == whole[key]


@pytest.mark.parametrize(
    "more",
    [
        {"thinking_token_budget": 5},
        {"use_beam_search": True, "n": 2},
    ],
)
def test_what_cannot_be_kept_with_mods_is_refused(
    live: Live, noop: str, more: dict[str, Any]
) -> None:
    answer = live.chat(COUNT, noop, **more)
    assert answer.status_code == 400
    assert "mods" in answer.json()["error"]["message"]


def test_tools_are_parsed_from_text_with_and_without_mods(live: Live, noop: str) -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    plain, modded = (
        choices(live.chat("What is the weather in Rome?", *mods, tools=[tool]))[0]
        for mods in ((), (noop,))
    )
    assert modded["finish_reason"] == plain["finish_reason"] == "tool_calls"
    assert modded["message"]["tool_calls"][0]["function"]["name"] == "get_weather"
