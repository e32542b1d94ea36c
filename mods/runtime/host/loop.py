"""A host's loop: one thread, one selector, and workers before the API.

Invariant: a message of the API is handled only after everything that any worker wrote before it.
A worker writes its feed before the engine reports the token, and the API speaks of the token
afterwards; so it is enough to read the API's bytes first, then to drain every worker, then to
handle one message of the API, and to begin again.
"""

from __future__ import annotations

import selectors
import socket
from collections import deque
from typing import Any

import msgspec

from mods.runtime.decisions import END_SEGMENT
from mods.runtime.host.answers import answer_frame
from mods.runtime.host.arena import ArenaMap
from mods.runtime.host.frames import Frames, FrameTooLongError, frame
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
    Tail,
    Verdicts,
)
from mods.runtime.host.sessions import Sessions

MAX_UNREAD = 128 * 2**20
"""Bytes that wait for a slow reader at most; past that its connection is closed."""


class Connection:
    """A stream that neither blocks nor loses the rest of what could not be sent at once."""

    def __init__(self, stream: socket.socket) -> None:
        stream.setblocking(False)
        self.stream = stream
        self.kind: str | None = None
        self.arena: ArenaMap | None = None
        self.open = True
        self.unsent = bytearray()
        self._frames = Frames()

    def receive(self) -> list[Any]:
        """Every message that has come, after reading until nothing is left to read."""
        messages: list[Any] = []
        while self.open:
            try:
                data = self.stream.recv(2**16)
                messages += [TO_HOST.decode(body) for body in self._frames.add(data)]
            except BlockingIOError:
                break
            except (OSError, FrameTooLongError, msgspec.MsgspecError):
                self.open = False
            else:
                self.open = self.open and bool(data)
        return messages

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
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._workers: list[Connection] = []
        """Workers, and connections that have not said yet whose they are."""
        self._waiting: deque[tuple[Connection, Any]] = deque()
        """Messages of the API, oldest first."""
        self._api_gone = False

    def run(self) -> None:
        """Until the API closes its connection."""
        while not self._api_gone:
            self._read_api()
            self._accept()
            self._serve_workers()
            self._serve_api()

    def _read_api(self) -> None:
        """Wait if there is nothing to do, then read what the API has written."""
        for key, events in self._selector.select(0 if self._waiting else None):
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
            connection.send(self._verdicts(message, connection.arena))
            self._watch(connection)
        elif connection.kind == WORKER and isinstance(message, Arena):
            self._map(connection, message)
        else:
            connection.open = False

    def _verdicts(self, feed: Feed, arena: ArenaMap | None) -> bytes:
        try:
            return frame(self._sessions.feed(feed, arena))
        except FrameTooLongError:
            return frame(Verdicts(feed.seq, [END_SEGMENT] * len(feed.rows)))

    def _map(self, connection: Connection, arena: Arena) -> None:
        try:
            connection.arena = ArenaMap(arena.path, arena.rows, arena.vocabulary)
        except (OSError, ValueError):
            connection.open = False

    def _answer(self, connection: Connection, message: Any) -> None:
        connection.send(answer_frame(self._ask(message)))
        self._watch(connection)

    def _ask(self, message: Any) -> Any:
        if isinstance(message, Open):
            return self._sessions.open(message)
        if isinstance(message, Tail):
            return self._sessions.tail(message)
        if isinstance(message, Close):
            return self._sessions.close(message)
        assert isinstance(message, Load), f"{type(message).__name__} is not for the API to send"
        return self._sessions.load(message)

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
