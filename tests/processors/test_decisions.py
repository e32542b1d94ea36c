"""What decisions do to logits, against plain numpy a row at a time; what bad ones do not do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mods.runtime.decisions import END_SEGMENT, LEAVE, Decision, Force, Leave, Shape
from processors.decisions import Edits
from tests.processors.fakes import SENTINEL, VOCABULARY, row

NEVER = -math.inf
Whole = NDArray[np.float32] | None


def random_logits(rows: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, VOCABULARY, generator=generator) * 3


def edited(
    logits: torch.Tensor, decided: dict[int, Decision], whole: Whole = None, **more: Any
) -> tuple[torch.Tensor, Edits]:
    """A copy of the logits with these decisions applied."""
    edits = Edits()
    for index, decision in decided.items():
        edits.add(index, row(index + 1, **more), decision, whole)
    return edits.apply(logits.clone()), edits


def naive(values: NDArray[np.float32], decision: Decision, whole: Whole) -> NDArray[np.float32]:
    """One row, edited cell by cell. The request's temperature is 1."""
    values = values.copy()
    if not isinstance(decision, (Leave, Shape)):
        token = decision.token if isinstance(decision, Force) else SENTINEL
        values[:] = NEVER
        values[token] = 0.0
        return values
    shape = decision if isinstance(decision, Shape) else Shape()
    if shape.row and whole is not None:
        values[:] = whole
    for token, amount in shape.bias.items():
        values[token] += np.float32(amount)
    for token in [*shape.ban, SENTINEL]:
        values[token] = NEVER
    if shape.allow is not None:
        for token in set(range(VOCABULARY)) - set(shape.allow):
            values[token] = NEVER
    if shape.temperature == 0.0:
        largest = int(values.argmax())
        values[:] = NEVER
        values[largest] = 0.0
    elif shape.temperature is not None:
        values *= np.float32(1.0 / shape.temperature)
    return values


ids = st.integers(0, VOCABULARY - 2)
shapes = st.builds(
    Shape,
    bias=st.dictionaries(ids, st.floats(-50, 50) | st.just(NEVER), max_size=6),
    ban=st.lists(ids.filter(lambda token: token != 3), max_size=6),
    allow=st.none() | st.lists(ids, max_size=6).map(lambda tokens: [*tokens, 3]),
    temperature=st.sampled_from([None, None, 0.0, 0.5, 2.0, 1e4]),
    row=st.booleans(),
)
decisions = shapes | st.just(LEAVE) | st.just(END_SEGMENT) | st.builds(Force, ids)


@given(st.dictionaries(st.integers(0, 5), decisions), st.integers(0, 100))
@settings(deadline=None)
def test_a_batch_is_edited_as_each_row_alone_would_be(
    decided: dict[int, Decision], seed: int
) -> None:
    logits = random_logits(6, seed)
    whole = random_logits(1, seed + 1)[0].numpy()
    result, edits = edited(logits, decided, whole)
    assert not edits.refused
    assert set(edits.forced) == {
        index for index, decision in decided.items() if not isinstance(decision, (Leave, Shape))
    }
    for index in range(6):
        expected = logits[index].numpy()
        if index in decided:
            expected = naive(expected, decided[index], whole)
        np.testing.assert_array_equal(result[index].numpy(), expected)


@pytest.mark.parametrize("decision", [LEAVE, Shape(bias={3: 1.0}, row=True), Force(2), END_SEGMENT])
def test_rows_without_decisions_keep_every_bit(decision: Decision) -> None:
    logits = random_logits(5)
    whole = random_logits(1, 9)[0].numpy()
    result, _ = edited(logits, {1: decision, 3: decision}, whole)
    for index in (0, 2, 4):
        assert torch.equal(result[index], logits[index])


def test_nothing_is_done_where_nothing_was_decided() -> None:
    logits = random_logits(2)
    assert torch.equal(Edits().apply(logits.clone()), logits)


def test_logits_need_not_be_contiguous() -> None:
    padded = torch.randn(3, VOCABULARY + 5)
    logits = padded[:, :VOCABULARY]
    before = padded.clone()
    edits = Edits()
    edits.add(1, row(1), Shape(bias={4: 2.0}, allow=[4, 5]))
    edits.add(2, row(2), Force(6))
    edits.apply(logits)
    assert padded[1, 4] == before[1, 4] + 2.0
    assert logits[1].isfinite().nonzero().flatten().tolist() == [4, 5]
    assert logits[2].argmax() == 6
    assert torch.equal(padded[0], before[0])
    assert torch.equal(padded[:, VOCABULARY:], before[:, VOCABULARY:])


# What a host may get wrong.

