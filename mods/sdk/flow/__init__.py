"""Flows: questions to the model, one after the other, and where each answer leads."""

from mods.sdk.asking import EraseMode
from mods.sdk.flow.definition import FlowDefinition
from mods.sdk.flow.engine import FlowEngine
from mods.sdk.flow.errors import FlowError
from mods.sdk.flow.question import FlowQuestion
from mods.sdk.flow.routes import (
    FlowRoute,
    RouteKind,
    RouteSpec,
    RouteTarget,
    route_message,
    route_noop,
    route_output,
    route_question,
    route_summary,
    route_tool,
)
from mods.sdk.flow.state import FlowState, RequestState

__all__ = [
    "EraseMode",
    "FlowDefinition",
    "FlowEngine",
    "FlowError",
    "FlowQuestion",
    "FlowRoute",
    "FlowState",
    "RequestState",
    "RouteKind",
    "RouteSpec",
    "RouteTarget",
    "route_message",
    "route_noop",
    "route_output",
    "route_question",
    "route_summary",
    "route_tool",
]
