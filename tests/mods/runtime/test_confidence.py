"""A machine waits to be told how sure the model is where a mod asks, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from mods.runtime.compile import Traits
from mods.runtime.decisions import END_SEGMENT, LEAVE, Resume, Shape, Sureness
from mods.runtime.machine import Machine
from mods.runtime.seat import LoadedMod
from mods.sdk.actions import ActionBuilder
from mods.sdk.events import Event, ForwardPass
from mods.sdk.testing import ByteTokenizer, HashModel, ScriptedEngine, check_laws, spec_for
from mods.sdk.testing.check import TROUBLES
from mods.sdk.testing.oracle import Oracle

SURE = Sureness(0.5, [7, 9], [-0.1, -2.0])


def asking(handler: Any, **traits: Any) -> LoadedMod:
    given = {"reach": 0, "logits": False, "confidence": True, **traits}
    return LoadedMod(handler, Traits("asks", **given))


def doubtful(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
    """Where two tokens are close, take the second."""
    if isinstance(event, ForwardPass) and event.confidence.margin < 0.15:
        return actions.force_tokens([event.confidence.top(2)[1][0]])
    return actions.noop()


def test_the_mod_is_told_what_the_engine_found() -> None:
    seen: list[Any] = []

    def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, ForwardPass):
            sure = event.confidence
            seen.append((sure.entropy, sure.top(1)[0][0], round(sure.margin, 3)))
            return actions.bias({sure.tokens[0]: 1.0})
        return None

    machine = Machine(spec_for(), [asking(handler)], ByteTokenizer())
    machine.open()
    assert machine.decide(1, 0, -1, sureness=SURE) == Shape(bias={7: 1.0})
    assert seen == [(0.5, 7, 0.77)]


def test_without_it_the_segment_ends_and_the_mod_is_asked_in_the_next() -> None:
    machine = Machine(spec_for(), [asking(doubtful)], ByteTokenizer())
    assert isinstance(machine.open(), Resume)
    assert machine.step == 0, "no round may begin before the engine has computed"
    assert machine.decide(1, 0, -1) == END_SEGMENT
    answer = machine.tail(1, 0, -1)
    assert isinstance(answer, Resume)
    assert machine.decide(answer.segment, 0, -1, sureness=SURE) == LEAVE
    assert machine.step == 1


def test_a_repeat_replays_and_asks_nobody() -> None:
    machine = Machine(spec_for(), [asking(doubtful)], ByteTokenizer())
    machine.open()
    assert machine.decide(1, 0, -1, sureness=SURE) == LEAVE
    calls = machine.record.calls
    close = Sureness(2.0, [7, 9], [-1.0, -1.0])
    assert machine.decide(1, 0, -1, sureness=close) == LEAVE
    assert machine.record.calls == calls


def test_a_chain_with_logits_needs_nothing_else() -> None:
    import numpy as np

    row = np.zeros(spec_for().vocabulary, np.float32)
    machine = Machine(spec_for(), [asking(doubtful, logits=True)], ByteTokenizer())
    machine.open()
    assert machine.decide(1, 0, -1, logits=row) != END_SEGMENT


def test_a_mod_that_never_asks_waits_for_nothing() -> None:
    def idle(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        return actions.noop()

    machine = Machine(spec_for(), [asking(idle, confidence=False)], ByteTokenizer())
    machine.open()
    assert machine.decide(1, 0, -1) == LEAVE


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_mod_that_acts_on_it_keeps_the_laws_whatever_the_engine_does(trouble: Any) -> None:
    engine = ScriptedEngine(HashModel("abc .", eos_bonus=-2.0), trouble=trouble)
    check_laws([asking(doubtful)], engine=engine, max_tokens=40)


def test_the_plain_loop_comes_to_the_same_tokens() -> None:
    model = HashModel("abc .", eos_bonus=-2.0)
    spec = spec_for("hello", 40)
    outcome = ScriptedEngine(model).run(spec, [asking(doubtful)])
    assert outcome.tokens == Oracle(spec, [asking(doubtful)], model).run().tokens
    assert outcome.usage is not None
    assert outcome.usage.forced > 3, "the mod did nothing, so the test showed nothing"
