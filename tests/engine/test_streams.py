"""Streams of every route tell the truth: tool calls, errors, extensions, passed ends, removals."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest

from tests.engine.live import MODEL, Live
from tests.engine.test_actions import mod_that, shown, stream

QUESTION = "What is the capital of France?"
COUNT = "Count to ten."
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "search", "arguments": '{"q": "x"}'},
}
ROUTES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": QUESTION}]},
    "/v1/completions": {"prompt": "The capital of France is"},
    "/v1/responses": {"input": QUESTION},
    "/v1/messages": {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 32},
}


def events(live: Live, route: str, mod: str, **more: Any) -> list[dict[str, Any]]:
    """Every JSON event of a stream."""
    body = {"model": f"{MODEL}/{mod}", "stream": True, **ROUTES[route], **more}
    answer = live.post(route, body)
    assert answer.status_code == 200, answer.text
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("event", "position"), [("Prefilled", 0), ("Sampled", 0), ("Added", 3)])
def test_a_stream_carries_tool_calls_wherever_they_were_made(
    live: Live, route: str, event: str, position: int
) -> None:
    mod = mod_that(
        live,
        f"""
        if isinstance(event, {event}) and event.position == {position}:
            return actions.tool_calls({CALL!r})
        """,
    )
    text = json.dumps(events(live, route, mod))
    assert "search" in text
    assert "tool_calls" in text or "function_call" in text or "tool_use" in text


def test_the_openai_client_assembles_streamed_tool_calls(live: Live) -> None:
    mod = mod_that(live, f"if isinstance(event, Prefilled): return actions.tool_calls({CALL!r})")
    client = openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0)
    with client.chat.completions.stream(
        model=f"{MODEL}/{mod}", messages=[{"role": "user", "content": QUESTION}]
    ) as answer:
        final = answer.get_final_completion().choices[0]
    assert final.finish_reason == "tool_calls"
    assert final.message.tool_calls is not None
    assert final.message.tool_calls[0].function.name == "search"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("event", ["Prefilled", "Added"])
def test_an_error_in_a_stream_is_an_error_event(live: Live, route: str, event: str) -> None:
    mod = mod_that(live, f"if isinstance(event, {event}): return actions.emit_error('not today')")
    last = events(live, route, mod)[-1]
    assert "not today" in json.dumps(last)
    assert last.get("type") == "error" or last["error"]["code"] == 400


@pytest.mark.parametrize("route", ROUTES)
def test_an_error_before_a_stream_has_its_status(live: Live, route: str) -> None:
    mod = mod_that(live, "if isinstance(event, Prefilled): return actions.emit_error('not today')")
    answer = live.post(route, {"model": f"{MODEL}/{mod}", **ROUTES[route]})
    assert answer.status_code == 400
    assert "not today" in answer.json()["error"]["message"]


def test_forced_output_may_extend_what_was_shown(live: Live) -> None:
    mod = mod_that(
        live,
        """
        if isinstance(event, Added) and event.position == 5:
            return actions.force_output("The capital of France, yes, that one.")
        """,
    )
    said = "".join(shown(stream(live, QUESTION, mod)))
    assert said == "The capital of France, yes, that one."


def test_forced_output_may_not_contradict_what_was_shown(live: Live) -> None:
    mod = mod_that(
        live,
        "if isinstance(event, Added) and event.position == 5: return actions.force_output('No.')",
        "(reach=0)",
    )
    assert live.say(QUESTION, mod) == "No."
    error = stream(live, QUESTION, mod)[-1]["error"]
    assert error["type"] == "reach_exceeded"


@pytest.mark.parametrize("text", ["", "!"])
def test_a_stream_of_little_text_still_finishes(live: Live, text: str) -> None:
    mod = mod_that(live, f"if isinstance(event, Prefilled): return actions.force_output({text!r})")
    got = stream(live, QUESTION, mod)
    assert "".join(shown(got)) == text
    assert got[-1]["choices"][0]["finish_reason"] == "stop"


def test_a_passed_stop_string_stays_out_of_a_stream(live: Live) -> None:
    mod = mod_that(
        live,
        """
        if isinstance(event, Added) and "France" in tokenizer.decode(event.added_tokens):
            if first(event):
                return actions.force_tokens("!!")
        """,
    )
    whole = live.say(QUESTION, mod, stop=["France"])
    assert "France" not in whole
    assert "!!" in whole
    assert "".join(shown(stream(live, QUESTION, mod, stop=["France"]))) == whole


@pytest.mark.parametrize("stop", ["5", ", 4", "7, 8"])
def test_tokens_at_once_and_stop_strings_agree(live: Live, stop: str) -> None:
    mod = mod_that(live, "return actions.noop()")
    got = stream(live, COUNT, mod, stop=[stop], stream_removed=True)
    text = ""
    for event in got:
        assert "error" not in event, event
        for choice in event["choices"]:
            removed = choice["delta"].get("removed")
            text = text[: len(text) - len(removed["text"])] if removed else text
            text += choice["delta"].get("content") or ""
    assert text == live.say(COUNT, stop=[stop])


def test_responses_print_logprobs_of_forced_tokens(live: Live) -> None:
    mod = mod_that(
        live,
        """
        if isinstance(event, ForwardPass) and event.position == 0:
            return actions.force_tokens("Before I answer, let me think for quite a while: ")
        """,
    )
    body = {
        "model": f"{MODEL}/{mod}", "input": QUESTION, "top_logprobs": 1, "temperature": 0,
        "include": ["message.output_text.logprobs"],
    }  # fmt: skip
    answer = live.post("/v1/responses", body)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "", "mods": ["nobody"]}, 404),
        ({"model": MODEL, "mods": "nobody"}, 400),
        ({"model": MODEL + "/"}, 400),
        ({"model": "other/model", "mods": ["nobody"]}, 400),
        ({"model": f"{MODEL}/a++b"}, 400),
    ],
)
def test_mods_that_cannot_be_understood_are_refused(
    live: Live, body: dict[str, Any], status: int
) -> None:
    answer = live.post("/v1/completions", {"prompt": "x", **body})
    assert answer.status_code == status, answer.text


def test_escaped_names_are_not_overlooked(live: Live) -> None:
    payload = f'{{"model":"{MODEL}","prompt":"x","m\\u006fds":["nobody"]}}'
    answer = httpx.post(
        f"{live.url}/v1/completions",
        content=payload,
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 404


def test_counting_tokens_takes_a_model_with_mods(live: Live) -> None:
    mod = mod_that(live, "return actions.noop()")
    answer = live.post("/tokenize", {"model": f"{MODEL}/{mod}", "prompt": "Count to ten."})
    assert answer.status_code == 200, answer.text
    assert answer.json()["count"] > 0
    assert live.post("/tokenize", {"model": f"{MODEL}/nobody", "prompt": "x"}).status_code == 404


def test_what_a_host_cannot_be_told_costs_that_request_alone(live: Live) -> None:
    mod = mod_that(live, "return actions.noop()")
    tool = {"type": "function", "function": {"name": "f", "parameters": {"maximum": 2**64}}}
    assert live.chat(COUNT, mod, tools=[tool]).status_code == 422
    assert live.say(COUNT, mod) == live.say(COUNT)
