"""The same requests on two engines, alone and thirty-two at once: everything must be the same.

One is the reference loop: a plain Hugging Face model, one request at a time, the same machine.
The other is vLLM, batched, over HTTP, with hosts in processes of their own. Compared are tokens,
text, how it ended and why, usage, every event that mods were told, and every action they took;
not the values of logits, which differ in the last digits. Greedy and seeded requests both count:
on vLLM's V1 runner a seed's draws come from the same generator. Requests without a seed have
nothing to be compared with.

Around the thirty-two others are aborted and preempted. A difference counts unless it begins at a
draw that the reference itself would have made otherwise for a little less logit.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bench import mods as measured
from mods.sdk.testing.script import Script
from tests.engine.accounts import Account, Case, Engine, Reference
from tests.engine.live import MODEL, Live
from tests.engine.mods import NOOP, REWRITE
from tests.server.engine.reference.asking import ask
from tests.server.engine.reference.scripts import chains

AT_ONCE = 32
PESTERERS = 12
"""Together with the others they want more tokens than the server's cache holds."""

QUESTIONS = (
    "Count to ten.",
    "What is the capital of France?",
    "What is 3 + 4?",
    "Tell me about cats.",
)
SAMPLING: tuple[dict[str, Any], ...] = (
    {},
    {"temperature": 0.9, "seed": 1},
    {"stop": ["5", " is"]},
    {"repetition_penalty": 1.2, "frequency_penalty": 0.5, "min_tokens": 12},
    {"temperature": 1.3, "seed": 2, "top_p": 0.9, "top_k": 40, "bad_words": ["3"]},
    {"ignore_eos": True, "logit_bias": {50: 4.0}},
)
"""Sampling parameters that requests take turns with."""

