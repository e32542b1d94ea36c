"""Where a flow goes after an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from mods.sdk.flow.errors import FlowError

if TYPE_CHECKING:
    from mods.sdk.flow.definition import FlowDefinition
    from mods.sdk.flow.question import FlowQuestion

RouteTarget = Any
"""A route, a question, a flow, or a text, which is a message."""

RouteSpec = Any
"""A target, or a function from the request's state to one; also to another function."""

ToolCallback = Callable[..., Any]
"""(actions, state, tokenizer) to an action, or to another target."""

_FUNCTIONS = 100
"""Functions that may return functions, one after the other."""


class RouteKind(Enum):
    """What a route does."""

    QUESTION = auto()
    MESSAGE = auto()
    SUMMARY = auto()
    OUTPUT = auto()
    TOOL = auto()
    NOOP = auto()


@dataclass(frozen=True)
class FlowRoute:
    """A step of a flow; the helpers below make it."""

    kind: RouteKind
    target: Any = None
    message: str | None = None
    callback: ToolCallback | None = None


def route_question(question: FlowQuestion | FlowDefinition) -> FlowRoute:
    """Ask this next: a question, or a flow from its first one."""
    return FlowRoute(RouteKind.QUESTION, target=question)


def route_message(text: str) -> FlowRoute:
    """Write this behind what is there, and end."""
    return FlowRoute(RouteKind.MESSAGE, message=text)


def route_summary(message: str | None = None) -> FlowRoute:
    """Write the flow's summary, and end. message: what to write outside any flow."""
    return FlowRoute(RouteKind.SUMMARY, message=message)


def route_output(text: str) -> FlowRoute:
    """Put this in the place of all output, and end."""
    return FlowRoute(RouteKind.OUTPUT, message=text)


def route_tool(callback: ToolCallback) -> FlowRoute:
    """Do what `callback(actions, state, tokenizer)` returns: an action, or another target."""
    return FlowRoute(RouteKind.TOOL, callback=callback)


def route_noop() -> FlowRoute:
    """Leave the flow: the model goes on by itself."""
    return FlowRoute(RouteKind.NOOP)


def resolved(spec: RouteSpec, state: Any) -> FlowRoute | None:
    """The route that a spec comes to for this request; None where it comes to nothing.

    Raises `FlowError` for what is no target, and lets through what an author's function raises.
    """
    for _ in range(_FUNCTIONS):
        if isinstance(spec, FlowRoute) or not callable(spec):
            return as_route(spec)
        spec = spec(state)
    raise FlowError(
        f"a route's function returned another function {_FUNCTIONS} times: {spec!r:.80}"
    )


def as_route(target: RouteTarget) -> FlowRoute | None:
    """A target as a route. Raises `FlowError` for what is none."""
    from mods.sdk.flow.definition import FlowDefinition
    from mods.sdk.flow.question import FlowQuestion

    if target is None or isinstance(target, FlowRoute):
        return target
    if isinstance(target, (FlowQuestion, FlowDefinition)):
        return route_question(target)
    if isinstance(target, str):
        return route_message(target)
    raise FlowError(
        f"a route leads to a question, a flow, a text, or what a route_… helper makes;"
        f" got {target!r:.100}"
    )
