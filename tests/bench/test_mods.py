"""The measured mods are what the table calls them, and keep the laws."""

from __future__ import annotations

import pytest

from bench.mods import MODS, SILENT
from mods.runtime.load import load_chain
from mods.runtime.package import Package
from mods.runtime.seat import LoadedMod
from mods.sdk.testing import HashModel, Outcome, Recorder, ScriptedEngine, check_laws, spec_for


def load(name: str) -> list[LoadedMod]:
    return load_chain([Package.from_source(MODS[name], path=f"{name}.py")], {})


def run(chain: list[LoadedMod]) -> Outcome:
    spec = spec_for("a prompt", max_tokens=64, ignore_eos=True)
    return ScriptedEngine(HashModel(seed=3)).run(spec, Recorder().chain(chain))


@pytest.mark.parametrize("name", MODS)
def test_a_measured_mod_keeps_the_laws_under_the_name_it_is_asked_by(name: str) -> None:
    chain = load(name)
    assert chain[0].traits.name == name
    check_laws(chain, max_tokens=40, ignore_eos=True)


def test_only_the_mod_that_reads_logits_is_sent_them() -> None:
    assert [name for name in MODS if load(name)[0].traits.logits] == ["reads"]


@pytest.mark.parametrize("name", SILENT)
def test_a_silent_mod_leaves_the_output_as_it_is(name: str) -> None:
    assert run(load(name)).tokens == run([]).tokens


def test_the_mod_that_undoes_takes_four_tokens_back_in_every_sixteenth_round() -> None:
    found = run(load("undoes"))
    assert found.usage is not None
    # The fifth time is at the last token, and then four more are drawn: 84 rounds.
    assert (len(found.tokens), found.usage.sampled, found.usage.erased) == (64, 64, 20)
