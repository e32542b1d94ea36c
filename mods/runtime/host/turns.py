"""What a host does for a chain whose handlers may wait: each message is a task.

Messages about one session take their turns strictly one after the other, in the order in which
they came. So a session with a waiting handler is like one in a slow host of its own, and everything
that holds of slow hosts holds of it; only that the worker is told at once, and need not wait for
its soft deadline. All code runs in one thread, and what is asked of other sessions goes on between
the steps of those that wait.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from mods.runtime.decisions import END_SEGMENT, Decision
from mods.runtime.host.answers import failure
from mods.runtime.host.arena import ArenaMap, Rows
from mods.runtime.host.protocol import Close, Closed, Feed, Open, Reply, Tail, Verdicts
from mods.runtime.host.sessions import Sessions
from mods.sdk.errors import ModError

T = TypeVar("T")


class Turns:
    """Turns of sessions, in an event loop that somebody else runs."""

    def __init__(self, sessions: Sessions, loop: asyncio.AbstractEventLoop) -> None:
        self._sessions, self._loop = sessions, loop
        self._under_way: dict[int, list[asyncio.Task[Any]]] = defaultdict(list)
        """By session, oldest first: the first one runs or waits, the others wait for it."""

    def ask(self, message: Open | Tail | Close, answered: Callable[[Reply | Closed], None]) -> None:
        """Answer the API in the session's turn. A `Close` ends what the session waits for."""
        session = message.spec.session if isinstance(message, Open) else message.session
        if isinstance(message, Close):
            self._sessions.abandon(session)
            for task in self._under_way[session]:
                task.cancel()
        turn = self._begin(session, lambda: self._sessions.answer(message))
        turn.add_done_callback(lambda done: answered(_outcome(message.id, done)))

    def feed(
        self, feed: Feed, arena: ArenaMap | None, answered: Callable[[Verdicts], None]
    ) -> None:
        """Begin a turn for each row of a step; answer as soon as each has run or waits."""
        logits = _kept(arena.logits, len(feed.rows)) if arena is not None else None
        turns = [
            self._begin(row.session, self._deciding(feed, index, logits))
            for index, row in enumerate(feed.rows)
        ]
        # Handles run in the order in which they were made: after the first step of every turn.
        self._loop.call_soon(lambda: answered(self._settled(feed, turns, arena)))

    def _settled(
        self, feed: Feed, turns: Sequence[asyncio.Task[Decision]], arena: ArenaMap | None
    ) -> Verdicts:
        decisions: list[Decision] = []
        for row, turn in zip(feed.rows, turns, strict=True):
            if not turn.done():
                self._sessions.ends_while_it_waits(row.session)
            decided = turn.done() and not turn.cancelled()
            decisions.append(turn.result() if decided else END_SEGMENT)
        return self._sessions.verdicts(feed, decisions, arena)

    def _deciding(
        self, feed: Feed, index: int, logits: Rows | None
    ) -> Callable[[], Coroutine[Any, Any, Decision]]:
        row = None if logits is None else logits[index]
        return lambda: self._sessions.decide(feed.rows[index], row)

    def _begin(self, session: int, call: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        turns = self._under_way[session]
        turn = self._loop.create_task(_after(turns[-1] if turns else None, call))
        turns.append(turn)
        turn.add_done_callback(lambda done: self._ended(session, done))
        return turn

    def _ended(self, session: int, turn: asyncio.Task[Any]) -> None:
        turns = self._under_way[session]
        turns.remove(turn)
        if not turns:
            del self._under_way[session]


async def _after(before: asyncio.Task[Any] | None, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    if before is not None and not before.done():
        await asyncio.wait([before])
    return await call()


def _outcome(number: int, turn: asyncio.Task[Reply | Closed]) -> Reply | Closed:
    if turn.cancelled():
        return Reply(number, failure(ModError("the session was closed while a handler waited")))
    return turn.result()


def _kept(logits: Rows, rows: int) -> Rows:
    """The rows of one step, as they are now: the worker goes on while a handler waits."""
    kept = logits[:rows].copy()
    kept.flags.writeable = False
    return kept
