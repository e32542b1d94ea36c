"""Constraints on the real engine: every kind and route, alone and with mods that take back."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jsonschema
import openai
import pytest

from tests.engine.live import MODEL, Live

CITY = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "population": {"type": "integer", "minimum": 0, "maximum": 99_999_999},
        "capital": {"type": "boolean"},
    },
    "required": ["city", "population", "capital"],
    "additionalProperties": False,
}
QUESTION = "Give me a record about Paris."

STUTTER = """
from mods.sdk import Added, mod

@mod(reach=8)
def stutter(event, actions, tokenizer):
    if isinstance(event, Added) and event.position in (4, 9, 15) and not event.forced:
        key = (event.request_id, event.position)
        if key not in seen:
            seen.add(key)
            return actions.backtrack(3)

seen = set()
"""
BREAKS = """
from mods.sdk import Added, mod

@mod
def breaks(event, actions, tokenizer):
    if isinstance(event, Added) and event.position >= 3 and not event.forced:
        return actions.force_tokens("!!")
"""
ASKS = """
from mods.sdk import Added, ForwardPass, mod

@mod
def asks(event, actions, tokenizer):
    if isinstance(event, ForwardPass) and event.position == 0:
        return actions.constrain(choice=["left", "right"], until_complete=True)
    if isinstance(event, Added) and event.constrained:
        return actions.force_tokens(" it is")
"""
HALF_WAY = """
from mods.sdk import ForwardPass, mod

@mod
def half_way(event, actions, tokenizer):
    if isinstance(event, ForwardPass) and event.position == 4:
        return actions.constrain(regex=" <[0-9]{4}>")
