"""What a host that means harm can cost the worker: one deadline, and never more."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mods.runtime.decisions import END_SEGMENT, LEAVE, Decision, Shape
from mods.runtime.host.cells import MAX_CELLS
from mods.runtime.host.feed import Feeds
from mods.runtime.host.frames import MAX_VERDICTS, frame
from mods.runtime.host.pool import HostPool
from mods.runtime.host.protocol import FeedRow, Verdicts
from tests.mods.runtime.host.acting import (
    NOOP,
    first,
    host_of,
    hosted,
    package,
    spec,
    step,
)
from tests.timing import in_time, since

SOFT = 0.02
NOISE = 0.5
"""Seconds by which a busy machine may be late."""


@contextmanager
def liar(run_dir: Path, says: Callable[[socket.socket], None]) -> Iterator[str]:
    """A host that says this, once it is spoken to. Gives its address."""
    address = str(run_dir / "liar.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()

        def live() -> None:
            with suppress(OSError):
                stream, _ = listener.accept()
                with stream:
                    stream.recv(2**16)
                    says(stream)

        thread = threading.Thread(target=live, daemon=True)
        thread.start()
        yield address
    thread.join(5)


def collected(feeds: Feeds, address: str, rows: int = 1) -> tuple[float, object]:
    """(seconds, decisions) of a step with the liar."""
    feeds.send(address, [first(number) for number in range(rows)])
    began = time.monotonic()
    answer = feeds.collect(began + SOFT).get(address)
    return time.monotonic() - began, answer


def endless(stream: socket.socket) -> None:
    stream.sendall(struct.pack("<I", MAX_VERDICTS))
    while True:
        stream.sendall(bytes(2**16))


def dripping(stream: socket.socket) -> None:
    for byte in frame(Verdicts(1, [LEAVE])):
        stream.sendall(bytes([byte]))
        time.sleep(0.01)


def too_long(stream: socket.socket) -> None:
    stream.sendall(struct.pack("<I", MAX_VERDICTS + 1))


def too_many(stream: socket.socket) -> None:
    stream.sendall(frame(Verdicts(1, [LEAVE] * 400_000)))


def twice(stream: socket.socket) -> None:
    stream.sendall(frame(Verdicts(1, [LEAVE])) * 2)


@pytest.mark.parametrize("says", [endless, dripping, too_long, too_many])
def test_a_step_takes_no_longer_whatever_a_host_writes(
    says: Callable[[socket.socket], None], feeds: Feeds, run_dir: Path
) -> None:
    with liar(run_dir, says) as address:
        seconds, answer = collected(feeds, address)
        assert answer is None
        assert in_time(seconds, SOFT + NOISE)
        feeds.close()


def test_who_speaks_unasked_is_not_spoken_to_again(feeds: Feeds, run_dir: Path) -> None:
    with liar(run_dir, twice) as address:
        _, answer = collected(feeds, address)
        assert answer in ([LEAVE], None)
        for _ in range(50):
            collected(feeds, address)
            if not feeds._links:
                break
            time.sleep(0.01)
        assert not feeds._links


def test_rows_beyond_what_a_step_can_carry_end_their_segments(feeds: Feeds, run_dir: Path) -> None:
    heavy = Shape(ban=list(range(MAX_CELLS // 2 + 1)))
    decisions: list[Decision] = [heavy, heavy, LEAVE]

    def says(stream: socket.socket) -> None:
        stream.sendall(frame(Verdicts(1, decisions)))
        stream.recv(1)

    with liar(run_dir, says) as address:
        feeds.send(address, [first(number) for number in range(3)])
        answer = feeds.collect(time.monotonic() + 2.0).get(address)
        assert answer == [heavy, END_SEGMENT, LEAVE]
        feeds.close()


FORGES = """\
if event.name != 'ForwardPass' or event.position != 1:
    return actions.noop()
import gc, time
page = [found for found in gc.get_objects() if type(found).__name__ == 'Page'][0]
page.call_ends()
page._words[1] -= 1
time.sleep(0.3)"""
"""Its page says that it has not begun."""


async def test_a_forged_page_buys_a_hundredth_of_a_second_and_no_grace(
    pool: HostPool, feeds: Feeds
) -> None:
    host = await hosted(pool, FORGES, "logits=False, confidence=False")
    await host.open(spec(1))
    assert step(feeds, host, [first(1)], seconds=10.0) == [LEAVE]
    began = time.monotonic()
    assert step(feeds, host, [FeedRow(1, 1, 1, 5)], seconds=SOFT) is None
    assert in_time(since(began), SOFT + 0.01 + NOISE)


async def test_a_host_can_neither_connect_to_another_nor_read_what_is_shared_with_it(
    pool: HostPool, feeds: Feeds
) -> None:
    """The address and the page of each are files of the server's; what is shared has no name."""
    anna = await host_of(pool, "anna", [package(NOOP, "logits=True")], {})
    for path in (anna.address, str(Path(anna.address).with_suffix(".page"))):
        assert os.stat(path).st_mode & 0o077 == 0
    assert os.stat(pool.run_dir).st_mode & 0o077 == 0
