"""What a session's mods were told, as plain data, kept only where somebody asked for it.

Each token comes with its text, decoded alone: a character in several tokens has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mods.runtime.ends import Decodes
from mods.runtime.transcript import Transcript
from mods.sdk.events import Added, Event, Finished, Prefilled, Sampled


class Chronicle:
    """Turns events into entries, while they happen."""

    def __init__(self, transcript: Transcript, tokenizer: Decodes) -> None:
        self._transcript, self._tokenizer = transcript, tokenizer

    def entry(self, event: Event) -> dict[str, Any]:
        """`event`, `step` and `position`, and what the event is about."""
        entry = {"event": event.name, "step": event.step, "position": event.position}
        match event:
            case Prefilled():
                entry["prompt_tokens"] = event.context_info.prompt_len
            case Sampled():
                (entry["token"],) = self._written([event.sampled_token])
            case Added():
                newest = self._transcript.tokens[-1:]
                entry["tokens"] = self._written(event.added_tokens)
                entry["forced"] = event.forced
                entry["mod"] = newest[0].mod if newest else None
                entry["removed"] = self._written(event.removed)
            case Finished():
                entry["reason"] = event.reason
        return entry

    def _written(self, tokens: Sequence[int]) -> list[dict[str, Any]]:
        decode = self._tokenizer.decode
        return [
            {"id": int(token), "text": decode([int(token)], skip_special_tokens=False)}
            for token in tokens
        ]
