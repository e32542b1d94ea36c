"""Handlers that wait, without a process: what the machine and the kit of laws make of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mods.runtime.compile import Traits
from mods.runtime.decisions import Resume
from mods.runtime.machine import Machine
from mods.runtime.seat import LoadedMod
from mods.runtime.waiting import DeadlineMissedError, Steps, at_once, may_wait, wait_here
from mods.sdk.actions import ActionBuilder
from mods.sdk.events import Added, Event, Finished, ForwardPass, Sampled
from mods.sdk.testing import (
    ByteTokenizer,
    HashModel,
    Recorder,
    ScriptedEngine,
    TextModel,
    Trouble,
    check_laws,
    spec_for,
)
from tests.timing import in_time, since

Handle = Callable[[Event, ActionBuilder, Any], Awaitable[object]]
LONG = HashModel(eos_bonus=-30)


def mod(handler: Handle, name: str = "waits", **traits: Any) -> LoadedMod:
    return LoadedMod(handler, Traits(name, **{"reach": None, "logits": False, **traits}))


async def pauses(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
    """Wait at many places, and force, replace and take back on the way."""
    if isinstance(event, Finished):
        return None
    await asyncio.sleep(10.0 if event.position % 3 else 0)
    if isinstance(event, ForwardPass) and event.position == 2:
        return actions.force_tokens("XY")
    if isinstance(event, Sampled) and event.position == 5:
        return actions.force_tokens("Z" * 10)
    if isinstance(event, Added) and event.step == 8:
        return actions.backtrack(3, "WW")
    return actions.noop()


def test_the_laws_hold_for_handlers_that_wait_and_no_time_is_lost() -> None:
    began = time.monotonic()
    check_laws(mod(pauses, deadline=20.0), max_tokens=20)
    assert in_time(since(began), 10), "the kit waited as long as the mod"


def test_a_chain_of_both_kinds_keeps_the_laws() -> None:
    def forces(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, ForwardPass) and event.position == 4:
            return actions.force_tokens("ab")
        return None

    one, two = (LoadedMod(forces, Traits(name, reach=0, logits=False)) for name in ("one", "two"))
    check_laws([one, mod(pauses, deadline=20.0), two])


def test_a_session_that_waits_holds_nobody_up() -> None:
    """Steps of the other session, between the event that waits and what follows it."""
    told: list[str] = []

    async def sleeper(event: Event, actions: ActionBuilder, tokenizer: Any) -> None:
        told.append(event.request_id)
        if event.request_id == "slow" and isinstance(event, Added) and event.position == 2:
            told.append("waits")
            await asyncio.sleep(0.3)
            told.append("goes on")

    chain = [mod(sleeper)]
    requests = [(spec_for("p", 40, request_id=name), chain) for name in ("slow", "fast")]
    slow, fast = ScriptedEngine(LONG).run_all(requests)
    between = told[told.index("waits") : told.index("goes on")]
    assert between.count("fast") > 20
    assert "slow" not in between
    assert len(slow.tokens) == len(fast.tokens) == 40


def test_a_wait_ends_a_segment_and_an_answer_at_once_does_not() -> None:
    async def at_three(event: Event, actions: ActionBuilder, tokenizer: Any) -> None:
        if isinstance(event, Sampled) and event.position == 3:
            await asyncio.sleep(0.05)

    outcome = ScriptedEngine(LONG).run(spec_for("p", 10), [mod(at_three)])
    assert outcome.decisions is not None
    ended = [at for at, decision in outcome.decisions if type(decision).__name__ == "EndSegment"]
    assert ended == [4]
    assert len(outcome.tokens) == 10


@pytest.mark.parametrize("abort", [2, 3, 4, 5])
def test_an_abort_during_a_wait_is_told_once_and_blames_nobody(abort: int) -> None:
    async def sleeps(event: Event, actions: ActionBuilder, tokenizer: Any) -> None:
        if not isinstance(event, Finished):
            await asyncio.sleep(0.5)

    recorder, spec = Recorder(), spec_for("p", 12)
    engine = ScriptedEngine(LONG, trouble=Trouble(abort=abort))
    outcome = engine.run(spec, recorder.chain([mod(sleeps)]))
    assert outcome.reason == "aborted"
    assert outcome.record["failures"] == []
    events = recorder.stories[spec.request_id].events
    assert [event.name for event in events].count("Finished") == 1
    assert isinstance(events[-1], Finished)


def test_a_wait_without_an_end_fails_with_the_deadline() -> None:
    async def forever(event: Event, actions: ActionBuilder, tokenizer: Any) -> None:
        if isinstance(event, Added):
            await asyncio.Event().wait()

    for deadline in (None, 30.0):
        outcome = ScriptedEngine(LONG).run(spec_for("p"), [mod(forever, deadline=deadline)])
        assert (outcome.status, outcome.type) == (424, "mod_host_error")
        assert f"hard deadline of {deadline or 1:g} s" in outcome.message
    check_laws(mod(forever))


def test_an_engine_that_knows_no_waiting_waits_where_it_is() -> None:
    async def sleeps(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, ForwardPass) and event.position == 1:
            await asyncio.sleep(0.02)
            return actions.force_tokens("Z")
        return None

    machine = Machine(spec_for("p"), [mod(sleeps)], ByteTokenizer())
    assert isinstance(machine.open(), Resume)
    machine.decide(1, 0, -1)
    decision = machine.decide(1, 1, 97)
    assert getattr(decision, "token", None) == ord("Z")
    machine.close("done")


def test_a_plain_handler_that_hands_back_a_coroutine_is_told_to_be_async() -> None:
    async def sleeps() -> None:
        await asyncio.sleep(0.1)

    handler = LoadedMod(lambda e, a, t: sleeps(), Traits("lazy", logits=False))
    outcome = ScriptedEngine(TextModel("abc", 1)).run(spec_for("p"), [handler])
    assert outcome.status == 422
    assert "lazy" in outcome.message


def test_a_refused_wait_is_an_error_that_a_handler_may_catch() -> None:
    class Once:
        def __await__(self) -> Any:
            yield

    async def careful() -> str:
        try:
            await Once()
        except RuntimeError as error:
            return str(error)
        return "it waited"

    assert "async def" in at_once(careful())

    class Never:
        def __await__(self) -> Any:
            while True:
                try:
                    yield
                except RuntimeError:
                    continue

    async def hopeless() -> None:
        await Never()

    with pytest.raises(RuntimeError, match="async def"):
        at_once(hopeless())


def test_all_calls_of_a_thread_share_a_loop() -> None:
    async def loop() -> asyncio.AbstractEventLoop:
        await asyncio.sleep(0)
        return asyncio.get_running_loop()

    assert wait_here(loop()) is wait_here(loop())


async def test_steps_are_told_of_and_the_rest_of_a_deadline_is_kept() -> None:
    told: list[str] = []

    async def two_waits() -> str:
        await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        return "done"

    def steps(seconds: float) -> Steps:
        return Steps(
            two_waits(), lambda: told.append("begins"), lambda: told.append("ends"), seconds
        )

    assert await steps(5.0) == "done"
    assert told == ["ends", "begins"] * 2
    with pytest.raises(DeadlineMissedError):
        await steps(0.015)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


def test_only_coroutine_functions_may_wait() -> None:
    assert may_wait(pauses)
    assert not may_wait(lambda event, actions, tokenizer: None)