"""


def schema_format(schema: dict[str, Any]) -> dict[str, Any]:
    """Without free white space, of which the little model would never have enough."""
    tight = {**schema, "x-guidance": {"whitespace_flexible": False}}
    return {"type": "json_schema", "json_schema": {"name": "record", "schema": tight}}


def record_of(number: int) -> dict[str, Any]:
    """A schema like no other."""
    return {
        "type": "object",
        "properties": {
            f"first_{number}": {"enum": [f"red {number}", "green", "blue"]},
            f"second_{number}": {"type": "integer", "minimum": 0, "maximum": 10 + number},
        },
        "required": [f"first_{number}", f"second_{number}"],
        "additionalProperties": False,
    }


def answer_under(live: Live, number: int, *mods: str) -> tuple[dict[str, Any], str]:
    schema = record_of(number)
    text = live.say(
        QUESTION,
        *mods,
        response_format=schema_format(schema),
        max_tokens=200,
        temperature=0.8,
    )
    return schema, text


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_under_a_schema_validates(live: Live, stream: bool) -> None:
    client = openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0)
    asked: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": QUESTION}],
        "temperature": 0,
        "max_tokens": 200,
        "response_format": schema_format(CITY),
    }
    if stream:
        pieces = [
            chunk.choices[0].delta.content or ""
            for chunk in client.chat.completions.create(**asked, stream=True)
            if chunk.choices
        ]
        assert len(pieces) > 3
        text = "".join(pieces)
    else:
        answer = client.chat.completions.create(**asked)
        assert answer.choices[0].finish_reason == "stop"
        text = answer.choices[0].message.content or ""
    jsonschema.validate(json.loads(text), CITY)


@pytest.mark.parametrize(
    ("wanted", "holds"),
    [
        ({"regex": "[A-Z][a-z]{2,8} [0-9]"}, lambda t: re.fullmatch("[A-Z][a-z]{2,8} [0-9]", t)),
        ({"choice": ["yes", "no", "no way"]}, lambda t: t in ("yes", "no", "no way")),
        ({"json_object": True}, lambda t: t.lstrip().startswith("{")),
        ({"grammar": 'root ::= "a" [0-9]{2} "z"'}, lambda t: re.fullmatch("a[0-9]{2}z", t)),
        ({"grammar": 'start: "a" /[0-9]{2}/ "z"'}, lambda t: re.fullmatch("a[0-9]{2}z", t)),
        ({"json": record_of(3)}, lambda t: "first_3" in t),
    ],
)  # fmt: skip
def test_each_kind_holds_on_chat_and_completions(live: Live, wanted: Any, holds: Any) -> None:
    more = {"structured_outputs": wanted, "max_tokens": 120}
    assert holds(live.say(QUESTION, **more))
    body = {"model": MODEL, "prompt": "Once", "temperature": 0, **more}
    answer = live.post("/v1/completions", body)
    assert answer.status_code == 200, answer.text
    assert holds(answer.json()["choices"][0]["text"])


def test_a_required_tool_is_called_with_arguments_that_validate(live: Live) -> None:
    tools = [{"type": "function", "function": {"name": "save", "parameters": CITY}}]
    for choice in ("required", {"type": "function", "function": {"name": "save"}}):
        answer = live.chat(QUESTION, tools=tools, tool_choice=choice, max_tokens=200)
        assert answer.status_code == 200, answer.text
        (call,) = answer.json()["choices"][0]["message"]["tool_calls"]
        assert call["function"]["name"] == "save"
        jsonschema.validate(json.loads(call["function"]["arguments"]), CITY)


def test_an_answer_that_is_cut_off_says_so(live: Live) -> None:
    answer = live.chat(QUESTION, response_format=schema_format(CITY), max_tokens=4)
    assert answer.json()["choices"][0]["finish_reason"] == "length"


def test_sixty_four_schemas_at_once_with_a_mod_that_takes_back(live: Live) -> None:
    name = live.upload(STUTTER)
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda n: answer_under(live, n, name), range(64)))
    for schema, text in answers:
        jsonschema.validate(json.loads(text), schema)


def test_a_forced_run_that_breaks_the_constraint_is_a_422_that_says_where(live: Live) -> None:
    name = live.upload(BREAKS)
    answer = live.chat(QUESTION, name, response_format=schema_format(CITY), max_tokens=100)
    assert answer.status_code == 422, answer.text
    assert "breaks the constraint" in answer.text
    assert "output token" in answer.text


def test_a_mod_constrains_a_stretch_and_sleeps_through_it(live: Live) -> None:
    name = live.upload(ASKS)
    text = live.say("Which way?", name, max_tokens=12)
    assert re.match("(left|right) it is", text)


def test_a_mod_constrains_from_the_middle_on(live: Live) -> None:
    name = live.upload(HALF_WAY)
    text = live.say("Count to ten.", name, max_tokens=30)
    assert re.search(r" <\d{4}>", text)


def test_a_constraint_that_cannot_be_is_refused(live: Live) -> None:
    for wanted in ({"regex": "[a-"}, {"json": {"type": "nonsense"}}, {"grammar": "root ::= x"}):
        answer = live.chat(QUESTION, structured_outputs=wanted)
        assert 400 <= answer.status_code < 500, answer.text
    assert live.say("What is the capital of France?") == "The capital of France is Paris."


def test_several_choices_are_each_held_to_the_constraint(live: Live) -> None:
    answer = live.chat(
        QUESTION, n=3, temperature=1.0, seed=5, response_format=schema_format(record_of(1)),
        max_tokens=200,
    )  # fmt: skip
    assert len(answer.json()["choices"]) == 3
    for choice in answer.json()["choices"]:
        jsonschema.validate(json.loads(choice["message"]["content"]), record_of(1))


def test_stop_strings_and_logprobs_work_under_a_constraint(live: Live) -> None:
    wanted = {"regex": "[a-z]{4}-[a-z]{4}"}
    text = live.say(QUESTION, structured_outputs=wanted, stop=["-"], max_tokens=40)
    assert re.fullmatch("[a-z]{4}", text)
    answer = live.chat(
        QUESTION, structured_outputs=wanted, logprobs=True, top_logprobs=2, max_tokens=40
    )
    scored = answer.json()["choices"][0]["logprobs"]["content"]
    assert "".join(one["token"] for one in scored if one["token"]).startswith(
        answer.json()["choices"][0]["message"]["content"][:4]
    )


def test_the_server_is_unharmed(live: Live) -> None:
    assert httpx.get(f"{live.url}/health", timeout=30).status_code == 200
