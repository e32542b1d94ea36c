"""The stock mods that steer what comes: thoughts, loops, schemas, and kinds of requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mods.runtime.seat import LoadedMod
from mods.sdk.constraints import json_schema
from mods.sdk.testing import HashModel, ScriptedEngine, Trouble, check_laws, spec_for
from tests.mods.library.writing import SEEDS, stock, upload, written

THOUGHT = "<think>Let me think."


def mine(name: str, call: str, reach: int = 0) -> LoadedMod:
    return upload(
        f"from mods.library.{name} import *\nfrom mods.library import {name} as stock\n"
        f"from mods.sdk import create_mod\nmine = create_mod(stock.{call}, reach={reach})\n"
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_thought_is_begun_and_the_model_goes_on_from_there(seed: int | None) -> None:
    plan = f"{THOUGHT} It is Paris.</think>Paris."
    came = written(stock("inject_thinking"), "Paris.", plan, seed=seed)
    assert came.text == plan
    assert came.streamed


@pytest.mark.parametrize("prompt", ["Why?<think>", "Why?<think>\n"])
def test_a_thought_that_the_prompt_began_is_not_begun_twice(prompt: str) -> None:
    came = written(stock("inject_thinking"), "no", THOUGHT[7:] + " Yes.", prompt=prompt)
    assert came.text == THOUGHT[7:] + " Yes."


@pytest.mark.parametrize("cut", [1, 3, len(THOUGHT) - 1, len(THOUGHT)])
def test_max_tokens_may_cut_the_thought(cut: int) -> None:
    assert written(stock("inject_thinking"), "", max_tokens=cut).text == THOUGHT[:cut]


@pytest.mark.parametrize("prompt", ["Hi", "Hi<think>"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_thought_that_takes_too_long_is_closed(prompt: str, seed: int | None) -> None:
    hasty = mine("thinking_budget", "ThinkingBudget(12)")
    begins = "" if prompt.endswith(">") else "<think>"
    long = begins + "and then and then and then and then and then and then and then" * 3
    plans = [f"{long[:cut]}</think>The end." for cut in range(len(begins) + 12, len(long))]
    came = written(hasty, long, *plans, prompt=prompt, seed=seed)
    thought, closed, answer = came.text.partition("</think>")
    assert (closed, answer) == ("</think>", "The end.")
    assert long.startswith(thought)
    if seed is None:
        assert len(thought) == len(begins) + 12
    assert came.streamed


@pytest.mark.parametrize("seed", SEEDS)
def test_a_thought_within_its_budget_and_text_without_one_are_left_alone(seed: int | None) -> None:
    hasty = mine("thinking_budget", "ThinkingBudget(80)")
    for text in ("<think>Short.</think>" + "A long answer. " * 9, "No thought at all. " * 8):
        came = written(hasty, text, seed=seed)
        assert came.text == text
        assert came.outcome.usage is not None
        assert came.outcome.usage.forced == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_each_of_two_thoughts_has_its_budget(seed: int | None) -> None:
    hasty = mine("thinking_budget", "ThinkingBudget(60)")
    text = "<think>This takes some forty characters</think>One.<think>And so does this</think>Two."
    assert written(hasty, text, seed=seed).text == text


@pytest.mark.parametrize("temperature", [None, 0.0])
def test_a_loop_is_rewound_and_the_model_goes_another_way(temperature: float | None) -> None:
    text = "It is big and " + "it is big and " * 9
    instead = "It is big and in 1912 it was not, for then it had only just been begun, they say."
    came = written(stock("repair_loops"), text, instead)
    assert came.text == instead
    usage = came.outcome.usage
    assert usage is not None
    assert (usage.forced, usage.erased > 20) == (0, True)
    assert came.streamed


def test_a_repair_warms_the_next_draws_and_then_lets_go() -> None:
    came = written(stock("repair_loops"), "x" * 40, "xyz, and that is all there is to say.")
    warm = [entry for entry in came.outcome.record["actions"] if entry["action"] == "temperature"]
    assert [entry["temperature"] for entry in warm] == [1.0, None]
    assert came.text.startswith("xy")


class Circles:
    """Says "tick tock" for ever, and "hm" where it may not."""

    def logits(self, context: Sequence[int]) -> Any:
        row = np.zeros(259, dtype=np.float32)
        said = bytes(token for token in context[1:] if token < 256)
        for rank, word in enumerate([b"hm ", b"tock ", b"tick "], 1):
            begun = next(n for n in range(len(word), -1, -1) if said.endswith(word[:n]))
            row[word[begun % len(word)]] = 30 * rank + 100 * (0 < begun < len(word))
        return row


def test_a_model_that_only_ever_loops_is_let_go_in_the_end() -> None:
    outcome = ScriptedEngine(Circles()).run(spec_for("x", 300), [stock("repair_loops")])
    assert (outcome.status, outcome.reason) == (200, "length")
    taken = [entry for entry in outcome.record["actions"] if entry["action"] == "backtrack"]
    assert len(taken) == 8
    assert {entry["mod"] for entry in taken} == {"repair_loops"}


@pytest.mark.parametrize("text", ["1, 2, 3, 4, 5, 6, 7, 8", "no no no", "hahaha!", "a\n\n\n\nb"])
def test_a_little_repetition_is_no_loop(text: str) -> None:
    assert written(stock("repair_loops"), text).text == text


def test_loops_beyond_the_reach_are_left_alone() -> None:
    block = "This is a sentence of more than twenty tokens. "
    assert written(stock("repair_loops"), block * 4).text == block * 4


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "home": {"$ref": "#/$defs/place"},
        "tags": {"type": "array", "items": {"enum": ["x", "yé"]}, "maxItems": 2},
    },
    "$defs": {"place": {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}},
                        "required": ["city"], "additionalProperties": False}},
}  # fmt: skip
ADA = '{"name": "Ada", "age": 36, "home": {"city":"Rome"}, "tags": ["x","yé"]}'


def asked_for(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "trouble", [Trouble(), Trouble(late=frozenset({2, 9}), lost=frozenset({4}))]
)
def test_an_object_is_written_property_by_property(seed: int | None, trouble: Trouble) -> None:
    wanted = asked_for(PERSON)
    came = written(stock("json_schema"), ADA, seed=seed, response_format=wanted, trouble=trouble)
    assert json.loads(came.text) == json.loads(ADA)
    assert came.outcome.reason == "stop"
    assert came.outcome.usage is not None
    assert came.outcome.usage.forced > 10


@pytest.mark.parametrize("seed", [None, 1])
def test_the_requests_own_constraint_may_hold_as_well(seed: int | None) -> None:
    came = written(
        stock("json_schema"), ADA, seed=seed,
        response_format=asked_for(PERSON), constraint=json_schema(PERSON),
    )  # fmt: skip
    assert json.loads(came.text) == json.loads(ADA)


def test_a_model_that_would_write_something_else_writes_what_is_asked_for() -> None:
    came = written(stock("json_schema"), "Sure! Here you go.", response_format=asked_for(PERSON))
    made = json.loads(came.text)
    assert list(made) == ["name", "age", "home", "tags"]
    assert made["home"]["city"] in ("Paris", "Rome")


def test_requests_without_a_schema_get_the_mods_own_and_others_are_held_as_a_whole() -> None:
    plain = '{"answer": "Paris."}'
    assert written(stock("json_schema"), plain).text == plain
    listed = asked_for({"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1})
    came = written(stock("json_schema"), '["a","b"]', response_format=listed)
    assert json.loads(came.text) == ["a", "b"]


@pytest.mark.parametrize("format", [None, asked_for(PERSON)])
def test_the_laws_hold_while_a_schema_is_written(format: Any) -> None:
    for model in (HashModel('ab",: {}', eos_bonus=-3), HashModel("019,}", eos_bonus=-30)):
        engine = ScriptedEngine(model)
        check_laws(
            [stock("json_schema")], engine=engine, prompts=["x"], max_tokens=90,
            response_format=format,
        )  # fmt: skip


KINDS = "The kind of the request is: "


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("kind", "opening"), [("question", "Good question. "), ("greeting", ""), ("task", "Gladly. ")]
)
def test_the_kind_is_asked_for_unseen_and_opens_the_answer(
    kind: str, opening: str, seed: int | None
) -> None:
    came = written(
        stock("classify_first"), f"{opening}It is Paris.", KINDS + kind, seed=seed,
        trouble=Trouble(late=frozenset({3})),
    )  # fmt: skip
    assert came.text == f"{opening}It is Paris."
    assert not any("kind" in shown for shown in came.shown)
    assert came.streamed


def test_other_kinds_may_be_asked_for_in_other_words() -> None:
    moods = mine("classify_first", "ClassifyFirst({'angry': 'Sorry! ', 'calm': ''}, ' Mood: ')")
    came = written(moods, "Sorry! Here it is.", " Mood: angry")
    assert came.text == "Sorry! Here it is."


def test_an_answer_too_short_for_the_question_fails_and_says_so() -> None:
    outcome = ScriptedEngine().run(spec_for("hi", 10), [stock("classify_first")])
    assert outcome.status == 422
    assert "raise max_tokens" in outcome.message