STOCK: dict[str, str] = {
    "noop": NOOP,
    "rewrite": REWRITE,
    "branches": measured.BRANCHES,
    "takes_back": measured.takes_back("takes_back", 2),
    "at_once": measured.at_once("at_once", 16),
}
"""Mods as an author writes them, by name."""


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    """One thread: the model is so small that threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Reference()
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def engine(live: Live) -> Engine:
    return Engine(live)


def params_of(number: int, max_tokens: int) -> dict[str, Any]:
    more = SAMPLING[number % len(SAMPLING)]
    # A seed for greedy requests, too: mods may draw, and then with the request's seed.
    return {"temperature": 0, "max_tokens": max_tokens, "seed": number, **more}


def stock_cases(reference: Reference, each: int) -> list[Case]:
    """Every stock mod, with `each` questions and parameters."""
    cases = []
    for name, source in STOCK.items():
        for _ in range(each):
            number = len(cases)
            prompt = ask(reference.loop, QUESTIONS[number % len(QUESTIONS)])
            mods = {name: {f"{name}.py": source}}
            stream = number % 3 == 2
            cases.append(Case(prompt, mods, params_of(number, 40), stream=stream))
    return cases


def scripted_cases(reference: Reference, count: int) -> list[Case]:
    """Random legal scripts, the same ones every time."""
    drawn: list[tuple[list[Script], int, str]] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(chains, st.integers(1, 24), st.sampled_from(QUESTIONS))
    def draw(chain: list[Script], max_tokens: int, question: str) -> None:
        drawn.append((chain, max_tokens, question))

    draw()
    return [
        Case.of_scripts(
            ask(reference.loop, question), chain,
            params=_with_room(params_of(number, max_tokens)), stream=number % 3 == 2,
        )
        for number, (chain, max_tokens, question) in enumerate(drawn)
    ]  # fmt: skip


def _with_room(params: dict[str, Any]) -> dict[str, Any]:
    return {**params, "min_tokens": min(params.get("min_tokens", 0), params["max_tokens"])}


def differences(
    cases: Sequence[Case], expected: Sequence[Account], got: Sequence[Account]
) -> list[str]:
    found = []
    for case, ours, theirs in zip(cases, expected, got, strict=True):
        difference = ours.differs_from(theirs)
        if difference is not None:
            found.append(f"{difference}\n  in {case.params} {case.stream} {case.scripts}")
    return found


@contextmanager
def unrest(live: Live) -> Iterator[None]:
    """Long requests, with and without mods, whose clients go away; more than the cache holds.

    Afterwards, at least one was aborted and at least one was preempted.
    """
    stop = threading.Event()
    before = disturbances(live)
    threads = [threading.Thread(target=pester, args=(live, n, stop)) for n in range(PESTERERS)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        yield
        limit = time.monotonic() + 30
        while min(now - then for now, then in zip(disturbances(live), before, strict=True)) < 1:
            assert time.monotonic() < limit, "nothing was aborted, or nothing preempted"
            time.sleep(0.2)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def pester(live: Live, number: int, stop: threading.Event) -> None:
    dice = random.Random(number)
    while not stop.is_set():
        body = {
            "model": f"{MODEL}/witness" if number % 2 else MODEL,
            "prompt": [dice.randrange(300, 2000) for _ in range(dice.randrange(300, 500))],
            "messages": [{"role": "user", "content": '{"key": "unrest"}'}],
            "max_tokens": 600, "ignore_eos": True, "temperature": 0,
        }  # fmt: skip
        patience = httpx.Timeout(30, read=dice.uniform(0.5, 3.0))
        try:
            httpx.post(f"{live.url}/v1/completions", json=body, timeout=patience)
        except httpx.ReadTimeout:
            continue


def disturbances(live: Live) -> tuple[float, float]:
    """How often a request was preempted, and a session aborted, so far."""
    text = httpx.get(f"{live.url}/metrics", timeout=30).text
    aborted = re.search(r'^concordance_sessions_total{outcome="aborted"} (\S+)$', text, re.M)
    return live.metric("vllm:num_preemptions_total"), float(aborted[1]) if aborted else 0.0


def campaign(live: Live, engine: Engine, reference: Reference, cases: Sequence[Case]) -> None:
    """Each case alone, and then all of them thirty-two at once amid unrest."""
    expected = [reference.account(case) for case in cases]
    assert sum(bool(account.near_ties) for account in expected) < len(cases) / 4
    engine.prepare(cases)
    assert differences(cases, expected, [engine.account(case) for case in cases]) == []
    with unrest(live), ThreadPoolExecutor(AT_ONCE) as pool:
        assert differences(cases, expected, list(pool.map(engine.account, cases))) == []


def test_stock_mods_do_the_same_on_both_engines(
    live: Live, engine: Engine, reference: Reference
) -> None:
    campaign(live, engine, reference, stock_cases(reference, 4))


def test_random_legal_scripts_do_the_same_on_both_engines(
    live: Live, engine: Engine, reference: Reference
) -> None:
    campaign(live, engine, reference, scripted_cases(reference, 48))


@pytest.mark.prove
def test_many_stock_requests_and_scripts_do_the_same_on_both_engines(
    live: Live, engine: Engine, reference: Reference
) -> None:
    campaign(live, engine, reference, stock_cases(reference, 24))
    campaign(live, engine, reference, scripted_cases(reference, 1000))


def test_a_difference_is_found_and_a_near_tie_excuses_one_that_begins_there(
    reference: Reference,
) -> None:
    case = stock_cases(reference, 1)[0]
    account = reference.account(case)
    assert account.differs_from(reference.account(case)) is None
    other = [*account.events]
    at = next(i for i, (name, _) in enumerate(other) if name == "Sampled") + 3
    other[at] = ["Sampled", {**other[at][1], "sampled_token": 99}]
    strayed = replace(account, events=other, tokens=[1, 2, 3])
    assert "told" in (account.differs_from(strayed) or "")
    near = replace(account, near_ties=frozenset({2}))
    assert near.differs_from(strayed) is None
    assert near.differs_from(replace(account, text="x")) is not None
    assert replace(near, near_ties=frozenset({3})).differs_from(strayed) is not None
