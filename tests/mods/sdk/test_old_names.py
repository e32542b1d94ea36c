"""Mods written against `quote_mod_sdk` find every name, and each is the SDK's own object."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import mods.sdk
from mods.runtime.old_names import install
from mods.sdk.actions import ActionBuilder
from mods.sdk.events import Event
from mods.sdk.testing import ByteTokenizer

NAMES = """mod create_mod ActionBuilder for_event InvalidActionError validate_action
Prefilled ForwardPass Sampled Added Noop AdjustedPrefill AdjustedLogits ForceTokens Backtrack
ForceOutput ToolCalls EmitError tokenize serialize_mod get_conversation tool_call_pairs
get_schemas self_prompt_mod""".split()  # noqa: SIM905
SPELLINGS = {
    "PrefilledEvent": "Prefilled",
    "ForwardPassEvent": "ForwardPass",
    "SampledEvent": "Sampled",
    "AddedEvent": "Added",
    "ModEvent": "Event",
    "ModAction": "Action",
}
SUBMODULES = ["actions", "conversation", "serialization", "tokenizer", "mod"]


@pytest.fixture(autouse=True, scope="module")
def _installed() -> None:
    install()


@pytest.mark.parametrize("package", ["quote_mod_sdk", "sdk.quote_mod_sdk"])
@pytest.mark.parametrize("name", NAMES)
def test_an_old_name_is_the_same_object(package: str, name: str) -> None:
    assert getattr(importlib.import_module(package), name) is getattr(mods.sdk, name)


@pytest.mark.parametrize(("old", "new"), SPELLINGS.items())
def test_an_old_spelling_is_the_same_class(old: str, new: str) -> None:
    for package in ("quote_mod_sdk", "shared.types"):
        assert getattr(importlib.import_module(package), old) is getattr(mods.sdk, new)


@pytest.mark.parametrize("name", SUBMODULES)
def test_a_submodule_holds_the_same_objects(name: str) -> None:
    module = importlib.import_module(f"quote_mod_sdk.{name}")
    assert module is importlib.import_module(f"sdk.quote_mod_sdk.{name}")
    shared = set(module.__all__) & set(mods.sdk.__all__)
    assert shared
    assert all(getattr(module, each) is getattr(mods.sdk, each) for each in shared)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self_prompt", "mods.sdk.self_prompt"),
        ("flow", "mods.sdk.flow"),
        ("strategies", "mods.sdk.strategies"),
        ("strategies.strategy_constructor", "mods.sdk.strategies"),
        ("strategies.base", "mods.sdk.strategies"),
        ("strategies.primitives", "mods.sdk.strategies"),
    ],
)
def test_strategies_self_prompts_and_flows_are_the_same_objects(old: str, new: str) -> None:
    module, theirs = importlib.import_module(f"quote_mod_sdk.{old}"), importlib.import_module(new)
    assert module is importlib.import_module(f"sdk.quote_mod_sdk.{old}")
    shared = [name for name in module.__all__ if name in theirs.__all__]
    assert shared
    for name in shared:
        if name != "strategy_constructor" or old != "strategies":
            assert getattr(module, name) is getattr(theirs, name)


def test_the_names_of_strategies_are_where_older_mods_import_them_from() -> None:
    from quote_mod_sdk.strategies.base import RuntimeState, Strategy, decode_token
    from quote_mod_sdk.strategies.primitives import CharsMode, CharsStrategy, UntilEndType
    from quote_mod_sdk.strategies.strategy_constructor import (
        CharsStrat,
        ChoicesStrat,
        ListStrat,
        StrategyConstructor,
        UntilStrat,
    )

    made = [
        ChoicesStrat(["a"]),
        CharsStrat(CharsMode.NUMERIC, min=2, stop=2),
        UntilStrat("<a>", UntilEndType.TAG, "</a>"),
        ListStrat(elements=ChoicesStrat(["a"]), open="[", close="]", wrap='"', sep=", ", max=2),
    ]
    assert all(isinstance(each, StrategyConstructor) for each in made)
    assert isinstance(CharsStrategy(CharsMode.STRING, stop="\n", min_chars=1), Strategy)
    assert RuntimeState
    assert decode_token(ByteTokenizer(), 97) == "a"


def test_a_strategy_that_takes_the_tokenizer_with_every_call_works_step_by_step() -> None:
    from quote_mod_sdk.strategies.primitives import CharsMode, CharsStrategy

    tokenizer, strategy = ByteTokenizer(), CharsStrategy(CharsMode.ALPHA, stop=".", min_chars=1)
    state = strategy.start(tokenizer)
    assert ord(".") not in strategy.allowed_tokens(state, tokenizer)
    for letter in "ab.":
        assert ord(letter) in strategy.allowed_tokens(state, tokenizer)
        strategy.step(state, ord(letter), tokenizer)
    assert strategy.is_complete(state)
    assert strategy.trim_answer("ab.") == "ab"


def test_mod_is_a_submodule_and_the_decorator() -> None:
    from quote_mod_sdk import mod as outer
    from quote_mod_sdk.mod import ActionBuilder as Builder
    from quote_mod_sdk.mod import mod as inner

    assert outer is inner is mods.sdk.mod
    assert Builder is ActionBuilder


def test_the_new_sdk_gives_the_decorator_and_the_module_too() -> None:
    from mods.sdk import mod as outer
    from mods.sdk.mod import mod as inner

    assert outer is inner


def test_shared_modules_hold_what_older_mods_import() -> None:
    assert importlib.import_module("shared.utils").validate_action is mods.sdk.validate_action
    conversation = importlib.import_module("shared.conversation")
    assert conversation.get_conversation is mods.sdk.get_conversation


def test_logits_may_be_wrapped_in_a_tensor() -> None:
    tensor = importlib.import_module("max.driver").Tensor
    row = np.zeros((1, 4), dtype=np.float32)
    action = ActionBuilder(Event("r", 0, 0)).adjust_logits(tensor.from_numpy(row))
    assert action.logits is not None
    assert action.logits.tolist() == [0.0] * 4


def test_every_exported_name_exists() -> None:
    for module in (mods.sdk, importlib.import_module("quote_mod_sdk")):
        assert [name for name in module.__all__ if not hasattr(module, name)] == []
        assert list(module.__all__) == sorted(module.__all__)
