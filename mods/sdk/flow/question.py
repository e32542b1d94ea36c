"""One question of a flow, with where each answer leads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mods.sdk.asking import EraseMode, Question
from mods.sdk.flow.errors import FlowError
from mods.sdk.flow.routes import FlowRoute, RouteSpec, resolved
from mods.sdk.strategies import ChoicesStrat, strategy_constructor


@dataclass(eq=False)
class FlowQuestion:
    """A self-prompt with a name, and the routes behind it. Every method returns the question.

        FlowQuestion("size", " How big? ", ["big", "small"]).on("big", wide).otherwise("Too small.")

    name: where its answer is kept, in `state.answers`. strategy: whatever `strategy_constructor`
    takes. completion_text: written behind an answer that stays. erase_mode: see `EraseMode`.
    """

    name: str
    prompt: str
    strategy: Any
    completion_text: str = "\n"
    erase_mode: EraseMode | str | None = EraseMode.NONE
    assignments: list[Callable[[Any, str], Any]] = field(default_factory=list)
    transitions: dict[str, RouteSpec] = field(default_factory=dict)
    branch_resolvers: list[Callable[[Any], RouteSpec]] = field(default_factory=list)
    default_route: RouteSpec = None
    auto_answer_fn: Callable[[Any], str | None] | None = None

    def __post_init__(self) -> None:
        self.strategy = strategy_constructor(self.strategy)
        self.erase_mode = EraseMode(self.erase_mode or EraseMode.NONE)

    def on(self, answer: str, target: RouteSpec) -> FlowQuestion:
        """After this answer, in whatever case, go there."""
        self.transitions[_key(answer)] = target
        return self

    def then(self, target: RouteSpec) -> FlowQuestion:
        """After any answer that nothing else speaks of, go there."""
        self.default_route = target
        return self

    def otherwise(self, target: RouteSpec) -> FlowQuestion:
        """The same as `then`, for reading behind `on`."""
        return self.then(target)

    def assign(self, function: Callable[[Any, str], Any]) -> FlowQuestion:
        """Call `function(state, answer)` with each answer, before the route is chosen."""
        self.assignments.append(function)
        return self

    def branch(self, resolver: Callable[[Any], RouteSpec]) -> FlowQuestion:
        """Where no `on` fits, go where `resolver(state)` says; None leaves it to the next."""
        self.branch_resolvers.append(resolver)
        return self

    def with_auto_answer(self, function: Callable[[Any], str | None]) -> FlowQuestion:
        """Do not ask where `function(state)` knows the answer: a text that is not empty."""
        self.auto_answer_fn = function
        return self

    def resolve_route(self, state: Any, answer: str) -> FlowRoute:
        """Where this answer leads: `on`, then `branch`, then `then`. Raises `FlowError`."""
        spec = self.transitions.get(_key(answer), self.transitions.get(_key(answer.strip())))
        for candidate in (spec, *self.branch_resolvers, self.default_route):
            route = None if candidate is None else resolved(candidate, state)
            if route is not None:
                return route
        raise self._leads_nowhere(answer)

    def check(self) -> None:
        """Raise `FlowError` if an answer is possible that leads nowhere, as far as can be told."""
        if self.default_route is not None or self.branch_resolvers:
            return
        if isinstance(self.strategy, ChoicesStrat):
            for choice in self.strategy.choices:
                if self.transitions.get(_key(choice)) is None:
                    raise self._leads_nowhere(choice)
        elif not self.transitions:
            raise FlowError(f"question {self.name!r}: no answer leads anywhere; add .then(…)")

    def asked(self) -> Question:
        """The self-prompt."""
        assert isinstance(self.erase_mode, EraseMode)
        return Question(self.prompt, self.strategy, self.completion_text, self.erase_mode)

    def known_answer(self, state: Any) -> str | None:
        """The answer that needs no asking, without spaces around it."""
        known = self.auto_answer_fn(state) if self.auto_answer_fn else None
        return known.strip() or None if isinstance(known, str) else None

    def _leads_nowhere(self, answer: str) -> FlowError:
        return FlowError(
            f"question {self.name!r}: the answer {answer!r:.100} leads nowhere; add"
            f" .on({answer!r:.40}, …) or .otherwise(…), with route_noop() to go on without the flow"
        )


def _key(answer: str) -> str:
    return answer.lower()
