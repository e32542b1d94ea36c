"""Mods written against the older SDK's strategies, self-prompts and flows do their work."""

from __future__ import annotations

from typing import Any

import pytest

from mods.runtime.load import load_chain
from mods.runtime.package import Package
from tests.mods.sdk.playing import play

BY_HAND = """
from quote_mod_sdk import mod, Prefilled, ForwardPass, Added
from quote_mod_sdk.self_prompt import SelfPrompt, EraseMode
from quote_mod_sdk.strategies.strategy_constructor import ChoicesStrat

ask = SelfPrompt(
    prompt={"text": " Rude? "},
    strategy=ChoicesStrat(["yes", "no"]),
    completion="\\n",
    erase=EraseMode.ALL,
)

@mod
def polite(event, actions, tokenizer):
    if isinstance(event, Prefilled):
        ask.handle_prefilled(event, tokenizer)
    elif isinstance(event, ForwardPass):
        action = ask.handle_forward_pass(event, actions, tokenizer)
        said = ask.answer_tokens(event.request_id)
        if said and tokenizer.decode(said) == "yes":
            return actions.force_output(tokenizer.encode("I will not say that."))
        return action
    elif isinstance(event, Added):
        ask.handle_added(event, actions, tokenizer)
    return actions.noop()
"""

DECLARED = """
from quote_mod_sdk import self_prompt_mod
from quote_mod_sdk.strategies.strategy_constructor import ChoicesStrat

chooser = self_prompt_mod(
    prompt={"text": " A or B? "},
    strategy=ChoicesStrat(["A", "B"]),
    completion={"suffix": "\\n", "force": True},
)
"""

FLOW = """
from dataclasses import dataclass, field
from typing import Any

from sdk.quote_mod_sdk import mod, ForwardPass, Added, Prefilled
from sdk.quote_mod_sdk.flow import (
    FlowEngine, FlowQuestion, route_message, route_output, route_question, route_tool,
)
from sdk.quote_mod_sdk.self_prompt import EraseMode
from sdk.quote_mod_sdk.strategies.primitives import CharsMode, UntilEndType
from sdk.quote_mod_sdk.strategies.strategy_constructor import CharsStrat, ChoicesStrat, UntilStrat

@dataclass
class State:
    request_id: str
    current_question: Any = None
    pending_route: Any = None
    answers: dict = field(default_factory=dict)
    data: dict = field(default_factory=dict)
    nights: int = 0

def book(actions, state, tokenizer):
    return actions.tool_calls({
        "id": "call_1",
        "type": "function",
        "function": {"name": "book", "arguments": '{"nights": %d}' % state.nights},
    })

def stay(state):
    return FlowQuestion(
        name="nights", prompt=" Nights: ", erase_mode=EraseMode.ALL,
        strategy=CharsStrat(CharsMode.NUMERIC, min=1, stop="\\n"),
    ).assign(lambda s, answer: setattr(s, "nights", int(answer))).then(lambda s: route_tool(book))

why = FlowQuestion(
    name="why", prompt=" Why: ", strategy=UntilStrat("<r>", UntilEndType.TAG, "</r>"),
    erase_mode=EraseMode.ALL,
).then(lambda s: route_output("Because: " + s.answers["why"][len("<r>"):-len("</r>")]))

entry = FlowQuestion(
    name="wants", prompt=" Wants a room (yes/no): ", strategy=ChoicesStrat(["yes", "no"]),
    erase_mode=EraseMode.ALL,
).on("yes", stay).on("no", route_question(why))

ENGINE = FlowEngine(entry_question=entry, state_factory=lambda rid: State(request_id=rid))

@mod
def hotel(event, actions, tokenizer):
    known = ENGINE._states.get(event.request_id) is not None
    if isinstance(event, Prefilled) and not known:
        return ENGINE.handle_event(event, actions, tokenizer)
    if isinstance(event, (ForwardPass, Added)):
        assert ENGINE._get_state(event.request_id).request_id == event.request_id
        return ENGINE.handle_event(event, actions, tokenizer)
    return actions.noop()
"""

OWN = """
from quote_mod_sdk import mod
from quote_mod_sdk.self_prompt import SelfPrompt
from quote_mod_sdk.strategies.base import Strategy, RuntimeState, decode_token, require_token_ids
from quote_mod_sdk.strategies.strategy_constructor import StrategyConstructor
from quote_mod_sdk.strategies.primitives import CharsMode, CharsStrategy

class Shout(Strategy):
    def __init__(self):
        self.inner = CharsStrategy(CharsMode.ALPHA, stop="!", min_chars=2)
    def start(self, tokenizer):
        return self.inner.start(tokenizer)
    def allowed_tokens(self, state, tokenizer):
        lower = {t for t in require_token_ids(tokenizer) if decode_token(tokenizer, t).islower()}
        return self.inner.allowed_tokens(state, tokenizer) - lower
    def disallowed_tokens(self, state, tokenizer):
        return self.inner.disallowed_tokens(state, tokenizer)
    def step(self, state, token_id, tokenizer):
        self.inner.step(state, token_id, tokenizer)
    def is_complete(self, state):
        return self.inner.is_complete(state)
    def trim_answer(self, answer):
        return self.inner.trim_answer(answer)

class ShoutStrat(StrategyConstructor):
    def into_strategy(self, tokenizer):
        return Shout()

ask = SelfPrompt(prompt={"text": "Say: "}, strategy=ShoutStrat())

@mod
def shout(event, actions, tokenizer):
    return ask.handle_event(event, actions, tokenizer)
"""


def run(source: str, plain: str, answers: dict[str, str], **options: Any) -> Any:
    [loaded] = load_chain([Package.from_source(source, path="older.py")], {})
    assert not loaded.traits.logits
    return play(loaded.handler, plain, answers, reach=loaded.traits.reach, **options)


@pytest.mark.parametrize(("answer", "text"), [("yes", "I will not say that."), ("no", "A reply.")])
def test_a_self_prompt_that_is_driven_by_hand(answer: str, text: str) -> None:
    assert run(BY_HAND, "A reply.", {" Rude? ": answer}).text == text


def test_a_self_prompt_that_is_a_whole_mod() -> None:
    played = run(DECLARED, "0123456789ab and on.", {" A or B? ": "B"})
    assert played.text == " A or B? B\nb and on."
    assert len(played.shown) > 5


def test_a_flow_with_a_state_of_its_own() -> None:
    booked = run(FLOW, "", {" (yes/no): ": "yes", " Nights: ": "3\n"})
    assert booked.tool_calls[0]["function"] == {"name": "book", "arguments": '{"nights": 3}'}
    refused = run(FLOW, "", {" (yes/no): ": "no", " Why: ": "<r>no money</r>"})
    assert refused.text == "Because: no money"


def test_a_strategy_of_one_s_own() -> None:
    assert run(OWN, "", {"Say: ": "HEY!"}).text.startswith("Say: HEY!")
    assert run(OWN, "", {"Say: ": "hey!"}).text.startswith("Say: AA!")
