"""The reference loop has nothing else to do: where a handler waits, so does the loop."""

from __future__ import annotations

import asyncio
from typing import Any

from mods.runtime.compile import Traits
from mods.runtime.seat import LoadedMod
from mods.sdk.events import Added, ForwardPass
from server.engine.reference.loop import ReferenceLoop
from tests.server.engine.reference.asking import FRANCE, PARIS, say


async def patient(event: Any, actions: Any, tokenizer: Any) -> object:
    """Wait, and then put a word in front; and look at what has been written."""
    if isinstance(event, ForwardPass) and event.position == 0:
        await asyncio.sleep(0.02)
        return actions.force_tokens("Well. ")
    if isinstance(event, Added) and event.forced:
        await asyncio.sleep(0.02)
        assert event.text == "Well. "
    return actions.noop()


def test_a_handler_that_waits_is_waited_for(loop: ReferenceLoop) -> None:
    mod = LoadedMod(patient, Traits("patient", reach=0, logits=False))
    assert say(loop, FRANCE, mod).text.startswith("Well. ")
    assert say(loop, FRANCE).text == PARIS
