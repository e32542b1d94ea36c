"""Random scripts, requests and misbehaviour: the machine always says what the reference says."""

from __future__ import annotations

import os
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mods.runtime.decisions import SessionSpec
from mods.runtime.seat import LoadedMod
from mods.sdk.events import Finished
from mods.sdk.testing import HashModel, Oracle, Outcome, Recorder, ScriptedEngine, Trouble, spec_for
from mods.sdk.testing.check import check_story
from mods.sdk.testing.recorder import told
from mods.sdk.testing.script import SAME, Line, Script
from mods.sdk.testing.tokenizer import EOS, SENTINEL, SPECIAL

many = settings(
    max_examples=int(os.environ.get("CONCORDANCE_TEST_EXAMPLES", "200")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

tokens = st.one_of(
    st.sampled_from([*b"abcd ", *"é".encode()]),
    st.sampled_from([EOS, SPECIAL, SENTINEL, ord("X"), 0, 255]),
)
runs = st.one_of(st.lists(tokens, max_size=4), st.lists(tokens, min_size=7, max_size=12)).map(tuple)
letters = st.sampled_from([*b"abcd XYZ", EOS])

KINDS = ["force_tokens", "backtrack", "adjust_logits", "noop"]
ENDS = ["force_output", "tool_calls", "emit_error"]

lines = st.builds(
    Line,
    kind=st.sampled_from(KINDS * 3 + ENDS[:2] + ["adjust_prefill"]),
    tokens=runs,
    n=st.integers(1, 9),
    bias=st.dictionaries(letters, st.floats(-30, 30, width=16), max_size=3),
    ban=st.frozensets(letters, max_size=3),
    allow=st.none() | st.just(frozenset(b"abcXYZ")) | st.frozensets(letters, min_size=5),
    temperature=st.none() | st.sampled_from([0.0, 0.7, 3.0]),
    row=st.booleans(),
    max_steps=st.none() | st.integers(1, 20),
    steer=st.sampled_from([None] * 6 + ["hold", "release"]),
    steady=st.sampled_from([SAME] * 5 + [None, 0.0, 0.7, 3.0]),
)
scripts = st.builds(
    Script,
    lines=st.dictionaries(st.integers(0, 30), lines, max_size=10),
    reach=st.none() | st.sampled_from([0, 1, 3, 20]),
    logits=st.booleans(),
    waits=st.none() | st.dictionaries(st.integers(0, 40), st.sampled_from([0.0, 0.02, 0.4])),
)
chains = st.lists(scripts, min_size=1, max_size=3).map(
    lambda chain: [replace(script, name=f"mod{i}") for i, script in enumerate(chain)]
)
few = st.frozensets(st.integers(1, 30), max_size=6)
troubles = st.builds(Trouble, repeat=few, stale=few, late=few, lost=few, again=few)


@st.composite
def specs(draw: st.DrawFn) -> SessionSpec:
    max_tokens = draw(st.integers(1, 24))
    return spec_for(
        draw(st.sampled_from(["", "hello"])) + "p",
        max_tokens,
        min_tokens=draw(st.just(0) | st.integers(0, max_tokens)),
        stop=draw(st.lists(st.sampled_from(["a", "ab", "bcd", "é", "é a", "X"]), max_size=2)),
        stop_token_ids=draw(st.lists(letters, max_size=1)),
        ignore_eos=draw(st.booleans()),
        skip_special_tokens=draw(st.booleans()),
        max_context=draw(st.sampled_from([64, 4096])),
    )


models = st.builds(HashModel, seed=st.integers(0, 50), eos_bonus=st.sampled_from([-2.0, 0.0, 1.0]))


def both(
    spec: SessionSpec, chain: list[Script], model: HashModel, trouble: Trouble
) -> tuple[Outcome, Recorder, Outcome, Recorder]:
    """The same session by the machine in a fake engine, and by the reference."""
    ours, theirs = Recorder(), Recorder()

    def mods(recorder: Recorder) -> list[LoadedMod]:
        return recorder.chain([script.mod() for script in chain])

    engine = ScriptedEngine(model, trouble=trouble)
    return (
        engine.run(spec, mods(ours)),
        ours,
        Oracle(spec, mods(theirs), model).run(),
        theirs,
    )


def assert_same(spec: SessionSpec, chain: list[Script], model: HashModel, trouble: Trouble) -> None:
    got, ours, want, theirs = both(spec, chain, model, trouble)
    events = [told(event) for event in ours.stories[spec.request_id].events]
    expected = [told(event) for event in theirs.stories[spec.request_id].events]
    if want.failed:
        events, expected = events[:-1], expected[:-1]
    assert events == expected
    assert (got.status, got.type, got.reason) == (want.status, want.type, want.reason), got.message
    assert got.record["actions"] == want.record["actions"]
    if not want.failed:
        assert got.tokens == want.tokens
        assert not got.decisions or got.prompt == want.prompt
        assert (got.stop_reason, got.tool_calls) == (want.stop_reason, want.tool_calls)
        assert (got.passed_ends, got.usage) == (want.passed_ends, want.usage)
        assert got.replaced == want.replaced
    check_story(ours.stories[spec.request_id], got, spec)


@many
@given(specs(), chains, models, troubles)
def test_any_legal_script_gives_what_the_reference_gives_whatever_the_engine_does(
    spec: SessionSpec, chain: list[Script], model: HashModel, trouble: Trouble
) -> None:
    assert_same(spec, chain, model, trouble)


wrong = st.builds(
    Line,
    kind=st.sampled_from(["raise", *KINDS, *ENDS, "adjust_prefill"]),
    tokens=runs | st.sampled_from([(-1,), (259,), (2**31,), (97, 2**40)]),
    n=st.integers(1, 40),
    bias=st.dictionaries(st.sampled_from([97, -1, 259]), st.just(1.0), max_size=2),
    allow=st.none() | st.just(frozenset([97])),
    ban=st.sampled_from([frozenset(), frozenset([97])]),
    legal=st.booleans(),
)
wrong_scripts = st.builds(
    Script,
    lines=st.dictionaries(st.integers(0, 12), wrong | lines, max_size=6),
    reach=st.none() | st.sampled_from([0, 2]),
    logits=st.booleans(),
    on_error=st.sampled_from(["fail", "ignore"]),
)
wrong_chains = st.lists(wrong_scripts, min_size=1, max_size=2).map(
    lambda chain: [replace(script, name=f"mod{i}") for i, script in enumerate(chain)]
)


@many
@given(specs(), wrong_chains, models, troubles)
def test_a_wrong_script_fails_as_the_reference_says_or_not_at_all(
    spec: SessionSpec, chain: list[Script], model: HashModel, trouble: Trouble
) -> None:
    assert_same(spec, chain, model, trouble)


@many
@given(specs(), chains, models, troubles, st.integers(0, 30))
def test_an_abort_at_any_moment_leaves_a_beginning_of_the_story_and_one_finished(
    spec: SessionSpec, chain: list[Script], model: HashModel, trouble: Trouble, abort: int
) -> None:
    got, ours, _, theirs = both(spec, chain, model, replace(trouble, abort=abort))
    events = ours.stories[spec.request_id].events
    expected = theirs.stories[spec.request_id].events
    assert isinstance(events[-1], Finished)
    assert [told(event) for event in events[:-1]] == [
        told(event) for event in expected[: len(events) - 1]
    ]
    assert events[-1].reason == got.reason or got.reason == "aborted"
    check_story(ours.stories[spec.request_id], got, spec)
