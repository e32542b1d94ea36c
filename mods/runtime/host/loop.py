"""A host's loop: one thread, one selector, and workers before the API.

Where the handlers of the chain may wait, the same turns are taken inside an event loop, which
carries the waiting handlers on between them.

Invariant: a message of the API is handled only after everything that any worker wrote before it.
A worker writes its feed before the engine reports the token, and the API speaks of the token
afterwards; so it is enough to read the API's bytes first, then to drain every worker, then to
handle one message of the API, and to begin again.
"""

from __future__ import annotations

import array
import asyncio
import os
import selectors
import socket
from collections import deque
from typing import Any

import msgspec

from mods.runtime.decisions import END_SEGMENT
from mods.runtime.host.answers import answer_frame
from mods.runtime.host.arena import ArenaMap
from mods.runtime.host.cells import bound_cells
from mods.runtime.host.frames import MAX_VERDICTS, Frames, FrameTooLongError, frame
from mods.runtime.host.protocol import (
    API,
    TO_HOST,
    WORKER,
    Arena,
    Close,
    Feed,
    Hello,
    Load,
    Open,
    Rehearse,
    Tail,
    Verdicts,
)
from mods.runtime.host.sessions import Sessions
from mods.runtime.host.turns import Turns
from mods.runtime.waiting import at_once

MAX_UNREAD = 128 * 2**20
"""Bytes that wait for a slow reader at most; past that its connection is closed."""
MAX_DESCRIPTORS = 4
"""Descriptors that come along with one message at most."""


