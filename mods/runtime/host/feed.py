"""The worker's side: every step's rows to the hosts, and their decisions back, synchronously.

Runs inside the engine's step, which carries everybody's requests: nothing here raises for what a
host does, and nothing waits beyond a bound. A host that is late, gone or talks nonsense is
missing from the answer, and its rows end their segments.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from mods.runtime.decisions import Decision
from mods.runtime.host.arena import ArenaFile
from mods.runtime.host.frames import Frames, FrameTooLongError, frame
from mods.runtime.host.page import PageReader
from mods.runtime.host.protocol import (
    TO_WORKER,
    WORKER,
    Arena,
    Feed,
    FeedRow,
    Hello,
    Verdicts,
)

CONNECT_SECONDS = 0.02
GRACE_SECONDS = 0.08
"""How much longer a step waits, once, for a host that has not begun: the machine is busy, and no
mod is to blame. A host that has begun gets none."""
MAX_UNSENT = 16 * 2**20
"""Bytes that may wait for a host that does not read; past that it is given up."""
MAX_REMEMBERED = 10_000
"""Addresses of dead hosts that are remembered; addresses are never used twice."""


class Link:
    """The connection to one host. Owns its socket and its arena."""

    def __init__(self, address: str) -> None:
        self.stream = socket.socket(socket.AF_UNIX)
        try:
            self.stream.settimeout(CONNECT_SECONDS)
            self.stream.connect(address)
        except BaseException:
            self.stream.close()
            raise
        self.stream.setblocking(False)
        self.address = address
        self.unsent = bytearray(frame(Hello(WORKER)))
        self._page = _page_beside(address)
        self._calls_before = 0
        self.owed: dict[int, int] = {}
        """Feeds without an answer yet: number of rows by seq."""
        self.current = 0
        """The seq of this step's feed, 0 if there is none."""
        self.verdicts: Verdicts | None = None
        self.arena: ArenaFile | None = None
        self._frames = Frames()

    def flush(self) -> None:
        """Send what can be sent without waiting. Raises OSError if the host is gone."""
        with suppress(BlockingIOError):
            while self.unsent:
                del self.unsent[: self.stream.send(self.unsent)]
        if len(self.unsent) > MAX_UNSENT:
            raise OSError("the host does not read")

    def receive(self) -> None:
        """Take in the verdicts that have come. Raises OSError, ValueError or MsgspecError."""
        with suppress(BlockingIOError):
            while self.owed:
                data = self.stream.recv(2**16)
                if not data:
                    raise OSError("the host closed its connection")
                for body in self._frames.add(data):
                    self._take(TO_WORKER.decode(body))

    def begin(self, seq: int, rows: int) -> None:
        """A feed with this number is on its way."""
        self.current, self.verdicts = seq, None
        self.owed[seq] = rows
        self._calls_before = self._calls()

    @property
    def awaited(self) -> bool:
        """Whether this step waits for this host."""
        return bool(self.current) and self.verdicts is None

    def starved(self) -> bool:
        """Whether the host is awaited and no handler of it has run since the feed was sent."""
        if not self.awaited or self._page is None:
            return False
        started, calls, _ = self._page.running()
        return not started and calls == self._calls_before

    def _calls(self) -> int:
        return self._page.running()[1] if self._page is not None else 0

    def close(self) -> None:
        self.stream.close()
        if self._page is not None:
            self._page.close()
        if self.arena is not None:
            self.arena.close()

    def _take(self, verdicts: Verdicts) -> None:
        """An answer to an older step comes too late: it frees the arena and is dropped."""
        if self.owed.pop(verdicts.seq, None) != len(verdicts.decisions):
            raise ValueError("verdicts that nobody asked for")
        if verdicts.seq == self.current:
            self.verdicts = verdicts


def _page_beside(address: str) -> PageReader | None:
    """The host's status page, if it has one where its socket is."""
    with suppress(OSError):
        return PageReader(Path(address).with_suffix(".page"))
    return None


