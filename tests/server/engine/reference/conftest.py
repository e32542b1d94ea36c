"""The bundled model in the reference loop, loaded once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from server.demo import MODEL_PATH
from server.engine.reference.loop import ReferenceLoop


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The model is so small that threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def loop() -> ReferenceLoop:
    return ReferenceLoop.load(MODEL_PATH)
