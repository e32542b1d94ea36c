"""The parts of a token's way are measured on a real host."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.mods import BRANCHES
from bench.rows import hot_path
from mods.runtime.host.feed import Feeds
from mods.runtime.host.pool import HostPool
from mods.runtime.package import Package
from server.demo import MODEL_PATH


async def test_a_step_s_time_falls_into_its_parts() -> None:
    with tempfile.TemporaryDirectory() as home:
        pool, feeds = HostPool(Path(home) / "hosts", MODEL_PATH), Feeds()
        await pool.start()
        try:
            async with pool.acquire("bench", [Package.from_source(BRANCHES)], {}) as host:
                batch = await hot_path.opened(host, feeds, 4)
                parts = [hot_path.one_step(batch, host) for _ in range(3)]
                there_and_back = await hot_path.round_trip(host, 1000)
        finally:
            feeds.close()
            await pool.stop()
    assert all(set(part) == {"feed", "wait", "host", "edit"} for part in parts)
    assert all(part["feed"] > 0 and part["host"] > 0 and part["edit"] > 0 for part in parts)
    assert all(len(row.output) == 3 for row in batch.rows.values())
    assert there_and_back > 0


def test_a_token_s_text_takes_time() -> None:
    assert hot_path.text_of_a_token(MODEL_PATH, 8) > 0
