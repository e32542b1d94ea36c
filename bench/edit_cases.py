"""Steps as `gpu_processors` times them, and the naive float64 version that they must agree with."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from mods.runtime.decisions import LEAVE, Decision, Force, Leave, Shape
from processors.decisions import Edits
from processors.draws import draw_key, gumbel
from processors.rows import Penalties, Row, SegmentArgs

TOLERANCE = 1e-6
NEVER = -np.inf


@dataclass
class Case:
    """One step: a decision for every row that mods watch.

    moved: bytes that any version must read or write on the device. sent: bytes of logits that
    must come from the host.
    """

    name: str
    rows: list[Row]
    decisions: dict[int, Decision]
    moved: float
    sent: float = 0.0
    whole: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    def gather(self) -> Edits:
        edits = Edits()
        for index, decision in self.decisions.items():
            edits.add(index, self.rows[index], decision, self.whole.get(index))
        return edits


def watched(
    count: int,
    vocabulary: int,
    temperature: float = 1.0,
    penalties: Penalties | None = None,
    seed: int = 0,
) -> list[Row]:
    """Rows with a prompt and an output of 512 tokens each."""
    random = np.random.default_rng(seed)
    return [
        Row(
            SegmentArgs(
                host="h",
                session=number,
                segment=1,
                kept=0,
                erased=0,
                sentinel=vocabulary - 1,
                reads_logits=False,
                temperature=temperature,
                seed=number,
                penalties=penalties,
            ),
            random.integers(0, vocabulary - 1, 512).tolist(),
            random.integers(0, vocabulary - 1, 512).tolist(),
        )
        for number in range(count)
    ]


def cases(count: int, vocabulary: int, seed: int) -> list[Case]:
    """The shapes of a step, with fresh random contents."""
    random = np.random.default_rng(seed)
    ids = lambda size: random.choice(vocabulary - 1, size, replace=False).tolist()  # noqa: E731
    every, full = range(count), 4.0 * vocabulary
    plain = watched(count, vocabulary)
    biases = [dict(zip(ids(32), random.normal(size=32).tolist(), strict=True)) for _ in every]
    tenth = list(range(0, count, 10))
    whole = {i: random.normal(size=vocabulary).astype(np.float32) for i in tenth}
    listed = min(1000, vocabulary // 2)
    some: dict[int, Decision] = dict.fromkeys(every, LEAVE)
    punished = watched(count, vocabulary, penalties=Penalties(0.5, 0.2, 1.1), seed=seed)
    mixed: list[Decision] = [
        LEAVE,
        Force(5),
        Shape(bias=biases[0]),
        Shape(allow=ids(listed)),
        Shape(ban=ids(100), temperature=0.5),
        Shape(temperature=0.0),
    ]
    return [
        Case("no mods", plain, {}, 0),
        Case("all left alone", plain, some, 4.0 * count),
        Case("all forced", plain, {i: Force(ids(1)[0]) for i in every}, count * full),
        Case("all biased, 32 ids", plain, {i: Shape(bias=biases[i]) for i in every}, 256.0 * count),
        Case(
            "10% whole rows",
            plain,
            {**some, **dict.fromkeys(tenth, Shape(row=True))},
            2 * len(tenth) * full,
            len(tenth) * full,
            whole,
        ),
        Case(
            "all with 1k allowed",
            plain,
            {i: Shape(allow=ids(listed)) for i in every},
            count * (full + 8.0 * listed),
        ),
        Case("all tempered", plain, dict.fromkeys(every, Shape(temperature=0.5)), 2 * count * full),
        Case(
            "all greedy, drawn here",
            watched(count, vocabulary, temperature=0.0),
            dict.fromkeys(every, Shape(temperature=0.8)),
            2 * count * full,
        ),
        Case("all penalised", punished, some, 8.0 * 1024 * count),
        Case("a mixture", punished, {i: mixed[i % len(mixed)] for i in every}, count * full / 2),
    ]


def naive(case: Case, index: int, logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """One row edited cell by cell, in float64."""
    row, decision, values = case.rows[index], case.decisions.get(index), logits.copy()
    if decision is None:
        return values
    if isinstance(decision, Force):
        return only(values, decision.token)
    shape = Shape() if isinstance(decision, Leave) else decision
    assert isinstance(shape, Shape)
    if shape.row:
        values[:] = case.whole[index]
    for token, amount in shape.bias.items():
        values[token] += amount
    for token in [*shape.ban, row.args.sentinel]:
        values[token] = NEVER
    if shape.allow is not None:
        others = np.setdiff1d(np.arange(len(values)), shape.allow)
        values[others] = NEVER
    penalise_naively(row, values)
    if shape.temperature is None:
        return values
    if shape.temperature == 0.0:
        return only(values, int(values.argmax()))
    if row.args.temperature > 0.0:
        return values * (row.args.temperature / shape.temperature)
    noise = gumbel(torch.tensor([draw_key(row)]), len(values))[0].double().numpy()
    return only(values, int((values / shape.temperature + noise).argmax()))


def penalise_naively(row: Row, values: NDArray[np.float64]) -> None:
    given = row.args.penalties
    if given is None:
        return
    for token in {*row.prompt, *row.output}:
        factor = 1 / given.repetition if values[token] > 0 else given.repetition
        values[token] *= factor
    for token in row.output:
        values[token] -= given.frequency
    for token in set(row.output):
        values[token] -= given.presence


def only(values: NDArray[np.float64], token: int) -> NDArray[np.float64]:
    values[:] = NEVER
    values[token] = 0.0
    return values


def check(case: Case, vocabulary: int, device: torch.device, seed: int) -> float:
    """The relative error against the naive version. Raises AssertionError where they differ."""
    generator = torch.Generator().manual_seed(seed)
    count = len(case.rows)
    given = torch.randn(count, vocabulary, generator=generator) * 4
    expected = np.stack([naive(case, i, given[i].double().numpy()) for i in range(count)])
    poisoned = given.clone()
    for index, decision in case.decisions.items():
        if isinstance(decision, Force) or (isinstance(decision, Shape) and decision.row):
            poisoned[index] = torch.nan
    edits = case.gather()
    result = edits.apply(poisoned.to(device)).cpu().double().numpy()
    assert not edits.refused, edits.refused
    assert not np.isnan(result).any(), f"{case.name}: something was not written"
    assert (np.isneginf(result) == np.isneginf(expected)).all(), f"{case.name}: other bans"
    finite = np.isfinite(expected)
    norm = float(np.linalg.norm(expected[finite])) or 1.0
    error = float(np.linalg.norm(result[finite] - expected[finite])) / norm
    assert error < TOLERANCE, f"{case.name}: relative error {error:.2e}"
    return error
