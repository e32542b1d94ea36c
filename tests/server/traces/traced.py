"""A machine whose trace is made of its own tape, as the server makes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mods.runtime.decisions import SessionSpec
from mods.runtime.machine import Machine
from mods.runtime.seat import LoadedMod
from server.traces.record import ModUse, Request
from server.traces.story import SAMPLED
from server.traces.trace import Trace
from server.traces.unpacking import unpack


class TracedMachine(Machine):
    """Has a trace once it is closed."""

    def __init__(
        self, spec: SessionSpec, mods: Sequence[LoadedMod], tokenizer: Any, *more: Any
    ) -> None:
        super().__init__(spec, mods, tokenizer, *more)
        self._request = Request(
            request_id=spec.request_id,
            user_prompt_token_ids=spec.prompt,
            mods=[ModUse(mod.traits.name) for mod in mods],
        )

    @property
    def trace(self) -> Trace:
        """What is on the tape, with what the engine would have told of each draw."""
        story, calls, times, *_ = unpack(self.tape(), len(self.seats))
        start = min(times, default=0)
        story.times = [time - start for time in times]
        for entry, origin in enumerate(story.origins):
            drawn = origin == SAMPLED
            story.probabilities[entry] = 0.5 if drawn else None
            story.top_tokens.append([story.tokens[entry], 1] if drawn else [])
            story.top_probabilities.append([0.5, 0.25] if drawn else [])
            story.entropies.append(1.25 if drawn else None)
        return Trace(request=self._request, story=story, calls=calls)
