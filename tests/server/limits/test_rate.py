from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.limits.rate import Rate


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_minute_s_worth_may_come_at_once_and_then_it_fills_steadily() -> None:
    clock = Clock()
    rate = Rate(60, clock)
    for _ in range(60):
        assert rate.wait() == 0
        rate.draw()
    assert rate.wait() == pytest.approx(1.0)
    clock.now += 0.5
    assert rate.wait() == pytest.approx(0.5)
    clock.now += 0.5
    assert rate.wait() == pytest.approx(0.0)
    clock.now += 3600
    assert rate.left == 60


def test_what_was_drawn_too_much_is_waited_for() -> None:
    clock = Clock()
    rate = Rate(60, clock)
    rate.draw(180)
    assert rate.left == 0
    assert rate.wait() == pytest.approx(121)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 5)), max_size=60))
def test_no_more_is_let_through_than_was_set(asks: list[tuple[float, int]]) -> None:
    clock = Clock()
    rate, let = Rate(12, clock), 0
    for pause, amount in asks:
        clock.now += pause
        if rate.wait() == 0:
            rate.draw(amount)
            let += amount
    assert let <= 12 + clock.now * 12 / 60 + 5
