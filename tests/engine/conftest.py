"""One real engine for the whole test session: its start-up costs half a minute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.engine import questions
from tests.engine.browsing import Window, browsing, opened
from tests.engine.live import Live, open_home, serving
from tests.engine.stock import Answer, Asked, ask
from tests.engine.told import Stored, store_all

if TYPE_CHECKING:
    from playwright.sync_api import Browser

OPTIONS = (
    "--dtype", "float32", "--max-model-len", "2048", "--max-num-seqs", "64",
    "--max-num-batched-tokens", "512", "--kv-cache-memory-bytes", "32M",
    "--enable-auto-tool-choice", "--tool-call-parser", "hermes",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/engine" in str(item.path):
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """The demo model in float32; long prompts are prefilled in chunks, and many at once preempt.

    Traces are stored, for the page.
    """
    # A handler's waits count by the clock, and a busy machine is slow to bring them to an end.
    # All tests together are one user, with more mods than one user has.
    settings = {
        "CONCORDANCE_HARD_DEADLINE_S": "6",
        "CONCORDANCE_MAX_MODS": "10000",
        "CONCORDANCE_EMBEDDED_POSTGRES": "true",
    }
    with open_home() as home, serving(home, *OPTIONS, **settings) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as started:
        yield started


@pytest.fixture
def window(browser: Browser, live: Live) -> Iterator[Window]:
    """A tab that fails the test where the page does what it must not."""
    with opened(browser, live) as shown:
        yield shown


@pytest.fixture(scope="session")
def stored(live: Live) -> Stored:
    """Stored requests of each kind."""
    return store_all(live)


@pytest.fixture(scope="session")
def all_of_stock() -> tuple[list[Asked], list[Answer]]:
    """What stock vLLM says to everything, from one process of its own."""
    asked = questions.plain() + questions.constrained()
    return asked, ask(asked)


@pytest.fixture
def stock(
    all_of_stock: tuple[list[Asked], list[Answer]],
) -> tuple[list[Asked], list[Answer]]:
    """Questions without constraints, and its answers."""
    asked, answers = all_of_stock
    return asked[: questions.PLAIN], answers[: questions.PLAIN]


@pytest.fixture
def constrained_stock(
    all_of_stock: tuple[list[Asked], list[Answer]],
) -> tuple[list[Asked], list[Answer]]:
    """Questions under constraints, and its answers."""
    asked, answers = all_of_stock
    return asked[questions.PLAIN :], answers[questions.PLAIN :]
