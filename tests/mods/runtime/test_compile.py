"""Traits say what a source is able to do; what it never names, it cannot do."""

from __future__ import annotations

import pytest

from mods.runtime.compile import infer_traits, names_in
from mods.sdk.events import EVENTS

QUIET = '''"""Never has to backtrack."""
from mods.sdk import mod, Added

@mod
def quiet(event, actions, tokenizer):
    # actions.backtrack(1)
    if isinstance(event, Added):
        return actions.force_tokens("x")
    return actions.noop()
'''


def test_a_source_that_never_names_a_take_back_reaches_nothing() -> None:
    traits = infer_traits("quiet", [QUIET])
    assert (traits.reach, traits.logits) == (0, False)
    assert traits.events == frozenset(EVENTS)


@pytest.mark.parametrize(
    "line",
    [
        "actions.backtrack(1)",
        "take = actions.backtrack",
        "'backtrack'",
        "getattr(actions, 'backtrack')(1)",
        "getattr(actions, 'back' + 'track')(1)",
        "pick = getattr",
        "actions.__getattribute__(name)",
        "operator.methodcaller(name, 1)(actions)",
        "vars(type(actions))[name]",
        "type(actions).__dict__[name]",
        "eval(code)",
        "exec(code)",
        "from mods.sdk import Backtrack",
        "from mods.sdk.actions import Backtrack as Shape",
        "import mods.sdk.actions as a; a.Backtrack(1)",
        "Action.__subclasses__()",
        "LEGAL['Added'][2](1)",
        "from quote_mod_sdk import self_prompt_mod",
        "from quote_mod_sdk.flow import FlowEngine as F",
        "import quote_mod_sdk.self_prompt as s",
        "match actions:\n    case Builder(backtrack=take): take(1)",
    ],
)
def test_a_source_that_could_take_back_has_no_bound(line: str) -> None:
    assert infer_traits("able", [QUIET, line]).reach is None


def test_getattr_with_a_written_out_name_is_that_name_only() -> None:
    line = "getattr(event, 'added_tokens', [])"
    assert infer_traits("quiet", [line]).reach == 0
    assert names_in(line) == {"event", "added_tokens"}


@pytest.mark.parametrize(
    "line", ["event.logits", "event.top_k_logprob(3)", "getattr(event, name)", "x['logits']"]
)
def test_a_source_that_could_read_logits_gets_them(line: str) -> None:
    assert infer_traits("reads", [QUIET, line]).logits


@pytest.mark.parametrize(
    "line",
    [
        "event.confidence.entropy",
        "getattr(event, 'confidence')",
        "match event:\n    case E(confidence=c): pass",
    ],
)
def test_a_source_that_asks_how_sure_the_model_is_is_told_and_fetches_no_logits(line: str) -> None:
    traits = infer_traits("asks", [QUIET, line])
    assert (traits.confidence, traits.logits) == (True, False)


def test_a_source_that_could_ask_is_told_and_one_that_does_not_is_not() -> None:
    assert infer_traits("able", [QUIET, "getattr(event, name)"]).confidence
    assert not infer_traits("quiet", [QUIET]).confidence
    assert infer_traits("quiet", [QUIET], confidence=True).confidence
    assert not infer_traits("asks", ["event.confidence"], confidence=False).confidence


def test_what_is_declared_wins() -> None:
    traits = infer_traits(
        "declared",
        ["actions.backtrack(1); event.logits"],
        events=frozenset({"Added"}),
        reach=8,
        logits=False,
        on_error="ignore",
        deadline=2.0,
    )
    assert (traits.reach, traits.logits, traits.events) == (8, False, {"Added"})
    assert (traits.on_error, traits.deadline) == ("ignore", 2.0)
