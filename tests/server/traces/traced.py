"""A machine that also writes its trace: what a session's recorder has to hear of, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mods.runtime.decisions import SessionSpec
from mods.runtime.machine import Machine
from mods.runtime.seat import LoadedMod, Seat
from mods.sdk.actions import Action, ForceOutput
from mods.sdk.errors import ModError
from mods.sdk.events import Event
from server.traces.record import ModUse, Request
from server.traces.story import STAYED
from server.traces.trace import Trace


class TracedMachine(Machine):
    """Keeps a story: each draw, each forced run, each token taken back, and by which event."""

    def __init__(
        self, spec: SessionSpec, mods: Sequence[LoadedMod], tokenizer: Any, *more: Any
    ) -> None:
        super().__init__(spec, mods, tokenizer, *more)
        self._drop, self.output.drop_pending = self.output.drop_pending, self._dropped
        self._shorten, self.output.cut = self.output.cut, self._shortened
        self.trace = Trace(
            request=Request(
                request_id=spec.request_id,
                user_prompt_token_ids=spec.prompt,
                mods=[ModUse(mod.traits.name) for mod in mods],
            )
        )
        self.story = self.trace.story
        self.event = -1
        self.time = 0
        self._call, self.handlers.call = self.handlers.call, self._called

    async def closing(self, reason: str) -> dict[str, Any]:
        record = await super().closing(reason)
        self.story.forward_passes = self.step
        return record

    def _dropped(self) -> None:
        self.story.erase(1, self.event)
        self._drop()

    def _shortened(self, length: int) -> None:
        self.story.erase(len(self.output) - length, self.event)
        self._shorten(length)

    def _ask(self, event: Event) -> Any:
        self.event += 1
        self.time += 1000
        return super()._ask(event)

    async def _finished(self, reason: str) -> None:
        self.event += 1
        await super()._finished(reason)

    async def _called(self, seat: Seat, event: Event) -> Action:
        calls = self.record.calls
        try:
            return await self._call(seat, event)
        finally:
            if self.record.calls > calls:
                self.trace.calls.add(self.event, seat.number, 7 + self.time)

    async def _sampled(self, token: int) -> None:
        entry = len(self.story)
        self.story.sampled(token, self._round, self.time, 0.5)
        self.story.candidates([token, 1], [0.5, 0.25], 1.25)
        asked = self.event + 1
        try:
            await super()._sampled(token)
        except ModError:
            if self.event == asked and self.story.erased[entry] == STAYED:
                self.story.erased[entry] = asked
            raise

    def _append(self, run: list[int], seat: Seat | None) -> Any:
        entered, end = super()._append(run, seat)
        if seat is not None:
            self.story.forced(entered, seat.number, self._round, self.time)
        return entered, end

    def _end_by(self, action: Action, seat: Seat | None) -> bool:
        ended = super()._end_by(action, seat)
        if isinstance(action, ForceOutput) and seat is not None:
            self.story.replaced(action.tokens, seat.number, self._round, self.time)
        return ended
