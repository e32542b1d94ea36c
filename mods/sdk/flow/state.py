"""What a flow knows of one request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from mods.sdk.flow.question import FlowQuestion
from mods.sdk.flow.routes import FlowRoute


class FlowState(Protocol):
    """What a state of your own must have. The engine writes all but `data` and `request_id`."""

    request_id: str
    current_question: FlowQuestion | None
    pending_route: FlowRoute | None
    answers: dict[str, str]
    data: dict[str, Any]


@dataclass
class RequestState:
    """The state where no factory makes another. data: yours."""

    request_id: str
    current_question: FlowQuestion | None = None
    pending_route: FlowRoute | None = None
    answers: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
