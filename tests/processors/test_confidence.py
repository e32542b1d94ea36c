"""Entropy and likeliest tokens of rows."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mods.sdk.confidence import TOP
from processors.confidence import sureness


def test_a_row_that_is_sure_has_no_entropy() -> None:
    logits = torch.full((1, 40), -100.0)
    logits[0, 7] = 100.0
    (found,) = sureness(logits, [0])
    assert found.entropy < 1e-6
    assert found.tokens[0] == 7
    assert math.isclose(found.logprobs[0], 0.0, abs_tol=1e-6)


def test_an_even_row_has_the_entropy_of_its_size() -> None:
    (found,) = sureness(torch.zeros(2, 64), [1])
    assert math.isclose(found.entropy, math.log(64), rel_tol=1e-6)


def test_forbidden_tokens_have_no_share() -> None:
    logits = torch.zeros(1, 64)
    logits[0, 4:] = float("-inf")
    (found,) = sureness(logits, [0])
    assert math.isclose(found.entropy, math.log(4), rel_tol=1e-6)
    assert sorted(found.tokens[:4]) == [0, 1, 2, 3]


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 70))
def test_each_row_is_its_own(seed: int, rows: int) -> None:
    logits = torch.randn(rows, 33, generator=torch.Generator().manual_seed(seed))
    wanted = list(range(0, rows, 2))
    for row, found in zip(wanted, sureness(logits, wanted), strict=True):
        best = torch.log_softmax(logits[row], 0).sort(descending=True)
        told = torch.tensor(found.logprobs)
        assert torch.allclose(told, best.values[:TOP], atol=1e-5)
        own = torch.log_softmax(logits[row], 0)[torch.tensor(found.tokens)]
        assert torch.allclose(told, own, atol=1e-5)
        assert len(set(found.tokens)) == TOP
