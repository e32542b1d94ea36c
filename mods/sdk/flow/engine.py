"""Runs a flow: asks a question, follows its route, and so on until a route ends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from mods.sdk.actions import Action, ActionBuilder
from mods.sdk.asking import Asking
from mods.sdk.asking.texts import ids_of
from mods.sdk.events import Added, Event, Finished, ForwardPass, Prefilled
from mods.sdk.flow.definition import FlowDefinition, questions_from
from mods.sdk.flow.errors import FlowError
from mods.sdk.flow.question import FlowQuestion
from mods.sdk.flow.routes import FlowRoute, RouteKind, as_route, route_question
from mods.sdk.flow.state import FlowState, RequestState
from mods.sdk.per_request import PerRequest

State = TypeVar("State", bound=FlowState)

MAX_STEPS_WITHOUT_ASKING = 1000
"""Routes and known answers in a row, with no question asked; one more goes round in circles."""


@dataclass
class _Run:
    """How far one request has come. over: the flow has ended, and the model goes on by itself."""

    max_steps: int | None = None
    question: FlowQuestion | None = None
    asking: Asking | None = None
    flow: FlowDefinition | None = None
    over: bool = False


class FlowEngine(Generic[State]):
    """A flow from its first question on, for all requests of a mod.

        engine = FlowEngine(entry_question=size)

        @mod
        def shop(event, actions, tokenizer):
            return engine.handle_event(event, actions, tokenizer)

    entry_question: a question or a flow. flows: those whose summaries may be asked for; by name, or
    just listed. state_factory: makes the state of a request from its id, a `RequestState` if not
    given; it is dropped when the request is over.
    """

    def __init__(
        self,
        *,
        entry_question: FlowQuestion | FlowDefinition,
        flows: Mapping[str, FlowDefinition] | Iterable[FlowDefinition] = (),
        state_factory: Callable[[str], State] | None = None,
    ) -> None:
        self.entry_question = entry_question
        listed = flows.values() if isinstance(flows, Mapping) else flows or ()
        self.flows = {flow.name: flow for flow in listed}
        factory = state_factory or cast(Callable[[str], State], RequestState)
        self._states: PerRequest[State] = PerRequest(factory)
        self._runs: PerRequest[_Run] = PerRequest(lambda _: _Run())

    def handle_event(self, event: Event, actions: ActionBuilder, tokenizer: Any) -> Action:
        """What the flow does at this event: hand it every one. Raises `FlowError`."""
        action: Action | None = None
        if isinstance(event, Prefilled):
            self._runs[event.request_id] = _Run(event.max_steps)
            self.state(event.request_id).current_question = _first(self.entry_question)
        elif isinstance(event, (ForwardPass, Added)):
            run, state = self._runs[event.request_id], self.state(event.request_id)
            if not run.over:
                action = _Turn(self, run, state, event, actions, tokenizer).take()
        elif isinstance(event, Finished):
            self._states.drop(event.request_id)
            self._runs.drop(event.request_id)
        return actions.noop() if action is None else action

    def state(self, request_id: str) -> State:
        """What the flow knows of a request, made now if there is none yet."""
        return self._states[request_id]

    _get_state = state

    def check(self) -> None:
        """Raise `FlowError` for an answer that leads nowhere, as far as routes are written out."""
        roots = [_first(self.entry_question), *(flow.root for flow in self.flows.values())]
        for root in roots:
            for question in questions_from(root):
                question.check()

    def flow_of(self, question: FlowQuestion | None) -> FlowDefinition | None:
        """The flow that a question belongs to."""
        flows = self.flows.values()
        return next((flow for flow in flows if question in flow.all_questions()), None)


class _Turn:
    """One event of one request, and what the flow does at it."""

    def __init__(
        self,
        engine: FlowEngine[Any],
        run: _Run,
        state: FlowState,
        event: ForwardPass | Added,
        actions: ActionBuilder,
        tokenizer: Any,
    ) -> None:
        self._engine, self._run, self._state = engine, run, state
        self._event, self._actions, self._tokenizer = event, actions, tokenizer
        self._steps = 0

    def take(self) -> Action | None:
        """Go on asking; once there is an answer, follow its route."""
        if self._run.asking is None:
            if isinstance(self._event, Added):
                return None
            return self._follow(route_question(self._engine.entry_question))
        action = self._ask(self._run.asking)
        return self._follow(self._answered()) if self._run.asking.done else action

    def _ask(self, asking: Asking) -> Action | None:
        if isinstance(self._event, ForwardPass):
            return asking.forward_pass(self._event, self._actions, self._tokenizer)
        return asking.added(self._event, self._actions, self._tokenizer)

    def _answered(self) -> FlowRoute:
        assert self._run.asking is not None
        assert self._run.question is not None
        return self._note(self._run.question, self._run.asking.answer)

    def _note(self, question: FlowQuestion, answer: str) -> FlowRoute:
        """Keep an answer, and say where it leads."""
        self._state.answers[question.name] = answer
        for assign in question.assignments:
            assign(self._state, answer)
        return question.resolve_route(self._state, answer)

    def _follow(self, route: FlowRoute) -> Action | None:
        """Go where a route leads, until something is to be done."""
        while True:
            self._count()
            self._state.pending_route = None
            if route.kind is not RouteKind.QUESTION:
                action = self._end(route)
                if not isinstance(action, FlowRoute):
                    return action
                route = action
                continue
            question = self._enter(route.target)
            known = question.known_answer(self._state)
            if known is None:
                return self._begin(question)
            route = self._note(question, known)

    def _enter(self, target: FlowQuestion | FlowDefinition) -> FlowQuestion:
        question = _first(target)
        if isinstance(target, FlowDefinition):
            self._run.flow = target
        self._run.question = self._state.current_question = question
        return question

    def _begin(self, question: FlowQuestion) -> Action | None:
        question.check()
        self._run.asking = Asking(question.asked(), self._run.max_steps)
        return self._ask(self._run.asking) if isinstance(self._event, ForwardPass) else None

    def _end(self, route: FlowRoute) -> Action | FlowRoute | None:
        """Leave the flow as the route says; or go on, where a tool's callback says so."""
        if route.kind is RouteKind.TOOL:
            assert route.callback is not None
            done = route.callback(self._actions, self._state, self._tokenizer)
            if done is not None and not isinstance(done, Action):
                return as_route(done)
            return self._leave(done)
        if route.kind is RouteKind.OUTPUT:
            return self._leave(self._actions.force_output(self._ids(route.message)))
        if route.kind is RouteKind.NOOP:
            return self._leave(None)
        text = self._summary(route) if route.kind is RouteKind.SUMMARY else route.message
        eos = getattr(self._tokenizer, "eos_token_id", None)
        ending = [] if eos is None else [int(eos)]
        return self._leave(self._actions.force_tokens([*self._ids(text), *ending]))

    def _leave(self, action: Action | None) -> Action | None:
        self._run.over, self._run.asking = True, None
        self._state.current_question = None
        return action

    def _summary(self, route: FlowRoute) -> str:
        flow = self._run.flow or self._engine.flow_of(self._run.question)
        return flow.summary_builder(self._state) if flow else route.message or "Flow complete."

    def _ids(self, text: str | None) -> list[int]:
        return ids_of(text or "", self._tokenizer)

    def _count(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS_WITHOUT_ASKING:
            name = self._run.question.name if self._run.question else "the entry"
            raise FlowError(
                f"the flow goes round in circles at question {name!r}: it followed"
                f" {MAX_STEPS_WITHOUT_ASKING} routes without asking anything; the last answer was"
                f" {self._state.answers.get(name)!r}"
            )


def _first(entry: FlowQuestion | FlowDefinition) -> FlowQuestion:
    return entry.root if isinstance(entry, FlowDefinition) else entry
