"""A flow: questions that belong together, and what they add up to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mods.sdk.flow.question import FlowQuestion
from mods.sdk.flow.routes import FlowRoute


@dataclass(eq=False)
class FlowDefinition:
    """A flow by name, from its first question. summary_builder: its text from the state.

    FlowDefinition("order", size, lambda state: f"One {state.answers['size']} tea.")
    """

    name: str
    root: FlowQuestion
    summary_builder: Callable[[Any], str]

    def all_questions(self) -> list[FlowQuestion]:
        """The questions that can be reached by routes that are written out, the root first.

        A route that a function returns is not known before there is a request.
        """
        return questions_from(self.root)


def questions_from(root: FlowQuestion) -> list[FlowQuestion]:
    """A question and those behind it, as far as routes are written out."""
    found: list[FlowQuestion] = []
    waiting = [root]
    while waiting:
        question = waiting.pop()
        if question not in found:
            found.append(question)
            waiting += reversed(list(_next(question)))
    return found


def _next(question: FlowQuestion) -> Iterator[FlowQuestion]:
    for spec in (*question.transitions.values(), question.default_route):
        target = spec.target if isinstance(spec, FlowRoute) else spec
        if isinstance(target, FlowDefinition):
            target = target.root
        if isinstance(target, FlowQuestion):
            yield target
