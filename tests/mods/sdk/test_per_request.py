"""What is kept for a request is gone after it, and ten thousand requests leave no memory behind."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest

from mods.runtime.compile import Traits
from mods.runtime.seat import LoadedMod
from mods.sdk.actions import ActionBuilder
from mods.sdk.events import Added, Event, Finished, ForwardPass
from mods.sdk.flow import FlowEngine, FlowQuestion
from mods.sdk.per_request import PerRequest, forget
from mods.sdk.self_prompt import SelfPrompt
from mods.sdk.testing import ByteTokenizer, ScriptedEngine, TextModel, spec_for

TOKENIZER = ByteTokenizer()


def test_a_value_is_made_on_first_use_from_the_request_s_id() -> None:
    kept: PerRequest[list[str]] = PerRequest(lambda request_id: [request_id])
    assert kept.get("one") is None
    kept["one"].append("more")
    assert kept["one"] == ["one", "more"]
    assert (list(kept), len(kept), "one" in kept, "two" in kept) == (["one"], 1, True, False)


def test_a_request_that_is_over_is_forgotten_everywhere_and_others_are_not() -> None:
    first: PerRequest[int] = PerRequest(len)
    second: PerRequest[int] = PerRequest(len)
    assert first["one"] + second["one"] + second["two"] == 9
    forget("one")
    forget("unknown")
    assert (list(first), list(second)) == ([], ["two"])


def test_the_runtime_says_when_a_request_is_over_after_its_last_event() -> None:
    counts: PerRequest[list[str]] = PerRequest(lambda request_id: [])
    last: list[int] = []

    def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> None:
        counts[event.request_id].append(event.name)
        if isinstance(event, Finished):
            last.append(len(counts[event.request_id]))

    engine = ScriptedEngine(TextModel("abc", 2))
    for _ in range(3):
        engine.run(spec_for("hi"), [LoadedMod(handler, Traits("counts", logits=False))])
    assert last == [14, 14, 14]
    assert len(counts) == 0


def ask_and_refresh() -> Callable[[str], None]:
    ask = SelfPrompt(prompt="Which? ", strategy=["a", "b"], erase="all")

    def request(request_id: str) -> None:
        ask.refresh_responses([request_id, "other"], request_id=request_id)
        tell(ask.handle_event, request_id, f"{request_id}", 7)

    return request


def flow() -> Callable[[str], None]:
    last = FlowQuestion("last", "Sure? ", ["yes"], erase_mode="all").then("Done.")
    engine = FlowEngine(
        entry_question=FlowQuestion("q", "Which? ", ["a"], erase_mode="all").then(last)
    )
    return lambda request_id: tell(engine.handle_event, request_id, "a", 7)


def unforwarded() -> Callable[[str], None]:
    """A mod that hands on everything but the end: the runtime says that the request is over."""
    ask = SelfPrompt(prompt="Which? ", strategy=["a", "b"])

    def request(request_id: str) -> None:
        tell(ask.handle_event, request_id, "a", 7, finished=False)
        forget(request_id)

    return request


def tell(handler: Any, request_id: str, answer: str, prompt: int, finished: bool = True) -> None:
    """A request's events, as far as its first answer."""
    said = list(answer.encode())
    events: list[Event] = [
        ForwardPass(request_id, 0, 0),
        Added(request_id, 0, prompt, list(b"Which? "), True),
        ForwardPass(request_id, 1, prompt),
        Added(request_id, 1, prompt + len(said), said, False, (), True),
    ]
    for event in [*events, *([Finished(request_id, 1, 0, "stop")] if finished else [])]:
        handler(event, ActionBuilder(event, TOKENIZER), TOKENIZER)


@pytest.mark.parametrize("kind", [ask_and_refresh, flow, unforwarded])
def test_ten_thousand_requests_leave_no_memory_behind(
    kind: Callable[[], Callable[[str], None]],
) -> None:
    request = kind()
    for number in range(500):
        request(f"warm-{number}")
    gc.collect()
    before = sys.getallocatedblocks()
    for number in range(10_000):
        request(f"many-{number}")
    gc.collect()
    grown = sys.getallocatedblocks() - before
    assert grown < 1_000, f"{grown} blocks of memory more after 10,000 requests"
