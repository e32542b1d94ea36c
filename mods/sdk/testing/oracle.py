"""The reference: a plain loop, one list of tokens, mods asked round by round.

It reads the laws as literally as it can. It knows no segments, no lag, no engine; it shares
nothing with the machine but the vocabulary of events and actions. Slow, and short enough to be
believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from mods.runtime.decisions import PassedEnd, SessionSpec, Usage
from mods.runtime.seat import LoadedMod
from mods.runtime.waiting import DeadlineMissedError, Steps, may_wait
from mods.sdk.actions import (
    Action,
    ActionBuilder,
    AdjustedLogits,
    AdjustedPrefill,
    Backtrack,
    EmitError,
    ForceOutput,
    ForceTokens,
    Noop,
    ToolCalls,
    validate_action,
)
from mods.sdk.confidence import Confidence
from mods.sdk.errors import (
    BudgetExceededError,
    EmittedError,
    HostError,
    InvalidActionError,
    ModError,
    ModRaisedError,
    ReachExceededError,
)
from mods.sdk.events import (
    Added,
    ContextInfo,
    Event,
    Finished,
    FloatRow,
    ForwardPass,
    Prefilled,
    Sampled,
    look_at,
    look_away,
)
from mods.sdk.per_request import forget
from mods.sdk.testing.allowed import both, too_early
from mods.sdk.testing.chain import at_held_temperature, effective, merge_shapes, strongest
from mods.sdk.testing.clock import HARD_DEADLINE, clock
from mods.sdk.testing.judge import Verdict, judge
from mods.sdk.testing.look import PlainLook
from mods.sdk.testing.model import Model, draw
from mods.sdk.testing.outcome import Outcome
from mods.sdk.testing.stretches import Stretches
from mods.sdk.testing.tokenizer import ByteTokenizer


@dataclass
class Member:
    """A mod in the chain, and how many tokens it has promised to leave alone."""

    mod: LoadedMod
    promised: int = 0
    holding: bool = False
    temperature: float | None = None
    asleep: bool = False
    slept: list[int] | None = None
    asleep_at: float | None = None
    """The temperature of the draws through which it sleeps."""

    def hears(self, event: Event) -> Event | None:
        """The event as this mod is told of it; None for nothing."""
        if self.asleep and isinstance(event, (ForwardPass, Sampled, Added)):
            if self.slept is None or not isinstance(event, Added):
                return None
            event = replace(event, added_tokens=self.slept, forced=False, constrained=True)
            self.asleep, self.slept, self.asleep_at = False, None, None
        return event if event.name in self.mod.traits.events else None


class Over(Exception):
    """The session has ended as it should; the outcome says how."""


class Oracle:
    """One session. `run` it once."""

    def __init__(self, spec: SessionSpec, mods: Sequence[LoadedMod], model: Model) -> None:
        self.spec, self.model, self.tokenizer = spec, model, ByteTokenizer()
        self.members = [Member(mod, 0, mod.traits.reach is None) for mod in mods]
        self.reads_logits = any(mod.traits.logits for mod in mods)
        self.asks_confidence = any(mod.traits.confidence for mod in mods)
        self.prompt, self.max_tokens = spec.prompt, spec.max_tokens
        self.tokens: list[int] = []
        self.forced: list[bool] = []
        self.mods: list[str | None] = []
        """Whose each token is, None for a drawn one."""
        self.stretches = Stretches(spec)
        self.passed: list[PassedEnd] = []
        self.removed: list[int] = []
        self.erased = self.runs = self.work = 0
        self.step = -1
        self.actions: list[dict[str, Any]] = []
        self.outcome = Outcome([], "error")

    def run(self) -> Outcome:
        try:
            self._prefilled()
            while True:
                self._round()
        except Over:
            self.outcome.passed_ends = self.passed
        except ModError as error:
            self.outcome.status, self.outcome.type = error.status, error.type
            self.outcome.message, self.outcome.reason = str(error), "error"
        self._finished()
        return self.outcome

    # The events.

    def _prefilled(self) -> None:
        context = ContextInfo(tuple(self.prompt))
        member, action = self._ask(
            Prefilled(self.spec.request_id, 0, 0, self.spec.max_tokens, context)
        )
        if isinstance(action, AdjustedPrefill):
            room = self.spec.max_context - len(action.tokens)
            if room < 1:
                raise InvalidActionError("no room")
            self.prompt = action.tokens
            self.max_tokens = min(action.max_steps or self.max_tokens, room)
        self._perhaps_end(action, member)

    def _round(self) -> None:
        self.step, self.runs = self.step + 1, 0
        row = self.model.logits(self.prompt + self.tokens)
        logits = np.array(row) if self.reads_logits else None
        sure = Confidence.of_row(row) if self.asks_confidence else None
        member, action = self._ask(
            ForwardPass(self.spec.request_id, self.step, len(self.tokens), logits, sure)
        )
        self._perhaps_end(action, member)
        if isinstance(action, ForceTokens):
            return self._force(action.tokens, member)
        if isinstance(action, Backtrack):
            return self._backtrack(action, action.n, member)
        pending = self._draw(row, action if isinstance(action, AdjustedLogits) else None)
        self.work += 1
        self._check_work()
        member, action = self._ask(
            Sampled(self.spec.request_id, self.step, len(self.tokens), pending)
        )
        if not isinstance(action, Noop):
            self.erased += 1
        self._perhaps_end(action, member)
        if isinstance(action, ForceTokens):
            self._force(action.tokens, member)
        elif isinstance(action, Backtrack):
            self._backtrack(action, action.n - 1, member)
        else:
            self._enter([pending], None)

    def _force(self, tokens: Sequence[int], member: Member | None) -> None:
        self.runs += 1
        if self.runs > 64:
            raise BudgetExceededError("65 runs")
        self._enter(tokens, member)

    def _backtrack(self, action: Backtrack, n: int, member: Member | None) -> None:
        self._remove(n, member)
        if action.tokens:
            self._force(action.tokens, member)

    def _enter(self, run: Sequence[int], member: Member | None) -> None:
        """Tokens come in, up to the first end, and every mod is told."""
        entered: list[int] = []
        verdict: Verdict | None = None
        for token in run:
            self.tokens.append(token)
            self.forced.append(member is not None)
            self.mods.append(member.mod.traits.name if member else None)
            entered.append(token)
            self.stretches.take(self.tokens)
            verdict = judge(self.spec, self.max_tokens, self.tokens, self.tokenizer)
            if verdict:
                self.stretches.wake_all(self.tokens)
                break
        self._note_cut(run[len(entered) :])
        if member is not None:
            self.work += len(entered)
            self._check_work()
        removed, self.removed = tuple(self.removed), []
        actor, action = self._ask(
            Added(
                self.spec.request_id,
                self.step,
                len(self.tokens),
                entered,
                member is not None,
                removed,
                ends=verdict is not None,
            ),
            promise=True,
        )
        self._perhaps_end(action, actor)
        if isinstance(action, Backtrack):
            return self._backtrack(action, action.n, actor)
        if isinstance(action, ForceTokens):
            if len(self.tokens) < self.max_tokens:
                if verdict:
                    self.passed.append(PassedEnd(len(self.tokens) - 1, verdict.stop_string))
                return self._force(action.tokens, actor)
            self._note_cut(action.tokens)
        if verdict:
            self._end(verdict.reason, verdict.stop_reason)

    def _finished(self) -> None:
        sampled = self.forced.count(False)
        usage = Usage(sampled, self.forced.count(True), self.erased)
        self.outcome.tokens, self.outcome.prompt, self.outcome.usage = (
            self.tokens,
            self.prompt,
            usage,
        )
        event = Finished(
            self.spec.request_id,
            max(0, self.step),
            len(self.tokens),
            self.outcome.reason,
            tuple(self.tokens),
            usage.sampled,
            usage.forced,
            usage.erased,
        )
        for member in self.members:
            if "Finished" in member.mod.traits.events:
                try:
                    self._call(member, event, ActionBuilder(event, self.tokenizer))
                except Exception:
                    continue
        forget(self.spec.request_id)
        self.outcome.record = {"actions": self.actions}

    # What actions do.

    def _remove(self, n: int, member: Member | None) -> None:
        length = max(0, len(self.tokens) - n)
        if length == len(self.tokens):
            return
        assert member is not None
        if length < member.promised:
            raise ReachExceededError(f"{member.mod.traits.name} promised {member.promised}")
        self.removed = self.tokens[length:] + self.removed
        self.erased += len(self.tokens) - length
        self.tokens, self.forced = self.tokens[:length], self.forced[:length]
        self.mods = self.mods[:length]
        self.stretches.cut(length)
        self.passed = [end for end in self.passed if end.index < length]
        for each in self.members:
            each.promised = min(each.promised, length)

    def _perhaps_end(self, action: Action, member: Member | None) -> None:
        if isinstance(action, ForceOutput):
            self.erased += len(self.tokens)
            self.tokens, self.forced = list(action.tokens), [True] * len(action.tokens)
            self.mods = [member.mod.traits.name if member else None] * len(action.tokens)
            self.passed, self.outcome.replaced = [], True
            self.stretches.replaced(self.tokens)
            self._end("stop", None)
        if isinstance(action, ToolCalls):
            self.outcome.tool_calls = action.tool_calls
            self._end("tool_calls", None)
        if isinstance(action, EmitError):
            raise EmittedError(action.message)

    def _end(self, reason: str, stop_reason: int | str | None) -> NoReturn:
        self.outcome.reason, self.outcome.stop_reason = reason, stop_reason
        raise Over

    def _draw(self, row: FloatRow, shape: AdjustedLogits | None) -> int:
        shape = shape or AdjustedLogits()
        return draw(
            row if shape.logits is None else shape.logits,
            self.prompt + self.tokens,
            bias=shape.bias,
            ban={*shape.ban, *too_early(self.spec, len(self.tokens)), self.spec.sentinel},
            allow=both(shape.allow, self.stretches.allowed(self.tokens)),
            temperature=shape.token_temp,
        )

    def _check_work(self) -> None:
        if self.work > 4 * self.max_tokens + 1024:
            raise BudgetExceededError("budget")

    def _note_cut(self, tokens: Sequence[int]) -> None:
        if tokens:
            self.actions.append(
                {"step": max(0, self.step), "action": "cut", "tokens": list(tokens)}
            )

    # Asking the chain.

    def _ask(self, event: Event, promise: bool = False) -> tuple[Member | None, Action]:
        """The member that is obeyed, and its action. Afterwards, declared reaches promise."""
        meant: list[tuple[Member, Action, Action]] = []
        for each in self.members:
            action = self._answer(each, event)
            held = each.temperature if each.asleep_at is None else each.asleep_at
            warmed = at_held_temperature(event, action, held)
            if isinstance(warmed, Action) and not isinstance(warmed, Noop):
                meant.append((each, warmed, action))
        member, action, lost = obeyed([(who, what) for who, what, _ in meant])
        for who, what, own in meant:
            if not isinstance(own, Noop):
                self._note(event, who, own, any(what is each for each in lost))
        if isinstance(action, AdjustedLogits):
            self._hold([(who, what) for who, what, _ in meant])
            self._check_shape(action)
        if promise:
            for each in self.members:
                if not each.holding and each.mod.traits.reach is not None:
                    each.promised = max(each.promised, len(self.tokens) - each.mod.traits.reach)
        return member, action

    def _answer(self, member: Member, event: Event) -> Action:
        traits = member.mod.traits
        heard = member.hears(event)
        if heard is None:
            return Noop()
        event, builder = heard, ActionBuilder(heard, self.tokenizer)
        try:
            action = validate_action(event, self._call(member, event, builder))
            self._check_contents(action)
        except HostError:
            raise
        except Exception as error:
            if traits.on_error == "ignore":
                return Noop()
            if isinstance(error, InvalidActionError):
                raise
            raise ModRaisedError(f"{traits.name}: {error}") from error
        if builder.warmed:
            member.temperature = builder.held
            self._note_temperature(event, member, builder.held)
        if builder.holding is not None:
            member.holding = builder.holding or traits.reach is None
            if not builder.holding:
                member.promised = max(member.promised, len(self.tokens))
        return effective(event, action)

    def _call(self, member: Member, event: Event, builder: ActionBuilder) -> object:
        """What the author's function answers, however long it waits."""
        skip = self.spec.skip_special_tokens
        look_at(event, PlainLook(list(self.tokens), list(self.mods), self.tokenizer, skip))
        try:
            answer = member.mod.handler(event, builder, self.tokenizer)
            if may_wait(member.mod.handler):
                return clock().run(self._waited(member, answer))
            return answer
        finally:
            look_away(event)

    async def _waited(self, member: Member, answer: Any) -> object:
        limit = max(HARD_DEADLINE, member.mod.traits.deadline or 0.0)
        try:
            return await Steps(answer, lambda: None, lambda: None, limit)
        except DeadlineMissedError:
            raise HostError(f"{member.mod.traits.name} waited longer than {limit} s") from None

    def _check_contents(self, action: Action) -> None:
        ids = list(getattr(action, "tokens", ()))
        if isinstance(action, AdjustedLogits):
            ids += [*action.bias, *action.ban, *(action.allow or ())]
            if action.logits is not None and len(action.logits) != self.spec.vocabulary:
                raise InvalidActionError("width")
        if any(not 0 <= token < self.spec.vocabulary for token in ids):
            raise InvalidActionError("a token that is none")

    def _hold(self, shapes: Sequence[tuple[Member, Action]]) -> None:
        """Constraints of several mods all hold."""
        for member, shape in shapes:
            if isinstance(shape, AdjustedLogits) and shape.constraint is not None:
                sleeper = member if shape.until_complete else None
                self.stretches.hold(shape.constraint, len(self.tokens), sleeper)
                if sleeper is not None:
                    member.asleep_at = shape.token_temp

    def _check_shape(self, shape: AdjustedLogits) -> None:
        allow = both(shape.allow, self.stretches.allowed(self.tokens))
        if allow is not None and not allow - shape.ban - {self.spec.sentinel}:
            raise InvalidActionError("nothing is left to draw")

    def _note_temperature(self, event: Event, member: Member, temperature: float | None) -> None:
        self._note(event, member, Noop(), False)
        self.actions[-1].update(action="temperature", temperature=temperature)

    def _note(self, event: Event, member: Member, action: Action, lost: bool) -> None:
        self.actions.append(
            {
                "step": event.step,
                "event": event.name,
                "position": event.position,
                "mod": member.mod.traits.name,
                "action": action.name,
                "tokens": list(getattr(action, "tokens", ())),
                "n": getattr(action, "n", None),
                "overridden": lost,
            }
        )


def obeyed(said: Sequence[tuple[Member, Action]]) -> tuple[Member | None, Action, list[Action]]:
    """Who acts, what is done, and what lost."""
    best = strongest([action for _, action in said])
    actor = next((member for member, action in said if action is best), None)
    if isinstance(best, AdjustedLogits):
        shapes = [action for _, action in said if isinstance(action, AdjustedLogits)]
        rows = [shape for shape in shapes if shape.logits is not None]
        warm = [shape for shape in shapes if shape.token_temp is not None]
        return actor, merge_shapes(shapes), [*rows[1:], *warm[1:]]
    return actor, best, [action for _, action in said if action is not best]
