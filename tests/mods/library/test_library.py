"""All stock mods: they load as uploads do, keep the laws, fit on a screen and stream."""

from __future__ import annotations

import ast

import pytest

from mods.sdk.constraints import Regex
from mods.sdk.testing import HashModel, ScriptedEngine, TextModel, check_laws
from mods.sdk.testing.check import TROUBLES
from mods.sdk.testing.rehearsal import TEXT
from tests.mods.library.writing import LIBRARY, NAMES, SEEDS, stock, written

EXPECTED = [
    "ban_phrases",
    "classify_first",
    "inject_thinking",
    "json_schema",
    "redact",
    "repair_loops",
    "replace_phrase",
    "thinking_budget",
]
TALKATIVE = (
    "As an AI language model, I utilize words. I'm sorry, but I can't. Write to ann@example.org or"
    " 555-0100. <think>Well</think> It is big and it is big and it is big and it is big and so on."
)


def test_they_are_all_here() -> None:
    assert NAMES == EXPECTED
    for name in NAMES:
        assert stock(name).traits.name == name


@pytest.mark.parametrize("name", NAMES)
def test_each_imports_only_what_authors_may_and_fits_on_a_screen(name: str) -> None:
    source = (LIBRARY / f"{name}.py").read_text()
    imported = {
        node.module or ""
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
    }
    assert {module for module in imported if module.startswith("mods")} <= {
        "mods.sdk",
        "mods.sdk.constraints",
        "mods.sdk.flow",
        "mods.sdk.phrases",
    }
    assert len(source.splitlines()) <= 105
    assert f'model="<base>/{name}"' in (ast.get_docstring(ast.parse(source)) or "")


@pytest.mark.parametrize("name", NAMES)
def test_each_declares_a_reach_so_that_text_streams(name: str) -> None:
    assert stock(name).traits.reach is not None
    assert not stock(name).traits.logits


@pytest.mark.parametrize("name", NAMES)
def test_the_laws_hold_on_random_text(name: str) -> None:
    for trouble in TROUBLES:
        for model in (HashModel("ab ", eos_bonus=-4.0), HashModel("12- @a.", eos_bonus=-4.0)):
            engine = ScriptedEngine(model, trouble=trouble)
            check_laws([stock(name)], engine=engine, prompts=["hi"], max_tokens=60)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", [TALKATIVE, TEXT])
def test_the_laws_hold_on_text_that_they_act_on(name: str, text: str) -> None:
    for trouble in TROUBLES:
        engine = ScriptedEngine(TextModel(text, 2), trouble=trouble)
        check_laws([stock(name)], engine=engine, prompts=["hi"], max_tokens=200)


@pytest.mark.parametrize("cut", [1, 2, 5, 9, 31, 32, 33])
def test_the_laws_hold_for_all_of_them_in_one_chain(cut: int) -> None:
    chain = [stock(name) for name in NAMES if name not in ("json_schema", "classify_first")]
    engine = ScriptedEngine(TextModel(TALKATIVE, 2))
    check_laws(chain, engine=engine, prompts=["hi"], max_tokens=cut)


def test_the_laws_hold_under_a_requests_constraint() -> None:
    for name in ("redact", "replace_phrase", "repair_loops"):
        check_laws([stock(name)], prompts=["hi"], constraint=Regex("[a-e]{3,40}"))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["ban_phrases", "redact", "repair_loops", "replace_phrase"])
def test_text_that_they_have_nothing_to_do_with_is_left_alone(name: str, seed: int | None) -> None:
    text = "It was 7 o'clock, né? 100 people (or 200) met; 3 + 4 = 7, and 日本 is far. " * 3
    came = written(stock(name), text, seed=seed)
    assert came.text == text
    assert came.outcome.usage is not None
    assert came.outcome.usage.forced == came.outcome.usage.erased == 0
    assert came.streamed
