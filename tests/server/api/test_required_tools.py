from __future__ import annotations

from typing import Any

import pytest

from server.api.required_tools import hold_required_tools

PARAMETERS = {"type": "object"}


def chat(choice: Any, **said: Any) -> dict[str, Any]:
    function = {"name": "save", "parameters": PARAMETERS, **said}
    return {"tools": [{"type": "function", "function": function}], "tool_choice": choice}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "save"}}])
def test_a_tool_that_must_be_called_is_strict(choice: Any) -> None:
    content = chat(choice)
    assert hold_required_tools(content)
    assert content["tools"][0]["function"]["strict"] is True


@pytest.mark.parametrize("choice", [None, "auto", "none", {"type": "auto"}])
def test_a_tool_that_the_model_may_leave_alone_stays_as_it_is(choice: Any) -> None:
    content = chat(choice)
    assert not hold_required_tools(content)
    assert "strict" not in content["tools"][0]["function"]


def test_a_tool_that_says_it_is_not_strict_stays_so() -> None:
    assert not hold_required_tools(chat("required", strict=False))


def test_tools_are_found_in_the_forms_of_other_routes() -> None:
    for key in ("parameters", "input_schema"):
        content = {"tools": [{"name": "save", key: PARAMETERS}], "tool_choice": {"type": "any"}}
        assert hold_required_tools(content)
        assert content["tools"][0]["strict"] is True


@pytest.mark.parametrize("tools", [None, "save", [1], [{"function": 1}], [{"type": "web"}]])
def test_what_is_no_function_is_left_for_vllm_to_refuse(tools: Any) -> None:
    assert not hold_required_tools({"tools": tools, "tool_choice": "required"})
