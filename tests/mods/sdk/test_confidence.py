"""Confidence is a few true numbers about one row."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mods.sdk.confidence import TOP, Confidence
from mods.sdk.events import ForwardPass, LogitsUnavailableError


def test_an_even_row_has_the_entropy_of_its_size_and_no_margin() -> None:
    sure = Confidence.of_row(np.zeros((1, 64), np.float32))
    assert math.isclose(sure.entropy, math.log(64))
    assert sure.margin == 0
    assert [token for token, _ in sure.top(8)] == list(range(8))


def test_a_certain_row_has_no_entropy_and_all_the_margin() -> None:
    row = np.full(16, -np.inf, np.float32)
    row[5] = 3
    sure = Confidence.of_row(row)
    assert (sure.entropy, sure.margin) == (0.0, 1.0)
    assert sure.top() == [(5, 1.0)]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_it_agrees_with_the_plain_formulas(seed: int, size: int) -> None:
    row = np.random.default_rng(seed).normal(size=size) * 4
    shares = np.exp(row) / np.exp(row).sum()
    sure = Confidence.of_row(row.astype(np.float32))
    assert math.isclose(sure.entropy, -(shares * np.log(shares)).sum(), abs_tol=1e-5)
    ordered = np.argsort(-row)[: min(TOP, size)]
    assert list(sure.tokens) == ordered.tolist()
    told = [share for _, share in sure.top(TOP)]
    np.testing.assert_allclose(told, shares[ordered], rtol=1e-4)
    if size > 1:
        assert math.isclose(sure.margin, told[0] - told[1], abs_tol=1e-9)


@pytest.mark.parametrize("k", [0, -1, TOP + 1])
def test_more_than_is_known_cannot_be_asked(k: int) -> None:
    with pytest.raises(ValueError, match=r"1 to 8.*top_k_logprob"):
        Confidence.of_row(np.zeros(16)).top(k)


def test_an_event_with_the_row_finds_out_by_itself_and_one_with_nothing_says_why() -> None:
    row = np.arange(8, dtype=np.float32)
    assert ForwardPass("r", 0, 0, row).confidence == Confidence.of_row(row)
    with pytest.raises(LogitsUnavailableError, match=r"@mod\(confidence=True\)"):
        _ = ForwardPass("r", 0, 0).confidence
