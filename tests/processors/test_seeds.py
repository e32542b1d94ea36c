"""Seeded draws on the CPU: a session's stream goes on over restarts, and no draw is lost."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from processors.rows import Row
from processors.seeds import KEPT_SESSIONS, Seeds
from tests.processors.fakes import row


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stream(length: int, seed: int = 3) -> list[float]:
    """What one generator draws without any interruption."""
    generator = seeded(seed)
    return [float(torch.rand((), generator=generator)) for _ in range(length)]


def drawn(
    seeds: Seeds,
    generators: dict[int, torch.Generator],
    rows: dict[int, Row],
    unfinished: tuple[int, ...] = (),
    forced: tuple[int, ...] = (),
) -> dict[int, float]:
    """One step, in which vLLM draws for every row, whatever becomes of it."""
    seeds.before_draw(generators, rows, unfinished, forced)
    values = {i: float(torch.rand((), generator=generator)) for i, generator in generators.items()}
    seeds.after_draw()
    return values


def test_a_restarted_session_goes_on_in_its_stream() -> None:
    seeds, values = Seeds(), []
    for segment in (1, 2, 3):
        generator, output = seeded(), []  # type: ignore[var-annotated]
        for _ in range(4):
            living = row(1, output=output, segment=segment)
            values.append(drawn(seeds, {0: generator}, {0: living})[0])
            output.append(5)
    assert values == stream(12)


def test_the_draw_of_a_row_that_ends_is_drawn_again_by_the_next_segment() -> None:
    seeds = Seeds()
    generator = seeded()
    first = drawn(seeds, {0: generator}, {0: row(1)})[0]
    void = drawn(seeds, {0: generator}, {0: row(1, output=[4])}, forced=(0,))[0]
    again = drawn(seeds, {2: seeded()}, {2: row(1, [4], segment=2, kept=1)})[2]
    assert void == again
    assert [first, again] == stream(2)


def test_an_unfinished_prompt_draws_nothing() -> None:
    seeds = Seeds()
    generators = {0: seeded(), 1: seeded(8)}
    for _ in range(3):
        drawn(seeds, generators, {0: row(1)}, unfinished=(0, 1))
    assert drawn(seeds, generators, {0: row(1)}) == {0: stream(1)[0], 1: stream(1, 8)[0]}


def test_requests_without_mods_keep_their_own_generators() -> None:
    seeds = Seeds()
    plain, modded = seeded(), seeded()
    for step in range(3):
        values = drawn(seeds, {0: plain, 1: modded}, {1: row(1, output=[5] * step)}, forced=(1,))
        assert values[0] == stream(3)[step]


@given(st.lists(st.sampled_from(["draw", "end", "force", "move", "unfinished"]), max_size=30))
def test_a_session_draws_the_same_stream_however_it_is_interrupted(events: list[str]) -> None:
    """Restarts, other places in the batch, chunks: the draws that count are the stream's."""
    seeds, counted, index, segment, output = Seeds(), [], 0, 1, []  # type: ignore[var-annotated]
    generator = seeded()
    for event in events:
        rows, generators = {index: row(1, output=output, segment=segment)}, {index: generator}
        if event == "draw":
            counted.append(drawn(seeds, generators, rows)[index])
            output = [*output, 5]
        elif event == "end":
            drawn(seeds, generators, rows, forced=(index,))
            segment, output, generator = segment + 1, [], seeded()
        elif event == "force":
            drawn(seeds, generators, rows, forced=(index,))
            output = [*output, 6]
        elif event == "unfinished":
            drawn(seeds, generators, rows, unfinished=(index,))
        else:
            index = (index + 1) % 4
    assert counted == stream(len(counted))


def test_only_so_many_sessions_are_remembered() -> None:
    seeds = Seeds()
    for session in range(KEPT_SESSIONS + 10):
        drawn(seeds, {0: seeded()}, {0: row(session)})
    assert len(seeds._states) == KEPT_SESSIONS
    assert drawn(seeds, {0: seeded()}, {0: row(3, segment=2)})[0] == stream(1)[0]
    newest = KEPT_SESSIONS + 9
    assert drawn(seeds, {0: seeded()}, {0: row(newest, segment=2)})[0] == stream(2)[1]