class Feeds:
    """Links by address. One step is any number of `send`s, one a host, and then one `collect`.

    run_dir: where arenas are made; a host whose socket lies elsewhere is not spoken to. None:
    arenas lie beside the socket.
    """

    def __init__(self, run_dir: Path | None = None) -> None:
        self._run_dir = None if run_dir is None else run_dir.absolute()
        self._links: dict[str, Link] = {}
        self._dead: dict[str, None] = {}
        self._by_descriptor: dict[int, Link] = {}
        self._poll = select.epoll()
        self._numbers = count(1)
        self._arenas = count(1)

    def send(
        self,
        address: str,
        rows: Sequence[FeedRow],
        logits: NDArray[np.float32] | None = None,
    ) -> None:
        """Send one step's rows to one host, once a step. logits: shape [len(rows), vocabulary].

        Never raises for a host that is gone, and never waits for one: what its socket does not
        take now is sent at the next chance, in order.
        """
        link = self._link(address)
        if link is None:
            return
        try:
            self._send(link, rows, logits)
        except (OSError, ValueError, msgspec.MsgspecError):
            self._lose(link)

    def collect(self, deadline: float) -> dict[str, list[Decision]]:
        """Decisions by address, in the order of the rows sent, from the hosts that were in time.

        deadline: `time.monotonic()` in seconds until which to wait; a starved host gets a little
        more. Ends the step.
        """
        answers: dict[str, list[Decision]] = {}
        grace = GRACE_SECONDS
        while any(link.awaited for link in self._links.values()):
            left = deadline - time.monotonic()
            if left <= 0 and grace and any(link.starved() for link in self._links.values()):
                deadline, grace = deadline + grace, 0.0
                continue
            ready = self._poll.poll(max(0.0, left))
            for descriptor, events in ready:
                self._tend(self._by_descriptor[descriptor], events)
            if not ready and left <= 0:
                break
        for link in self._links.values():
            if link.verdicts is not None:
                answers[link.address] = link.verdicts.decisions
            link.current = 0
        return answers

    def row(self, address: str, index: int) -> NDArray[np.float32]:
        """The whole row that came with a `Shape(row=True)`: float32, shape [as the mod gave].

        Valid between `collect` and the next `send` to this host. Zeros if the host is gone.
        """
        link = self._links.get(address)
        if link is not None and link.verdicts is not None:
            apart = link.verdicts.rows.get(index)
            if apart is not None:
                return np.frombuffer(apart[: len(apart) // 4 * 4], dtype=np.float32)
            if link.arena is not None and index < link.arena.rows:
                return link.arena.read(index)
        return np.zeros(0, dtype=np.float32)

    def forget(self, address: str) -> None:
        """Close the connection to a host that is not needed any more, and remove its arena."""
        link = self._links.get(address)
        if link is not None:
            self._lose(link)
        self._dead.pop(address, None)

    def close(self) -> None:
        """Forget every host."""
        for address in list(self._links):
            self.forget(address)
        self._poll.close()

    def _send(
        self, link: Link, rows: Sequence[FeedRow], logits: NDArray[np.float32] | None
    ) -> None:
        assert not link.current, f"two feeds for {link.address} in one step"
        link.receive()
        # While the host owes an answer it may still read or write the arena.
        shared = logits is not None and not link.owed
        if shared and logits is not None:
            self._write(link, logits)
        link.begin(next(self._numbers), len(rows))
        link.unsent += frame(Feed(link.current, list(rows), shared))
        link.flush()
        if link.unsent:
            self._poll.modify(link.stream, select.EPOLLIN | select.EPOLLOUT)

    def _write(self, link: Link, logits: NDArray[np.float32]) -> None:
        """Put rows into the host's arena, which is made or grown first where it must be."""
        count_, vocabulary = logits.shape
        if link.arena is None or not link.arena.holds(count_, vocabulary):
            folder = self._run_dir or Path(link.address).parent
            name = f"{Path(link.address).stem}.{os.getpid()}.{next(self._arenas)}.rows"
            fresh = ArenaFile(folder / name, count_, vocabulary)
            if link.arena is not None:
                link.arena.close()
            link.arena = fresh
            link.unsent += frame(Arena(str(fresh.path), fresh.rows, vocabulary))
        link.arena.write(logits)

    def _tend(self, link: Link, events: int) -> None:
        try:
            if events & select.EPOLLOUT:
                link.flush()
                if not link.unsent:
                    self._poll.modify(link.stream, select.EPOLLIN)
            if events & ~select.EPOLLOUT:
                if not link.owed:
                    raise OSError("the host speaks unasked, or closed its connection")
                link.receive()
        except (OSError, FrameTooLongError, ValueError, msgspec.MsgspecError):
            self._lose(link)

    def _link(self, address: str) -> Link | None:
        link = self._links.get(address)
        if link is None and address not in self._dead:
            try:
                link = self._connect(address)
            except (TimeoutError, BlockingIOError):
                return None
            except (OSError, ValueError):
                self._mourn(address)
        return link

    def _connect(self, address: str) -> Link:
        if self._run_dir is not None and Path(address).parent != self._run_dir:
            raise ValueError(f"{address} is not in {self._run_dir}")
        link = Link(address)
        self._links[address] = link
        self._by_descriptor[link.stream.fileno()] = link
        self._poll.register(link.stream, select.EPOLLIN)
        return link

    def _lose(self, link: Link) -> None:
        del self._links[link.address]
        del self._by_descriptor[link.stream.fileno()]
        self._poll.unregister(link.stream)
        link.close()
        self._mourn(link.address)

    def _mourn(self, address: str) -> None:
        """Remember that there is no host at this address, so that no step tries again."""
        if len(self._dead) >= MAX_REMEMBERED:
            del self._dead[next(iter(self._dead))]
        self._dead[address] = None
