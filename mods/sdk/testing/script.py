"""A mod as data: what to answer at its n-th call. Property tests make these by the thousand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from mods.runtime.compile import Traits
from mods.runtime.seat import LoadedMod
from mods.sdk.actions import LEGAL, ActionBuilder, AdjustedLogits, Noop
from mods.sdk.events import Event, ForwardPass

SAME = "same"


@dataclass(frozen=True)
class Line:
    """One answer: an action's name, with what it needs.

    kind: the name of an action, or `raise`. steer: `hold` or `release`, done first; so is
    steady, a temperature that holds (`SAME` leaves it as it is). legal: do nothing where the
    action is not legal (otherwise return it all the same).
    """

    kind: str = "noop"
    tokens: tuple[int, ...] = ()
    n: int = 1
    bias: Mapping[int, float] = field(default_factory=dict)
    ban: frozenset[int] = frozenset()
    allow: frozenset[int] | None = None
    temperature: float | None = None
    row: bool = False
    max_steps: int | None = None
    steer: str | None = None
    steady: float | str | None = SAME
    legal: bool = True


@dataclass(frozen=True)
class Script:
    """Lines by the number of the call. The same script always makes the same mod.

    waits: seconds to wait before the answer to some calls; None for a mod that is not `async`.
    """

    lines: Mapping[int, Line]
    name: str = "scripted"
    reach: int | None = None
    logits: bool = False
    on_error: str = "fail"
    waits: Mapping[int, float] | None = None

    def mod(self) -> LoadedMod:
        """A fresh mod that has not been called yet."""
        calls = count()

        def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
            return perform(self.lines.get(next(calls), Line()), event, actions)

        async def waits(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
            call = next(calls)
            seconds = (self.waits or {}).get(call)
            if seconds is not None:
                await asyncio.sleep(seconds)
            return perform(self.lines.get(call, Line()), event, actions)

        traits = Traits(self.name, reach=self.reach, logits=self.logits, on_error=self.on_error)
        return LoadedMod(handler if self.waits is None else waits, traits)


def perform(line: Line, event: Event, actions: ActionBuilder) -> object:
    """Do what a line says; where that is not legal and the line minds, do nothing."""
    if line.steer:
        getattr(actions, line.steer)()
    if line.steady != SAME:
        actions.temperature(line.steady)  # type: ignore[arg-type]
    if line.kind == "raise":
        raise ScriptedError("the script says so")
    allowed = {kind.name for kind in LEGAL[event.name]}
    if line.legal and line.kind not in allowed:
        return Noop()
    return _action(line, event, actions)


class ScriptedError(Exception):
    """What a script raises."""


def _action(line: Line, event: Event, actions: ActionBuilder) -> object:
    tokens = list(line.tokens)
    if line.kind == "adjust_logits":
        return _shape(line, event)
    if line.kind == "adjust_prefill":
        return actions.adjust_prefill(tokens or [1], line.max_steps)
    if line.kind == "backtrack":
        return actions.backtrack(line.n, tokens)
    if line.kind == "tool_calls":
        return actions.tool_calls({"id": "call_1", "function": {"name": "f", "arguments": "{}"}})
    if line.kind == "emit_error":
        return actions.emit_error("the script says so")
    if line.kind in ("force_tokens", "force_output"):
        return getattr(actions, line.kind)(tokens)
    return Noop()


def _shape(line: Line, event: Event) -> AdjustedLogits:
    """Edits; the row, where asked for and readable, is the model's turned around."""
    row = None
    if line.row and isinstance(event, ForwardPass) and event._logits is not None:
        row = np.ascontiguousarray(event.logits.to_numpy()[0][::-1])
    return AdjustedLogits(
        logits=row,
        bias=dict(line.bias),
        ban=line.ban,
        allow=line.allow,
        token_temp=line.temperature,
    )
