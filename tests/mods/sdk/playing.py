"""A player of the laws for one mod: a plain loop over bytes, with real matchers and a real seat.

The model has wishes: a text that it would write, and what it would answer where the output ends
with a certain prompt. What a mod forces, allows or constrains comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from mods.runtime.compile import Traits
from mods.runtime.grammar.compile import compile_constraint
from mods.runtime.grammar.matcher import Matcher
from mods.runtime.seat import LoadedMod, Seat
from mods.sdk.actions import (
    Action,
    ActionBuilder,
    AdjustedLogits,
    Backtrack,
    EmitError,
    ForceOutput,
    ForceTokens,
    Noop,
    ToolCalls,
    validate_action,
)
from mods.sdk.events import Added, ContextInfo, Event, Finished, ForwardPass, Prefilled, Sampled
from mods.sdk.testing.masks import byte_vocabulary
from mods.sdk.testing.tokenizer import EOS, SPECIAL, ByteTokenizer

Handler = Callable[[Event, ActionBuilder, Any], object]

TOKENIZER = ByteTokenizer()
_numbers = count()


class Over(Exception):
    """The request has ended."""


@dataclass
class Played:
    """What came of a request. shown: what a stream had shown, each time it showed more."""

    reason: str = ""
    tokens: list[int] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    tool_calls: list[Any] = field(default_factory=list)
    error: str = ""
    told: list[Event] = field(default_factory=list)

    @property
    def text(self) -> str:
        return TOKENIZER.decode(self.tokens, skip_special_tokens=True)


class Player:
    """One request. plain: what the model writes. answers: by the prompt that they answer."""

    def __init__(
        self,
        handler: Handler,
        plain: str = "Plain text.",
        answers: Mapping[str, str] | None = None,
        *,
        max_tokens: int = 400,
        stop: Sequence[str] = (),
        reach: int | None = 0,
        deaf: frozenset[str] = frozenset(),
    ) -> None:
        self.handler, self.plain, self.answers = handler, plain, dict(answers or {})
        self.max_tokens, self.stop = max_tokens, stop
        self.seat = Seat(LoadedMod(handler, Traits("mod", reach=reach)), 0)  # type: ignore[arg-type]
        self.deaf = deaf
        """Events whose answers are lost, as to a stronger mod; each once."""
        self.request_id = f"request-{next(_numbers)}"
        self.step = -1
        self.out: list[int] = []
        self.removed: list[int] = []
        self.played = Played()

    def run(self) -> Played:
        try:
            context = ContextInfo((1, 2))
            self._obey(self._ask(Prefilled(self.request_id, 0, 0, self.max_tokens, context)))
            while True:
                self._round()
        except Over:
            pass
        self.played.tokens = self.out
        self._show(len(self.out))
        self._ask(
            Finished(self.request_id, self.step, len(self.out), self.played.reason, tuple(self.out))
        )
        return self.played

    # Rounds.

    def _round(self) -> None:
        self.step += 1
        action = self._ask(ForwardPass(self.request_id, self.step, len(self.out)))
        if isinstance(action, AdjustedLogits) and action.constraint is not None:
            assert action.until_complete
            return self._stretch(Matcher(compile_constraint(action.constraint), byte_vocabulary()))
        if not isinstance(action, (Noop, AdjustedLogits)):
            return self._obey(action)
        shape = action if isinstance(action, AdjustedLogits) else AdjustedLogits()
        allowed = set(range(SPECIAL)) if shape.allow is None else set(shape.allow)
        token = self._draw(allowed - shape.ban)
        pending = self._ask(Sampled(self.request_id, self.step, len(self.out), token))
        if isinstance(pending, Noop):
            return self._enter([token], forced=False)
        assert isinstance(pending, ForceTokens), "the player takes nothing back at Sampled"
        return self._obey(pending)

    def _stretch(self, matcher: Matcher) -> None:
        """Draw until the constraint is complete, or the request ends in it."""
        start = len(self.out)
        while True:
            row = byte_vocabulary().row()
            matcher.fill(row)
            token = self._draw(set(byte_vocabulary().allowed(row)))
            assert matcher.consume([token]) == 1
            self.out.append(token)
            if matcher.complete or self._end():
                break
        stretch = self.out[start:]
        self._tell(stretch, forced=False, constrained=True)

    def _draw(self, allowed: set[int]) -> int:
        wish = self._wish(bytes(self.out), answering=len(allowed) < SPECIAL)
        favourite = wish[0] if wish else EOS
        return favourite if favourite in allowed else min(allowed)

    def _wish(self, text: bytes, answering: bool) -> bytes:
        """What the model would write now; where it answers, an answer that is whole ends."""
        for prompt, answer in self.answers.items():
            _, asked, said = text.rpartition(prompt.encode())
            whole = answer.encode()
            if asked and whole.startswith(said) and (answering or said != whole):
                return whole[len(said) :]
        return self.plain.encode()[len(text) :]

    def _enter(self, run: list[int], forced: bool) -> None:
        entered = []
        for token in run:
            self.out.append(token)
            entered.append(token)
            if self._end():
                break
        self._tell(entered, forced)

    def _tell(self, tokens: list[int], forced: bool, constrained: bool = False) -> None:
        end, removed, self.removed = self._end(), tuple(self.removed), []
        action = self._ask(
            Added(
                self.request_id,
                self.step,
                len(self.out),
                tokens,
                forced,
                removed,
                constrained,
                bool(end),
            )
        )
        self.seat.follow(len(self.out))
        self._show(self.seat.floor)
        if isinstance(action, Noop) or (end == "length" and isinstance(action, ForceTokens)):
            if end:
                self._finish(end)
            return
        self._obey(action)

    def _end(self) -> str:
        """How the newest token ends the request, if it does."""
        if self.out[-1] == EOS or any(TOKENIZER.decode(self.out).endswith(s) for s in self.stop):
            return "stop"
        return "length" if len(self.out) >= self.max_tokens else ""

    # Actions.

    def _ask(self, event: Event) -> Action:
        self.played.told.append(event)
        builder = ActionBuilder(event, TOKENIZER)
        action = validate_action(event, self.handler(event, builder, TOKENIZER))
        if builder.holding is True:
            self.seat.hold()
        elif builder.holding is False:
            self.seat.release(event.position)
            self._show(self.seat.floor)
        if event.name in self.deaf and not isinstance(action, Noop):
            self.deaf -= {event.name}
            return Noop()
        return action

    def _obey(self, action: Action) -> None:
        if isinstance(action, ForceTokens) and action.tokens:
            self._enter(action.tokens, forced=True)
        elif isinstance(action, Backtrack):
            length = max(0, len(self.out) - action.n)
            self.seat.check(length)
            self.removed = self.out[length:] + self.removed
            self.out = self.out[:length]
            self.seat.sink(length)
            if action.tokens:
                self._enter(action.tokens, forced=True)
        elif isinstance(action, ForceOutput):
            self.out = list(action.tokens)
            self._finish("stop")
        elif isinstance(action, ToolCalls):
            self.played.tool_calls = action.tool_calls
            self._finish("tool_calls")
        elif isinstance(action, EmitError):
            self.played.error = action.message
            self._finish("error")

    def _finish(self, reason: str) -> None:
        self.played.reason = reason
        raise Over

    def _show(self, floor: int) -> None:
        text = TOKENIZER.decode(self.out[:floor], skip_special_tokens=True)
        shown = self.played.shown
        if not shown or len(text) > len(shown[-1]):
            assert text.startswith(shown[-1] if shown else ""), (shown, text)
            shown.append(text)


def play(handler: Handler, *args: Any, **options: Any) -> Played:
    """A whole request."""
    return Player(handler, *args, **options).run()
