"""The noise of the processor's own draws: Gumbel, its own for every place, the same each time."""

from __future__ import annotations

import torch

from processors.draws import draw, draw_key, gumbel
from tests.processors.fakes import row


def test_the_noise_is_gumbels() -> None:
    keys = torch.tensor([draw_key(row(seed=seed)) for seed in range(64)])
    noise = gumbel(keys, 4096).double()
    assert noise.isfinite().all()
    assert abs(noise.mean() - 0.5772) < 0.01
    assert abs(noise.var() - 1.6449) < 0.02
    for quantile in (0.01, 0.5, 0.99):
        below = (noise < -torch.log(-torch.log(torch.tensor(quantile)))).double().mean()
        assert abs(below - quantile) < 0.003


def test_neighbouring_places_have_unrelated_noise() -> None:
    places = [row(seed=1), row(seed=2), row(seed=1, erased=2), row(seed=1, output=[4])]
    noise = gumbel(torch.tensor([draw_key(place) for place in places]), 20_000)
    correlation = torch.corrcoef(noise) - torch.eye(4)
    assert correlation.abs().max() < 0.03


def test_a_restart_alone_changes_no_noise_and_taking_back_does() -> None:
    once = draw_key(row(output=[3, 4]))
    assert draw_key(row(prompt=[9, 3], output=[4], kept=1, segment=2)) == once
    assert draw_key(row(prompt=[9, 3], output=[4], kept=1, segment=2, erased=1)) != once


def test_a_seed_may_be_negative_or_large() -> None:
    assert draw_key(row(seed=-1)) != draw_key(row(seed=2**63 - 1))


def test_a_row_is_drawn_alike_in_any_batch() -> None:
    logits = torch.randn(40, 100)
    keys = torch.tensor([draw_key(row(seed=seed)) for seed in range(40)])
    together, alone = logits.clone(), logits.clone()
    draw(together, torch.arange(40), keys, torch.full((40,), 2.0))
    for index in reversed(range(40)):
        at = slice(index, index + 1)
        draw(alone, torch.tensor([index]), keys[at], torch.tensor([2.0]))
    assert torch.equal(together, alone)
