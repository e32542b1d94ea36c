"""Penalties and bad words over a session, against vLLM's own formulas over one request."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from vllm.v1.sample.ops.bad_words import apply_bad_words
from vllm.v1.sample.ops.penalties import apply_all_penalties

from mods.runtime.decisions import LEAVE
from processors.decisions import Edits
from processors.rows import Penalties, Row
from tests.processors.fakes import SENTINEL, VOCABULARY, row

tokens = st.lists(st.integers(0, VOCABULARY - 2), max_size=12)
penalties = st.builds(
    Penalties,
    presence=st.sampled_from([0.0, 1.5, -2.0]),
    frequency=st.sampled_from([0.0, 0.7, -0.3]),
    repetition=st.sampled_from([1.0, 1.3, 0.8]),
)


def left(logits: torch.Tensor, rows: list[Row]) -> torch.Tensor:
    """The logits of rows that mods leave alone, without the sentinels' columns."""
    edits = Edits()
    for index, one in enumerate(rows):
        edits.add(index, one, LEAVE)
    return edits.apply(logits.clone())[:, :SENTINEL]


def vllms(
    logits: torch.Tensor, cases: list[tuple[list[int], list[int], Penalties]]
) -> torch.Tensor:
    """What vLLM makes of requests with these prompts, outputs and penalties."""
    longest = max(len(prompt) for prompt, _, _ in cases)
    prompts = torch.full((len(cases), longest), VOCABULARY)
    for index, (prompt, _, _) in enumerate(cases):
        prompts[index, : len(prompt)] = torch.tensor(prompt, dtype=torch.int64)
    presence, frequency, repetition = torch.tensor(
        [(p.presence, p.frequency, p.repetition) for _, _, p in cases]
    ).T
    outputs = [list(output) for _, output, _ in cases]
    done = apply_all_penalties(logits.clone(), prompts, presence, frequency, repetition, outputs)
    return done[:, :SENTINEL]


@given(st.lists(st.tuples(tokens, tokens, tokens, penalties), min_size=1, max_size=4))
@settings(deadline=None)
def test_a_restarted_session_is_penalised_as_the_one_request_it_looks_like(
    cases: list[tuple[list[int], list[int], list[int], Penalties]],
) -> None:
    logits = torch.randn(len(cases), VOCABULARY) * 4
    rows = [
        row(index, prompt + kept, output, kept=len(kept), penalties=given)
        for index, (prompt, kept, output, given) in enumerate(cases)
    ]
    whole = [(prompt, kept + output, given) for prompt, kept, output, given in cases]
    torch.testing.assert_close(left(logits, rows), vllms(logits, whole), rtol=1e-6, atol=1e-6)


@given(tokens, tokens, st.lists(st.integers(0, VOCABULARY - 2), min_size=1, max_size=90))
@settings(deadline=None)
def test_counting_goes_on_where_it_stopped(
    prompt: list[int], kept: list[int], output: list[int]
) -> None:
    """The same as counting anew in every step, on a list that the runner appends to."""
    given = Penalties(1.0, 0.5, 1.2)
    sofar: list[int] = []
    living = row(1, prompt + kept, sofar, kept=len(kept), penalties=given)
    logits = torch.randn(1, VOCABULARY)
    for token in output:
        sofar.append(token)
        if token % 3:
            left(logits, [living])
    anew = row(1, prompt + kept, list(output), kept=len(kept), penalties=given)
    assert torch.equal(left(logits, [living]), left(logits, [anew]))


def test_any_number_of_different_tokens_is_counted() -> None:
    prompt, output = list(range(300)), list(range(200, 900, 3)) * 2
    given = Penalties(1.0, 0.5, 1.2)
    logits = torch.randn(1, 1000)
    edits = Edits()
    edits.add(0, row(1, prompt, output, penalties=given), LEAVE)
    ours = edits.apply(logits.clone())
    theirs = apply_all_penalties(
        logits.clone(),
        torch.tensor([prompt]),
        *(torch.tensor([factor]) for factor in (1.0, 0.5, 1.2)),
        [output],
    )
    ours[0, SENTINEL] = theirs[0, SENTINEL]
    torch.testing.assert_close(ours, theirs)


def test_tokens_may_come_as_views_of_a_buffer() -> None:
    buffer = np.array([3, 4, 5, 4, 9, 9], dtype=np.int32)
    given = Penalties(1.0, 0.5, 1.2)
    logits = torch.randn(1, VOCABULARY)
    views = row(1, buffer[:3], buffer[3:], kept=1, penalties=given, bad_words=[[9, 9, 2]])
    lists = row(1, [3, 4, 5], [4, 9, 9], kept=1, penalties=given, bad_words=[[9, 9, 2]])
    assert torch.equal(left(logits, [views]), left(logits, [lists]))
    assert left(logits, [views])[0, 2] == -torch.inf


def test_tokens_that_are_no_column_of_the_logits_count_for_nothing() -> None:
    logits = torch.randn(1, VOCABULARY)
    given = Penalties(1.0, 0.5, 1.2)
    strange = row(1, [3, VOCABULARY + 4], [5, -1], penalties=given)
    plain = row(1, [3], [5], penalties=given)
    assert torch.equal(left(logits, [strange]), left(logits, [plain]))


small = st.integers(0, 3)
words = st.lists(st.lists(small, min_size=1, max_size=4), max_size=3)


@example([1, 1], [], [1], [[1, 1, 2]])
@given(st.lists(small, max_size=6), st.lists(small, max_size=4), st.lists(small, max_size=4), words)
@settings(deadline=None)
def test_a_bad_word_may_lie_across_a_restart_but_does_not_begin_in_the_prompt(
    prompt: list[int], kept: list[int], output: list[int], bad: list[list[int]]
) -> None:
    logits = torch.randn(1, VOCABULARY)
    ours = left(logits, [row(1, prompt + kept, output, kept=len(kept), bad_words=bad)])
    theirs = logits.clone()
    apply_bad_words(theirs, {0: bad} if bad else {}, [kept + output])
    assert torch.equal(ours, theirs[:, :SENTINEL])


@pytest.mark.parametrize("output", [[], [4], [4, 5]])
def test_rows_without_penalties_are_left_alone_beside_one_with(output: list[int]) -> None:
    logits = torch.randn(3, VOCABULARY)
    rows = [row(1, output=output), row(2, [4], [5], penalties=Penalties(2.0)), row(3)]
    result = left(logits, rows)
    assert torch.equal(result[[0, 2]], logits[[0, 2], :SENTINEL])
    assert not torch.equal(result[1], logits[1, :SENTINEL])
