"""A process that spools traces as fast as it is told, and says which are acknowledged.

    python -m tests.server.traces.spooling_child FOLDER LIFE TRACES_A_SECOND

It writes a line `LIFE-n` to standard output once trace n is durable, and never more. It runs
until it is killed.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from server.traces.spool import Spool
from server.traces.trace import Trace
from tests.server.traces.making import made, modded

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def numbered(name: str) -> Trace:
    """The trace of this name `life-number`: the same each time it is made."""
    number = int(name.rpartition("-")[2])
    created = BEGINNING + timedelta(seconds=number)
    if number % 10 == 0:
        return modded(name, created_at=created)
    return made(name, 5 + number % 40, created_at=created)


def say(name: str, kept: Future[bool]) -> None:
    if kept.result():
        os.write(1, f"{name}\n".encode())


def main(folder: Path, life: str, rate: float) -> None:
    spool = Spool(folder)
    number = 0
    while True:
        name = f"{life}-{number}"
        spool.append(numbered(name)).add_done_callback(partial(say, name))
        number += 1
        time.sleep(1 / rate)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
