"""Real triers over the demo model's vocabulary."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mods.runtime.grammar.source import VocabularySource
from mods.sdk.tokenizer import load_tokenizer
from server.constraints.admission import Admission
from server.constraints.triers import Triers

MODEL = Path(__file__).parents[3] / "server" / "demo" / "model"


@pytest.fixture(scope="session")
def source() -> VocabularySource:
    return VocabularySource.of(load_tokenizer(MODEL), 2112)


@pytest.fixture
async def triers(source: VocabularySource) -> AsyncIterator[Triers]:
    triers = Triers(source, most=4)
    await triers.start()
    yield triers
    await triers.stop()


@pytest.fixture
def admission(triers: Triers) -> Admission:
    return Admission(triers)
