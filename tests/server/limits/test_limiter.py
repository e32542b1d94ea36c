from __future__ import annotations

import asyncio

import pytest

from server.api.turned_away import TurnedAwayError
from server.limits.limiter import Limiter
from server.limits.limits import KIB, MIB, Limits
from server.limits.meter import current_spend
from server.settings import Settings

NOW = [0.0]
SETTINGS = (
    "requests_per_minute", "tokens_per_minute", "concurrent_requests", "queued_requests",
    "total_requests", "max_n", "max_prompts", "max_output_tokens", "max_logprobs", "max_body_mb",
    "max_mods", "max_source_kb", "max_user_hosts",
)  # fmt: skip


@pytest.fixture(autouse=True)
def midnight() -> None:
    NOW[0] = 0.0


def limiter(**limits: int) -> Limiter:
    return Limiter(Limits(**limits), lambda: NOW[0])


def test_a_key_with_too_many_requests_is_told_when_to_come_back() -> None:
    held = limiter(requests_per_minute=2)
    for _ in range(2):
        held.arrive("k")
    with pytest.raises(TurnedAwayError, match="2 requests a minute") as refusal:
        held.arrive("k")
    assert (refusal.value.status, refusal.value.retry_after) == (429, 30)
    held.arrive("other")
    NOW[0] += 30
    held.arrive("k")


async def test_tokens_are_paid_for_afterwards_and_then_waited_for() -> None:
    held = limiter(tokens_per_minute=60)
    async with held.run("k"):
        spend = current_spend.get()
        assert spend is not None
        spend(100)
    assert current_spend.get() is None
    with pytest.raises(TurnedAwayError, match="60 tokens a minute") as refusal:
        async with held.run("k"):
            pass
    assert refusal.value.status == 429
    assert refusal.value.retry_after == pytest.approx(41)
    NOW[0] += 41.1
    async with held.run("k"):
        assert held.left("k") == {"running": 0, "queued": 0, "total": 1, "tokens_left": 1}


async def test_a_line_that_is_full_is_a_429_and_a_full_server_a_503() -> None:
    held = limiter(concurrent_requests=1, queued_requests=0, total_requests=2)
    async with held.run("a"):
        with pytest.raises(TurnedAwayError) as refusal:
            async with held.run("a"):
                pass
        assert (refusal.value.status, refusal.value.retry_after) == (429, 2)
        async with held.run("b"):
            with pytest.raises(TurnedAwayError) as refusal:
                async with held.run("c"):
                    pass
            assert (refusal.value.status, refusal.value.retry_after) == (503, 2)
    async with held.run("a"):
        pass


async def test_an_open_server_has_no_limit_for_each_but_one_for_all() -> None:
    held = limiter(
        requests_per_minute=1, tokens_per_minute=1, concurrent_requests=1, total_requests=3
    )
    for _ in range(5):
        held.arrive("")
    async with held.run(""), held.run(""), held.run(""):
        assert current_spend.get() is None
        with pytest.raises(TurnedAwayError, match="the server is full"):
            async with held.run(""):
                pass


async def test_what_fails_inside_gives_its_place_back_and_stays_what_it_is() -> None:
    held = limiter(concurrent_requests=1, queued_requests=0)
    for error in (ValueError("ours"), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            async with held.run("k"):
                raise error
    assert held.left("k") == {"running": 0, "queued": 0, "total": 0}


@pytest.mark.usefixtures("bare_environment")
def test_every_limit_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Limits.of(Settings.load())
    assert all(getattr(defaults, name) > 0 for name in Limits.__struct_fields__)
    for name in SETTINGS:
        monkeypatch.setenv(f"CONCORDANCE_{name.upper()}", "3")
    assert {getattr(Limits.of(Settings.load()), name) for name in Limits.__struct_fields__} == {
        3, 3 * KIB, 3 * MIB,
    }  # fmt: skip