class Connection:
    """A stream that neither blocks nor loses the rest of what could not be sent at once."""

    def __init__(self, stream: socket.socket) -> None:
        stream.setblocking(False)
        self.stream = stream
        self.kind: str | None = None
        self.arena: ArenaMap | None = None
        self.open = True
        self.unsent = bytearray()
        self.descriptors: deque[int] = deque()
        """Those that came along with messages, oldest first."""
        self._frames = Frames()

    def receive(self) -> list[Any]:
        """Every message that has come, after reading until nothing is left to read."""
        messages: list[Any] = []
        while self.open:
            try:
                data = self._read()
                messages += [TO_HOST.decode(body) for body in self._frames.add(data)]
            except BlockingIOError:
                break
            except (OSError, FrameTooLongError, msgspec.MsgspecError):
                self.open = False
            else:
                self.open = self.open and bool(data)
        return messages

    def _read(self) -> bytes:
        space = socket.CMSG_SPACE(MAX_DESCRIPTORS * 4)
        data, told, _, _ = self.stream.recvmsg(2**16, space, socket.MSG_CMSG_CLOEXEC)
        for level, kind, content in told:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self.descriptors.extend(array.array("i", content[: len(content) // 4 * 4]))
        return data

    def send(self, data: bytes | bytearray) -> None:
        """Send now what can be sent now; keep the rest for `flush`."""
        self.unsent += data
        self.flush()

    def flush(self) -> None:
        try:
            while self.unsent:
                del self.unsent[: self.stream.send(self.unsent)]
        except BlockingIOError:
            self.open = self.open and len(self.unsent) <= MAX_UNREAD
        except OSError:
            self.open = False


class HostLoop:
    """Accepts, reads and answers until the API is gone."""

    def __init__(self, listener: socket.socket, sessions: Sessions) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._sessions = sessions
        self._selector = selectors.EpollSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._workers: list[Connection] = []
        """Workers, and connections that have not said yet whose they are."""
        self._waiting: deque[tuple[Connection, Any]] = deque()
        """Messages of the API, oldest first."""
        self._api_gone = False
        self._turns: Turns | None = None
        """Who answers, once a chain was loaded whose handlers may wait."""
        self._broke: BaseException | None = None

    def run(self) -> None:
        """Until the API closes its connection."""
        while not self._api_gone:
            if self._turns is not None:
                return self._run_in(asyncio.get_event_loop())
            self._turn(0 if self._waiting else None)

    def _run_in(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_reader(self._selector.fileno(), self._take_turns, loop)
        loop.call_soon(self._take_turns, loop)
        loop.run_forever()
        if self._broke is not None:
            raise self._broke

    def _take_turns(self, loop: asyncio.AbstractEventLoop) -> None:
        """Everything that there is to do now. What is wrong here ends the host, as it does else."""
        try:
            self._turn(0)
            while self._waiting and not self._api_gone:
                self._turn(0)
        except BaseException as error:
            self._broke = error
        if self._api_gone or self._broke is not None:
            loop.stop()

    def _turn(self, wait: float | None) -> None:
        self._read_api(wait)
        self._accept()
        self._serve_workers()
        self._serve_api()

    def _read_api(self, wait: float | None) -> None:
        """Wait this long at most if there is nothing to do, then read what the API has written."""
        for key, events in self._selector.select(wait):
            connection: Connection | None = key.data
            if connection is None:
                continue
            if events & selectors.EVENT_WRITE:
                connection.flush()
                self._watch(connection)
            if connection.kind == API and events & selectors.EVENT_READ:
                self._waiting.extend((connection, message) for message in connection.receive())
                self._api_gone = not connection.open

    def _accept(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except BlockingIOError:
                return
            connection = Connection(stream)
            self._selector.register(stream, selectors.EVENT_READ, connection)
            self._workers.append(connection)

    def _serve_workers(self) -> None:
        for connection in list(self._workers):
            for message in connection.receive():
                self._handle(connection, message)
            if connection.kind == API:
                self._workers.remove(connection)
                self._api_gone = not connection.open
            elif not connection.open:
                self._drop(connection)

    def _serve_api(self) -> None:
        if not self._waiting:
            return
        connection, message = self._waiting.popleft()
        self._answer(connection, message)
        self._api_gone = self._api_gone or not connection.open

    def _handle(self, connection: Connection, message: Any) -> None:
        """A message on a connection that is not known to be the API's."""
        if isinstance(message, Hello) and connection.kind is None:
            connection.kind = message.kind
        elif connection.kind == API:
            self._waiting.append((connection, message))
        elif connection.kind == WORKER and isinstance(message, Feed):
            self._feed(connection, message)
        elif connection.kind == WORKER and isinstance(message, Arena):
            self._map(connection, message)
        else:
            connection.open = False

    def _feed(self, connection: Connection, feed: Feed) -> None:
        arena = connection.arena if feed.arena else None
        if arena is not None and len(feed.rows) > len(arena.rows):
            arena = None
        if self._turns is not None:
            return self._turns.feed(
                feed, arena, lambda verdicts: self._send(connection, _verdicts_frame(verdicts))
            )
        decisions = [
            at_once(self._sessions.decide(row, None if arena is None else arena.logits[index]))
            for index, row in enumerate(feed.rows)
        ]
        verdicts = self._sessions.verdicts(feed, decisions, arena)
        self._send(connection, _verdicts_frame(verdicts))

    def _map(self, connection: Connection, arena: Arena) -> None:
        try:
            descriptor = connection.descriptors.popleft()
            connection.arena = ArenaMap(descriptor, arena.rows, arena.vocabulary)
        except (OSError, ValueError, IndexError):
            connection.open = False

    def _answer(self, connection: Connection, message: Any) -> None:
        if isinstance(message, Load):
            self._send(connection, answer_frame(self._sessions.load(message)))
            if self._sessions.may_wait:
                loop = asyncio.new_event_loop()
                asyncio.set_event_loop(loop)
                self._turns = Turns(self._sessions, loop)
            return
        if isinstance(message, Rehearse):
            return self._send(connection, answer_frame(self._sessions.rehearse(message)))
        assert isinstance(message, (Open, Tail, Close)), f"{message!r:.60} is not the API's to send"
        if self._turns is not None:
            self._turns.ask(message, lambda answer: self._send(connection, answer_frame(answer)))
        else:
            self._send(connection, answer_frame(at_once(self._sessions.answer(message))))

    def _send(self, connection: Connection, data: bytes) -> None:
        if connection.open:
            connection.send(data)
            self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        """Ask to be told when a slow reader can take more."""
        if not connection.open:
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
        key = self._selector.get_key(connection.stream)
        if key.events != events:
            self._selector.modify(connection.stream, events, connection)

    def _drop(self, connection: Connection) -> None:
        self._workers.remove(connection)
        self._selector.unregister(connection.stream)
        connection.stream.close()
        for descriptor in connection.descriptors:
            os.close(descriptor)


def _verdicts_frame(verdicts: Verdicts) -> bytes:
    """The answer to a feed. One that no frame can carry ends every row's segment."""
    try:
        bound_cells(verdicts.decisions)
        return frame(verdicts, MAX_VERDICTS)
    except FrameTooLongError:
        return frame(Verdicts(verdicts.seq, [END_SEGMENT] * len(verdicts.decisions)))
