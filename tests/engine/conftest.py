"""One real engine for the whole test session: its start-up costs half a minute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.live import Live, serving

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
    patient = {"CONCORDANCE_HARD_DEADLINE_S": "3"}
    with serving(tmp_path_factory.mktemp("home"), *OPTIONS, **patient) as server:
        yield server
