"""What the tests of hosts say to them: sources of mods, requests, and one step of a worker."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mods.runtime.decisions import Decision, SessionSpec
from mods.runtime.host.client import Host
from mods.runtime.host.feed import Feeds
from mods.runtime.host.pool import HostPool
from mods.runtime.host.protocol import FeedRow
from mods.runtime.package import Package

VOCABULARY = 64


def package(body: str, declare: str = "", before: str = "") -> Package:
    """A mod whose handler has this body (one statement a line)."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return Package.from_source(
        f"from mods.sdk import mod\n{before}\n"
        f"@mod({declare})\ndef tested(event, actions, tokenizer):\n{lines}\n"
    )


NOOP = "return actions.noop()"


def spec(session: int, **changes: object) -> SessionSpec:
    fields: dict[str, object] = {
        "session": session,
        "request_id": f"request-{session}",
        "prompt": [1, 2, 3],
        "max_tokens": 100,
        "max_context": 1000,
        "vocabulary": VOCABULARY,
        "sentinel": 0,
    }
    return SessionSpec(**(fields | changes))  # type: ignore[arg-type]


async def host_of(
    pool: HostPool, caller: str, packages: Sequence[Package], shared: Mapping[str, str]
) -> Host:
    """A host that was acquired and given back: the pool may stop it once it is idle."""
    async with pool.acquire(caller, packages, shared) as host:
        return host


async def hosted(pool: HostPool, body: str, declare: str = "", before: str = "") -> Host:
    return await host_of(pool, "anna", [package(body, declare, before)], {})


def step(
    feeds: Feeds,
    host: Host,
    rows: list[FeedRow],
    logits: NDArray[np.float32] | None = None,
    seconds: float = 2.0,
) -> list[Decision] | None:
    """One step of a worker with one host; None if the host was late or gone."""
    feeds.send(host.address, rows, logits)
    return feeds.collect(time.monotonic() + seconds).get(host.address)


def first(session: int) -> FeedRow:
    """The first row of a session's first segment."""
    return FeedRow(session, 1, 0, -1)


def process(pid: int, name: str) -> str:
    """A file of the kernel's about a process, "" once there is none."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Whether the process still runs; one that only waits to be reaped does not."""
    stat = process(pid, "stat")
    return bool(stat) and stat.rpartition(")")[2].split()[0] not in "ZX"


def descriptors(pid: int) -> list[str]:
    """What a process has open, above its standard streams."""
    folder = Path(f"/proc/{pid}/fd")
    return [os.readlink(entry) for entry in folder.iterdir() if int(entry.name) > 2]


async def until_dead(*pids: int, seconds: float = 2.0) -> None:
    for _ in range(int(seconds * 100)):
        if not any(alive(pid) for pid in pids):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"still alive: {[pid for pid in pids if alive(pid)]}")
