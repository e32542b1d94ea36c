"""Bit masks over logits: what is laid, what it forbids, and rows that it leaves empty."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from processors.masks import _lay_rows, lay

VOCABULARY = 70


def words_of(allowed: set[int], width: int = 3) -> np.ndarray:
    words = np.zeros(width, dtype=np.uint32)
    for token in allowed:
        words[token // 32] |= np.uint32(1 << (token % 32))
    return words.view(np.int32)


def laid(logits: torch.Tensor, masks: dict[int, set[int]], fallback: int = 69) -> torch.Tensor:
    lay(
        logits,
        torch.tensor(list(masks)),
        torch.from_numpy(np.stack([words_of(allowed) for allowed in masks.values()])),
        torch.full((len(masks),), fallback),
    )
    return logits


@given(st.sets(st.integers(0, VOCABULARY - 1), min_size=1), st.integers(0, 2**32))
def test_only_what_the_mask_allows_keeps_its_logit(allowed: set[int], seed: int) -> None:
    before = torch.randn(2, VOCABULARY, generator=torch.Generator().manual_seed(seed))
    after = laid(before.clone(), {1: allowed})
    assert torch.equal(after[0], before[0])
    for token in range(VOCABULARY):
        expected = before[1, token] if token in allowed else torch.tensor(float("-inf"))
        assert after[1, token] == expected


@pytest.mark.parametrize("banned", [set(), {3, 4}])
def test_a_row_without_a_token_left_gets_its_fallback(banned: set[int]) -> None:
    logits = torch.zeros(1, VOCABULARY)
    logits[0, list(banned)] = float("-inf")
    after = laid(logits, {0: banned})
    assert int(after.argmax()) == 69
    assert int((after > float("-inf")).sum()) == 1


@given(st.sets(st.integers(0, VOCABULARY - 1)), st.integers(0, 2**32))
def test_a_device_forbids_what_the_cpu_forbids(allowed: set[int], seed: int) -> None:
    one = torch.randn(3, VOCABULARY, generator=torch.Generator().manual_seed(seed))
    other = one.clone()
    rows, words = torch.tensor([2, 0]), torch.from_numpy(np.stack([words_of(allowed)] * 2))
    fallback = torch.tensor([69, 68])
    lay(one, rows, words, fallback)
    _lay_rows(other, rows, words, fallback)
    assert torch.equal(one, other)


def test_the_fallback_stays_forbidden_where_something_is_left() -> None:
    after = laid(torch.zeros(1, VOCABULARY), {0: {5}})
    assert after[0, 69] == float("-inf")