nan_row = np.full(VOCABULARY, math.nan, dtype=np.float32)
BAD: dict[str, tuple[Decision, Whole]] = {
    "a forced token below the vocabulary": (Force(-1), None),
    "a forced token above it": (Force(VOCABULARY), None),
    "a forced token of 64 bits": (Force(2**64 - 1), None),
    "a bias below the vocabulary": (Shape(bias={-1: 1.0}), None),
    "a bias above it": (Shape(bias={3: 1.0, VOCABULARY: 1.0}), None),
    "a bias at a token of 64 bits": (Shape(bias={2**64 - 1: 1.0, 3: 1.0}), None),
    "a bias that is not a number": (Shape(bias={3: math.nan}), None),
    "an infinite bias": (Shape(bias={3: math.inf}), None),
    "a bias that float32 cannot hold": (Shape(bias={3: 1e300}), None),
    "a banned token outside": (Shape(ban=[4, VOCABULARY]), None),
    "a banned token of 64 bits": (Shape(ban=[-(2**63), 2**64 - 1]), None),
    "too many banned tokens": (Shape(ban=[4] * (2**19 + 1)), None),
    "an allowed token outside": (Shape(allow=[4, -2]), None),
    "no allowed token": (Shape(allow=[]), None),
    "only banned tokens allowed": (Shape(allow=[4, 5], ban=[5, 4]), None),
    "only the sentinel allowed": (Shape(allow=[SENTINEL]), None),
    "a negative temperature": (Shape(temperature=-1.0), None),
    "a temperature that is not a number": (Shape(temperature=math.nan), None),
    "an infinite temperature": (Shape(temperature=math.inf), None),
    "a whole row that is not there": (Shape(row=True), None),
    "an empty whole row": (Shape(row=True), np.zeros(0, dtype=np.float32)),
    "a whole row too wide": (Shape(row=True), np.zeros(VOCABULARY + 1, dtype=np.float32)),
    "a whole row of doubles": (Shape(row=True), np.zeros(VOCABULARY)),  # type: ignore[dict-item]
    "a whole row of NaN": (Shape(row=True), nan_row),
    "a whole row with nothing in it": (Shape(row=True), np.full_like(nan_row, NEVER)),
    "a whole row with an infinity": (Shape(row=True), np.full_like(nan_row, math.inf)),
}


@pytest.mark.parametrize("wrong", BAD)
def test_a_bad_decision_ends_its_own_row_and_no_other(wrong: str) -> None:
    decision, whole = BAD[wrong]
    logits = random_logits(4)
    good: dict[int, Decision] = {
        0: Shape(bias={2: 5.0}, ban=[1], allow=[2, 3, 4], temperature=0.5),
        3: Force(9),
    }
    expected, _ = edited(logits, good)
    edits = Edits()
    for index, one in good.items():
        edits.add(index, row(index + 1), one)
    edits.add(2, row(3, temperature=0.0), decision, whole)
    result = edits.apply(logits.clone())
    assert set(edits.refused) == {2}
    assert edits.forced == {2: SENTINEL, 3: 9}
    for index in (0, 1, 3):
        assert torch.equal(result[index], expected[index])
    assert result[2].isfinite().nonzero().flatten().tolist() == [SENTINEL]


def test_a_refusal_says_what_was_wrong() -> None:
    _, edits = edited(random_logits(2), {0: Force(99), 1: Shape(ban=[-7])})
    assert "99" in edits.refused[0]
    assert "outside the vocabulary" in edits.refused[1]


# Temperatures.


def test_one_draw_at_another_temperature_undoes_the_division_that_follows() -> None:
    logits = random_logits(1)
    result, _ = edited(logits, {0: Shape(temperature=0.25)}, temperature=2.0)
    kept = torch.arange(VOCABULARY) != SENTINEL
    torch.testing.assert_close(result[0, kept] / 2.0, logits[0, kept] / 0.25)


def test_a_greedy_request_is_drawn_here_and_only_once() -> None:
    logits = random_logits(1)
    first, _ = edited(logits, {0: Shape(temperature=5.0)}, temperature=0.0)
    again, _ = edited(logits, {0: Shape(temperature=5.0)}, temperature=0.0)
    assert first[0].isfinite().sum() == 1
    assert torch.equal(first, again)


def test_draws_follow_the_distribution_at_the_wanted_temperature() -> None:
    many = 4000
    logits = random_logits(1).expand(many, -1)
    edits = Edits()
    for index in range(many):
        given_row = row(1, output=[1] * (index % 40), temperature=0.0, seed=index // 40)
        edits.add(index, given_row, Shape(temperature=3.0))
    drawn = edits.apply(logits.clone()).argmax(1)
    expected = logits[0] / 3.0
    expected[SENTINEL] = NEVER
    probabilities = torch.softmax(expected, 0) * many
    counts = torch.bincount(drawn, minlength=VOCABULARY)
    common = probabilities > 5
    deviation = ((counts - probabilities) ** 2 / probabilities)[common].sum()
    degrees = int(common.sum())
    assert deviation < degrees + 5 * math.sqrt(2 * degrees)
    assert counts[SENTINEL] == 0


@pytest.mark.parametrize("temperature", [1e-4, 1e-30, 1e30, 1e300])
@pytest.mark.parametrize("requested", [0.0, 1e-3, 2.0])
def test_what_is_banned_stays_banned_at_any_temperature(
    temperature: float, requested: float
) -> None:
    decided: dict[int, Decision] = {0: Shape(ban=[5, 6], temperature=temperature)}
    result, edits = edited(random_logits(1), decided, temperature=requested)
    assert not edits.refused
    assert not result.isnan().any()
    assert (result[0, [5, 6, SENTINEL]] == NEVER).all()
    assert result.isfinite().any()
