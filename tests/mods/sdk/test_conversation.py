"""What a mod learns of its request: messages, tool calls with their answers, and schemas."""

from __future__ import annotations

import contextvars
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from mods.sdk.conversation import enter, get_conversation, get_schemas, tool_call_pairs


@dataclass
class Asked:
    request_id: str = "one"
    conversation: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    response_format: dict[str, Any] | None = None


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}


def told(function: Any, asked: Asked | None, *args: Any) -> Any:
    """What a function says while this request is being handled."""

    def inside() -> Any:
        if asked is not None:
            enter(asked)
        return function(*args)

    return contextvars.Context().run(inside)


def test_the_messages_are_a_copy_of_what_the_client_sent() -> None:
    asked = Asked(conversation=[{"role": "user", "content": [{"type": "text", "text": "hi"}]}])
    got = told(get_conversation, asked)
    assert got == asked.conversation
    got[0]["content"][0]["text"] = "changed"
    assert asked.conversation[0]["content"][0]["text"] == "hi"


@pytest.mark.parametrize("function", [get_conversation, get_schemas, tool_call_pairs])
def test_outside_a_handler_there_is_nothing(function: Any) -> None:
    assert told(function, None) == []


@pytest.mark.parametrize("function", [get_conversation, get_schemas])
def test_another_request_s_are_not_to_be_had(function: Any) -> None:
    assert told(function, Asked(), "one") == []
    with pytest.raises(PermissionError, match=r"'two' is not the one that is being handled"):
        told(function, Asked(), "two")


@pytest.mark.parametrize(
    ("response_format", "expected"),
    [
        (None, []),
        ({"type": "text"}, []),
        ({"type": "json_object"}, [{"type": "object"}]),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}, [SCHEMA]),
        ({"type": "json_schema", "name": "x", "schema": SCHEMA}, [SCHEMA]),
        ({"type": "structural_tag", "tags": []}, [{"type": "structural_tag", "tags": []}]),
    ],
)
def test_schemas_are_the_response_format_s_and_then_the_tools(
    response_format: Any, expected: list[Any]
) -> None:
    assert told(get_schemas, Asked(response_format=response_format)) == expected
    asked = Asked(response_format=response_format, tools=[TOOL])
    assert told(get_schemas, asked) == [*expected, TOOL]


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"n": 1}'}}
ROUTES = {
    "chat": [
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
    ],
    "chat with parts": [
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "one"}]},
    ],
    "responses": [
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"n": 1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
    ],
    "messages": [
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {"n": 1}}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "one"}],
        },
    ],
}


@pytest.mark.parametrize("route", ROUTES)
def test_a_call_comes_with_the_text_that_answers_it_whichever_route_it_came_by(route: str) -> None:
    asked = Asked(conversation=[{"role": "user", "content": "go"}, *ROUTES[route]])
    [(call, answer)] = told(tool_call_pairs, asked)
    assert call == CALL
    assert json.loads(call["function"]["arguments"]) == {"n": 1}
    assert answer == "one"


@pytest.mark.parametrize("route", ROUTES)
def test_a_call_that_nothing_answers_yet_comes_with_none(route: str) -> None:
    assert tool_call_pairs(ROUTES[route][:1]) == [(CALL, None)]


def test_calls_keep_their_order_and_stray_answers_are_passed_over() -> None:
    second = {**CALL, "id": "c2"}
    messages = [
        {"role": "tool", "tool_call_id": "c9", "content": "stray"},
        {"role": "assistant", "tool_calls": [CALL, second, "broken", {"no": "id"}]},
        {"role": "tool", "tool_call_id": "c2", "content": {"deep": 1}},
    ]
    assert tool_call_pairs(messages) == [(CALL, None), (second, '{"deep": 1}')]
