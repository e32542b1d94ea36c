"""Self-prompts and flows keep every law on the scripted engine, in all its moods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mods.runtime.compile import Traits
from mods.runtime.seat import LoadedMod
from mods.sdk.flow import EraseMode, FlowEngine, FlowQuestion, route_noop, route_output, route_tool
from mods.sdk.self_prompt import SelfPrompt
from mods.sdk.strategies import CharsMode, CharsStrat, ChoicesStrat, UntilEndType, UntilStrat
from mods.sdk.testing import HashModel, ScriptedEngine, TextModel, check_laws, spec_for
from mods.sdk.testing.check import TROUBLES
from tests.mods.sdk.strategies.by_token import ByToken

LONG = {"max_tokens": 80}


def loaded(handler: Callable[..., Any], reach: int | None = 0) -> LoadedMod:
    return LoadedMod(handler, Traits("asks", reach=reach, logits=False))


def ask(erase: EraseMode) -> Any:
    choices = ByToken(ChoicesStrat(["a", "ab", "bad", "d "]))
    return SelfPrompt(prompt=" Which? ", strategy=choices, completion=".", erase=erase).handle_event


def flow(erase: EraseMode) -> Any:
    def question(name: str, strategy: Any) -> FlowQuestion:
        return FlowQuestion(name, f" {name}? ", ByToken(strategy), erase_mode=erase)

    line = UntilStrat("", UntilEndType.ANYCHAR, " bc")
    last = question("last", line).then(route_noop())
    call = route_tool(lambda actions, state, tokenizer: actions.tool_calls({"name": "f"}))
    return FlowEngine(
        entry_question=question("first", ChoicesStrat(["a", "ab", "d", "c", " "]))
        .on("a", last)
        .on("ab", question("more", CharsStrat(CharsMode.ALPHA, stop=3, min=2)).then("So be it."))
        .on("c", route_output("Only this."))
        .on(" ", call)
        .otherwise(lambda state: last)
    ).handle_event


@pytest.mark.parametrize("erase", EraseMode)
@pytest.mark.parametrize("make", [ask, flow])
def test_the_laws_hold_on_random_text(make: Callable[[EraseMode], Any], erase: EraseMode) -> None:
    for trouble in TROUBLES:
        for seed in range(3):
            model = HashModel("abcd ", eos_bonus=-2.0, seed=seed)
            engine = ScriptedEngine(model, trouble=trouble)
            check_laws(loaded(make(erase)), engine=engine, prompts=["hi", "x"], **LONG)


@pytest.mark.parametrize(
    ("erase", "text"),
    [
        (EraseMode.NONE, " Which? bad.hat goes on"),
        (EraseMode.PROMPT, "badin text that goes on"),
        (EraseMode.ALL, "plain text that goes on"),
    ],
)
def test_what_is_left_is_what_was_promised(erase: EraseMode, text: str) -> None:
    plain = "plain text that goes on"
    for trouble in TROUBLES:
        model = Wishing(plain, {b" Which? ": b"bad"})
        spec = spec_for("hi", **LONG)  # type: ignore[arg-type]
        outcome = ScriptedEngine(model, trouble=trouble).run(spec, [loaded(ask(erase))])
        assert not outcome.failed, outcome.message
        assert bytes(token for token in outcome.tokens if token < 256).decode() == text
        shown = [bytes(token for token in part if token < 256) for part in outcome.shown]
        assert erase is EraseMode.NONE or not any(b"Which" in part for part in shown)
        assert len(shown) > 3


class Wishing(TextModel):
    """Writes one text, and answers prompts."""

    def __init__(self, text: str, answers: dict[bytes, bytes]) -> None:
        super().__init__(text, 2)
        self.answers = answers

    def logits(self, context: Any) -> Any:
        row = super().logits(context)
        text = bytes(token for token in context if token < 256)
        for prompt, answer in self.answers.items():
            _, asked, said = text.rpartition(prompt)
            if asked and answer.startswith(said) and said != answer:
                row[:] = 0
                row[answer[len(said)]] = 10
        return row
