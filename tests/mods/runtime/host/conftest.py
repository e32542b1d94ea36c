"""Real processes: a pool in a folder of its own, and feeds as a worker would send them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mods.runtime.host.feed import Feeds
from mods.runtime.host.pool import HostPool

TOKENIZER = Path(__file__).parents[4] / "server" / "demo" / "model"


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """Short, because a socket's path must be."""
    folder = Path(tempfile.mkdtemp(prefix="hosts-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def pool(run_dir: Path) -> AsyncIterator[HostPool]:
    pool = HostPool(run_dir, TOKENIZER, hard_deadline=0.4)
    await pool.start()
    yield pool
    await pool.stop()


@pytest.fixture
def feeds(run_dir: Path) -> Iterator[Feeds]:
    feeds = Feeds(run_dir)
    yield feeds
    feeds.close()
