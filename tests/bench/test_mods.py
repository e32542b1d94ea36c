"""The measured mods are what the table calls them, and keep the laws."""

from __future__ import annotations

import pytest

from bench import mods
from mods.runtime.load import load_chain
from mods.runtime.package import Package
from mods.runtime.seat import LoadedMod
from mods.sdk.testing import HashModel, Outcome, Recorder, ScriptedEngine, check_laws, spec_for

MODS = {
    "branches": mods.BRANCHES,
    "steps_5": mods.by_steps("steps_5", 5),
    "once_5": mods.at_once("once_5", 5),
    "takes_back_3": mods.takes_back("takes_back_3", 3),
}


def load(name: str) -> list[LoadedMod]:
    return load_chain([Package.from_source(MODS[name], path=f"{name}.py")], {})


def run(chain: list[LoadedMod], max_tokens: int = 64) -> Outcome:
    spec = spec_for("a prompt", max_tokens=max_tokens, ignore_eos=True)
    return ScriptedEngine(HashModel(seed=3)).run(spec, Recorder().chain(chain))


@pytest.mark.parametrize("name", MODS)
def test_a_measured_mod_keeps_the_laws_under_the_name_it_is_asked_by(name: str) -> None:
    chain = load(name)
    assert chain[0].traits.name == name
    check_laws(chain, max_tokens=40, ignore_eos=True)


def test_a_silent_mod_leaves_the_output_as_it_is() -> None:
    assert run(load("branches")).tokens == run([]).tokens


def test_no_measured_mod_is_sent_logits() -> None:
    assert not any(load(name)[0].traits.logits for name in MODS)


def test_a_run_is_the_same_whether_it_comes_in_steps_or_at_once() -> None:
    assert run(load("steps_5")).tokens == run(load("once_5")).tokens


def test_a_run_begins_where_its_time_is_taken() -> None:
    start, first = mods.RUN_AT, mods.RUN_FROM
    tokens = run(load("once_5")).tokens
    assert tokens[start : start + 5] == list(range(first, first + 5))
    assert tokens[:start] == run([]).tokens[:start]


def test_sixteen_tokens_are_taken_back_at_each_length_once() -> None:
    found = run(load("takes_back_3"), max_tokens=mods.TAKE_BACK_FROM + 3 + 1)
    assert found.usage is not None
    assert (len(found.tokens), found.usage.erased) == (21, 3 * mods.TAKE_BACK)
    assert found.tokens == run([], max_tokens=21).tokens
