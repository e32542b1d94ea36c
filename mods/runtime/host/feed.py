"""The worker's side: every step's rows to the hosts, and their decisions back, synchronously.

Runs inside the engine's step, which carries everybody's requests: nothing here raises for what a
host does, and nothing waits, reads or counts beyond a bound. A host that is late, gone or talks
nonsense is missing from the answer, and its rows end their segments.
"""

from __future__ import annotations

import select
import socket
import struct
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
from mods.runtime.host.cells import bound_cells
from mods.runtime.host.decoding import decode
from mods.runtime.host.frames import MAX_VERDICTS, Frames, FrameTooLongError, frame
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
from mods.runtime.host.usage import Usage

CONNECT_SECONDS = 0.02
GRACE_SECONDS = 0.08
"""How much longer a step waits at most for a host that has not begun: the machine is busy, and no
mod is to blame. A host that has begun gets nothing."""
GRACE_STEP = 0.01
"""The grace is given in pieces. The first is given on the word of the host's page, which a mod can
forge; every other only if the kernel says that the process waits for a processor."""
CATCH_UP_SECONDS = 0.002
"""How long to read, before a feed, what a host has said since it was last asked."""
MAX_UNSENT = 16 * 2**20
"""Bytes that may wait for a host that does not read; past that it is given up."""
MAX_REMEMBERED = 10_000
"""Addresses of dead hosts that are remembered; addresses are never used twice."""


_CREDENTIALS = struct.Struct("=3i")


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
        self.going: list[int] = []
        """Descriptors that go along with the next bytes sent: no later than their message."""
        self._page = _page_beside(address)
        self._calls_before = 0
        self._usage = Usage(_pid_behind(self.stream))
        self._ran: float | None = None
        """Its time on a processor when this step last looked."""
        self.owed: dict[int, int] = {}
        """Feeds without an answer yet: number of rows by seq."""
        self.current = 0
        """The seq of this step's feed, 0 if there is none."""
        self.verdicts: Verdicts | None = None
        self.arena: ArenaFile | None = None
        self._frames = Frames(MAX_VERDICTS)

    def flush(self) -> None:
        """Send what can be sent without waiting. Raises OSError if the host is gone."""
        with suppress(BlockingIOError):
            while self.unsent:
                del self.unsent[: self._send()]
        if len(self.unsent) > MAX_UNSENT:
            raise OSError("the host does not read")

    def _send(self) -> int:
        if not self.going:
            return self.stream.send(self.unsent)
        sent = socket.send_fds(self.stream, [self.unsent], self.going)
        self.going.clear()
        return sent

    def receive(self, until: float) -> None:
        """Take in the verdicts that have come, or their beginning if that takes too long.

        until: `time.monotonic()` after which to stop. Raises OSError, ValueError or MsgspecError.
        """
        with suppress(BlockingIOError):
            while self.owed:
                data = self.stream.recv(2**16)
                if not data:
                    raise OSError("the host closed its connection")
                for body in self._frames.add(data):
                    self._take(decode(TO_WORKER, body))
                if time.monotonic() > until:
                    return

    def begin(self, seq: int, rows: int) -> None:
        """A feed with this number is on its way."""
        self.current, self.verdicts = seq, None
        self.owed[seq] = rows
        self._calls_before = self._calls()
        self._ran = None

    @property
    def awaited(self) -> bool:
        """Whether this step waits for this host."""
        return bool(self.current) and self.verdicts is None

    def starved(self) -> bool:
        """Whether the host is awaited, has begun nothing since the feed, and is not let run.

        To be asked again every `GRACE_STEP`: it compares with the last time.
        """
        if not self.awaited or self._page is None:
            return False
        started, calls, _ = self._page.running()
        if started or calls != self._calls_before:
            return False
        looked = self._usage.look()
        if looked is None:
            return True
        ready, ran = looked
        before, self._ran = self._ran, ran
        return before is None or (ready and ran - before < GRACE_STEP / 2)

    def _calls(self) -> int:
        return self._page.running()[1] if self._page is not None else 0

    def close(self) -> None:
        self.stream.close()
        self._usage.close()
        if self._page is not None:
            self._page.close()
        if self.arena is not None:
            self.arena.close()

    def _take(self, verdicts: Verdicts) -> None:
        """An answer to an older step comes too late: it frees the arena and is dropped."""
        if self.owed.pop(verdicts.seq, None) != len(verdicts.decisions):
            raise ValueError("verdicts that nobody asked for")
        if verdicts.seq == self.current:
            bound_cells(verdicts.decisions)
            self.verdicts = verdicts


def _pid_behind(stream: socket.socket) -> int:
    """The process that listens at the other end."""
    credentials = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(credentials)[0])


def _page_beside(address: str) -> PageReader | None:
    """The host's status page, if it has one where its socket is."""
    with suppress(OSError):
        return PageReader(Path(address).with_suffix(".page"))
    return None


class Feeds:
    """Links by address. One step is any number of `send`s, one a host, and then one `collect`.

    run_dir: the folder of the hosts' sockets; one that lies elsewhere is not spoken to. None: any.
    """

    def __init__(self, run_dir: Path | None = None) -> None:
        self._run_dir = None if run_dir is None else run_dir.absolute()
        self._links: dict[str, Link] = {}
        self._dead: dict[str, None] = {}
        self._by_descriptor: dict[int, Link] = {}
        self._poll = select.epoll()
        self._numbers = count(1)

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
        limit = deadline + GRACE_SECONDS
        while any(link.awaited for link in self._links.values()):
            left = deadline - time.monotonic()
            for descriptor, events in self._poll.poll(max(0.0, left)):
                self._tend(self._by_descriptor[descriptor], events, deadline)
            if left > 0:
                continue
            if deadline >= limit or not self._any_starved():
                break
            deadline = min(limit, time.monotonic() + GRACE_STEP)
        for link in self._links.values():
            if link.verdicts is not None:
                answers[link.address] = link.verdicts.decisions
            link.current = 0
        return answers

    def _any_starved(self) -> bool:
        starved = [link for link in self._links.values() if link.starved()]
        return bool(starved)

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
        link.receive(time.monotonic() + CATCH_UP_SECONDS)
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
            fresh = ArenaFile(count_, vocabulary)
            if link.arena is not None:
                # Nothing is owed, so nothing waits to be sent: the old descriptor has gone over.
                link.arena.close()
            link.arena = fresh
            link.going.append(fresh.descriptor)
            link.unsent += frame(Arena(fresh.rows, vocabulary))
        link.arena.write(logits)

    def _tend(self, link: Link, events: int, until: float) -> None:
        try:
            if events & select.EPOLLOUT:
                link.flush()
                if not link.unsent:
                    self._poll.modify(link.stream, select.EPOLLIN)
            if events & ~select.EPOLLOUT:
                if not link.owed:
                    raise OSError("the host speaks unasked, or closed its connection")
                link.receive(until)
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
