"""A tool that must be called is called with arguments that its own schema accepts.

vLLM holds the arguments of a call to the tool's schema only where the tool says `strict`. Here a
tool that `tool_choice` asks for is held to it unless it says `"strict": false`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_LEFT_TO_THE_MODEL = ("auto", "none")


def hold_required_tools(content: dict[str, Any]) -> bool:
    """Mark the tools of a request body as strict. Returns whether that changed anything.

    content: of a chat completion, a response (OpenAI's) or a message (Anthropic's); what has
    another form is left for vLLM to refuse.
    """
    choice = content.get("tool_choice")
    kind = choice.get("type") if isinstance(choice, dict) else choice
    if kind is None or kind in _LEFT_TO_THE_MODEL:
        return False
    silent = [tool for tool in _functions(content.get("tools")) if tool.get("strict") is None]
    for tool in silent:
        tool["strict"] = True
    return bool(silent)


def _functions(tools: Any) -> Iterator[dict[str, Any]]:
    """Where each tool says its parameters: in `function`, or beside its name."""
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict):
            continue
        inner = tool.get("function")
        if isinstance(inner, dict):
            yield inner
        elif "parameters" in tool or "input_schema" in tool:
            yield tool
