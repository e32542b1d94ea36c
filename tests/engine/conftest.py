"""One real engine for the whole test session: its start-up costs half a minute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine import questions
from tests.engine.live import Live, serving
from tests.engine.stock import Answer, Asked, ask

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
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The demo model in float32; long prompts are prefilled in chunks, and many at once preempt."""
    # A host may go without a core for a second on a busy machine: that is no mod's fault.
    # All tests together are one user, with more mods than one user has.
    patient = {"CONCORDANCE_HARD_DEADLINE_S": "3", "CONCORDANCE_MAX_MODS": "10000"}
    with serving(tmp_path_factory.mktemp("home"), *OPTIONS, **patient) as server:
        yield server


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
