"""Rounds of sides in turn, and what is compared of them."""

from __future__ import annotations

import pytest

from bench.answer import Answer, Ask, Block, speed
from bench.models import DEMO
from bench.progress import Watch
from bench.run import AGAIN, BASE, QUICK, Run, Scale, compare, whole
from bench.server import Program, Servers

OURS = Program("ours", DEMO)


def block(tokens: int, wall: float) -> Block:
    return Block([Answer(Ask([1], tokens), [], {"completion_tokens": tokens}, wall)], wall, 1.0)


@pytest.fixture
def run() -> Run:
    return Run(Servers(), Scale(rounds=2))


async def test_a_round_goes_there_and_back_so_that_drift_falls_on_all_sides_alike(
    run: Run,
) -> None:
    order: list[str] = []
    clock = 0

    def side(name: str):  # type: ignore[no-untyped-def]
        async def measure() -> Block:
            nonlocal clock
            clock += 1
            order.append(name)
            return block(100, float(clock))  # every block is slower than the one before

        return measure

    rounds = await run.rounds({BASE: side("A"), "ours": side("B"), AGAIN: side("C")})
    assert "".join(order) == "ABCCBA" * 2
    assert compare(rounds, "ours", speed).value == pytest.approx(1)
    assert compare(rounds, AGAIN, speed).value == pytest.approx(1)


class Counting(Watch):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.expected: list[int] = []
        self.steps = 0

    def expect(self, blocks: int) -> None:
        self.expected.append(blocks)

    def step(self) -> None:
        self.steps += 1


async def test_progress_is_told_before_and_after_each_block() -> None:
    watch = Counting()

    async def side() -> Block:
        return block(1, 1)

    await Run(Servers(), Scale(rounds=3), watch).rounds({BASE: side, "ours": side})
    assert watch.expected == [12]
    assert watch.steps == 12


def test_a_comparison_takes_its_ratios_by_rounds() -> None:
    rounds = {
        BASE: [block(100, 1), block(100, 10), block(100, 1)],
        "ours": [block(100, 2), block(100, 20), block(100, 2)],
    }
    assert compare(rounds, "ours", speed).value == pytest.approx(0.5)
    assert whole(rounds["ours"]).wall == 24


def test_prompts_are_never_the_same_and_of_the_length_that_was_asked(run: Run) -> None:
    places = run.places(OURS, 64, 5)
    prompts = [tuple(ask.prompt) for place in places for ask in place]
    assert len(set(prompts)) == 64
    assert {len(prompt) for prompt in prompts} == {8}
    assert run.prompts(OURS).fresh(512)[:8] not in [list(prompt) for prompt in prompts]


def test_mods_take_turns_over_the_places(run: Run) -> None:
    places = run.places(OURS, 4, 5, [None, "m"])
    assert [place[0].mod for place in places] == [None, "m", None, "m"]


def test_a_quick_run_does_less_and_never_nothing() -> None:
    assert QUICK.of(64) == 32
    assert QUICK.of(1) == 1
    assert QUICK.rounds < Scale().rounds
