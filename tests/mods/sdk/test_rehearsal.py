"""A rehearsal shows one run and judges many; its author is told what is wrong, and how it came."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from mods.runtime.compile import Traits
from mods.runtime.rehearsal import Scene
from mods.runtime.seat import LoadedMod
from mods.sdk.actions import ActionBuilder
from mods.sdk.events import Added, Event, Finished, ForwardPass, Sampled
from mods.sdk.testing import rehearse
from tests.timing import in_time, since

WRITTEN = Scene(text="No! Yes!", max_tokens=20)


def mod(handler: Any, name: str = "mod", **traits: Any) -> LoadedMod:
    return LoadedMod(handler, Traits(name, **{"reach": None, "logits": False, **traits}))


def calm(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
    if isinstance(event, Sampled) and event.sampled_token == ord("!"):
        return actions.force_tokens(".")
    return actions.noop()


def test_the_run_that_is_shown_has_its_tokens_with_their_origins() -> None:
    came = rehearse([mod(calm, "calm")], WRITTEN)
    assert "".join(piece.text for piece in came.tokens) == "No. Yes."
    assert [piece.text for piece in came.tokens if piece.mod == "calm"] == [".", "."]
    assert (came.reason, came.status) == ("stop", 200)
    assert (came.usage.sampled, came.usage.forced, came.usage.erased) == (7, 2, 2)
    assert [(entry["position"], entry["action"]) for entry in came.actions] == [
        (2, "force_tokens"),
        (7, "force_tokens"),
    ]


def test_a_lawful_mod_is_judged_in_many_runs_and_nothing_is_broken() -> None:
    came = rehearse([mod(calm, "calm")], WRITTEN)
    assert came.broken is None
    assert came.complete
    assert came.runs == 16
    assert came.acted["calm: force_tokens"] > 16
    assert came.calls > 16 * 10


def test_a_mod_that_raises_breaks_law_8_with_the_story_that_leads_there() -> None:
    def raises(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, Added) and event.position == 3:
            raise KeyError("gone")
        return None

    came = rehearse([mod(raises, "raises")], WRITTEN)
    assert came.status == 422
    assert came.broken is not None
    assert came.broken.law == 8
    assert "mod 'raises' at Added (step 2) raised KeyError: 'gone'" in came.broken.what
    assert came.broken.story[0].startswith("Prefilled")
    assert "    raises: raised KeyError: 'gone'" in came.broken.story
    assert came.broken.story[-1].startswith("Finished")


def test_a_reach_that_is_too_short_is_law_10_and_a_run_without_an_end_law_9() -> None:
    def takes(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        return actions.backtrack(3) if isinstance(event, Added) and event.position == 6 else None

    came = rehearse([mod(takes, reach=1)], WRITTEN)
    assert came.broken is not None
    assert came.broken.law == 10

    def again(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        return actions.force_tokens("x") if isinstance(event, Added) else None

    came = rehearse([mod(again)], Scene(max_tokens=200))
    assert came.broken is not None
    assert came.broken.law == 9


def test_an_answer_that_depends_on_chance_is_law_0() -> None:
    """A mod must answer the same story in the same way, or nothing that was found can be told."""
    calls = [0]

    def fickle(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        calls[0] += 1
        if isinstance(event, ForwardPass) and calls[0] % 7 == 0:
            return actions.force_tokens("?")
        return None

    came = rehearse([mod(fickle)], WRITTEN)
    assert came.broken is not None
    assert came.broken.law == 0
    assert any("force_tokens('?')" in line for line in came.broken.story)


def test_an_error_that_a_mod_emits_is_no_fault_of_its() -> None:
    def refuses(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        return actions.emit_error("no") if isinstance(event, Sampled) else None

    came = rehearse([mod(refuses)], WRITTEN)
    assert (came.status, came.message, came.broken) == (400, "no", None)


def test_a_mod_that_waits_is_rehearsed_in_no_time() -> None:
    async def waits(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if not isinstance(event, Finished):
            await asyncio.sleep(0.5)
        return calm(event, actions, tokenizer)

    began = time.monotonic()
    came = rehearse([mod(waits, "waits")], Scene(text="No!", max_tokens=8, laws=False))
    assert in_time(since(began), 5)
    assert "".join(piece.text for piece in came.tokens) == "No."
    assert came.runs == 0


def test_no_run_is_begun_when_the_time_is_over() -> None:
    came = rehearse([mod(calm)], Scene(seconds=0.0))
    assert (came.runs, came.complete) == (0, False)


def test_whoever_watches_is_told_of_every_call() -> None:
    class Watch:
        deadline = 1.0
        begun: list[int]

        def __init__(self) -> None:
            self.begun, self.ended = [], 0

        def call_begins(self, seat: int) -> None:
            self.begun.append(seat)

        def call_ends(self) -> None:
            self.ended += 1

    watch = Watch()
    came = rehearse([mod(calm, "one"), mod(calm, "two")], WRITTEN, watch)
    assert watch.ended == len(watch.begun) > 2 * came.calls / 2
    assert set(watch.begun) == {0, 1}
