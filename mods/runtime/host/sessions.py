"""The sessions of one host: messages in, machines called, messages out. No sockets here.

This is the boundary at which an error in a session, whatever its cause, becomes that session's
failure and spares its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mods.runtime.decisions import (
    END_SEGMENT,
    LEAVE,
    Decision,
    Fail,
    Next,
    SessionSpec,
    Shape,
)
from mods.runtime.host.answers import failure, load_failed, unexpected
from mods.runtime.host.arena import ArenaMap
from mods.runtime.host.page import SLOTS, Page
from mods.runtime.host.protocol import (
    Close,
    Closed,
    Feed,
    FeedRow,
    Load,
    Loaded,
    LoadFailed,
    Open,
    Reply,
    Tail,
    Verdicts,
)
from mods.runtime.host.speech import Speech
from mods.runtime.machine import Machine
from mods.runtime.package import Package
from mods.runtime.seat import LoadedMod
from mods.sdk.errors import HostError, ModError

Loader = Callable[[Sequence[Package], Mapping[str, str]], list[LoadedMod]]
"""Imports a chain of packages, with the shared modules that they may import."""


MAX_APART = 32 * 2**20
"""Bytes of whole rows that one answer carries outside the arena, give or take a row."""


@dataclass(frozen=True, slots=True)
class Place:
    """A session's machine and its slot on the page."""

    machine: Machine
    slot: int


class HandlerWatch:
    """Marks every handler call on the page, and ends its unfinished line of print."""

    def __init__(self, page: Page, speech: Speech) -> None:
        self.call_begins = page.call_begins
        self._page = page
        self._speech = speech

    def call_ends(self) -> None:
        self._page.call_ends()
        self._speech.call_ends()


class Sessions:
    """Machines by session, over one loaded chain."""

    def __init__(self, tokenizer: Any, loader: Loader, page: Page, speech: Speech) -> None:
        self._tokenizer = tokenizer
        self._loader = loader
        self._page = page
        self._speech = speech
        self._watch = HandlerWatch(page, speech)
        self._chain: list[LoadedMod] = []
        self._places: dict[int, Place] = {}
        self._broken: dict[int, Fail] = {}

    def load(self, message: Load) -> Loaded | LoadFailed:
        """Import the chain. What its import raises becomes the answer."""
        try:
            self._chain = self._loader(message.packages, message.shared)
        except BaseException as error:
            return load_failed(error, self._speech.unclaimed())
        return Loaded([mod.traits for mod in self._chain], self._speech.unclaimed())

    def open(self, message: Open) -> Reply:
        session = message.spec.session
        if session in self._places:
            return Reply(message.id, failure(ModError(f"session {session} is open already")))
        slot = self._page.take_slot()
        if slot is None:
            full = HostError(f"more than {SLOTS} sessions are open on one mod chain; try later")
            return Reply(message.id, failure(full))
        place = self._places[session] = self._place(message.spec, slot)
        return Reply(message.id, self._next(session, place, place.machine.open), slot)

    def tail(self, message: Tail) -> Reply:
        session = message.session
        place = self._places.get(session)
        if place is None:
            return Reply(message.id, failure(ModError(f"session {session} is not open")))
        answer = self._next(
            session,
            place,
            lambda: place.machine.tail(message.segment, message.position, message.token),
        )
        return Reply(message.id, answer, place.slot)

    def close(self, message: Close) -> Closed:
        place = self._places.pop(message.session, None)
        self._broken.pop(message.session, None)
        if place is None:
            return Closed(message.id, {})
        self._page.give_slot(place.slot)
        try:
            return Closed(message.id, place.machine.close(message.reason))
        except BaseException as error:
            return Closed(message.id, {"failures": [{"message": unexpected(error)}]})

    def feed(self, feed: Feed, arena: ArenaMap | None) -> Verdicts:
        """The decisions for one step's rows."""
        shared = arena if feed.arena and arena and len(feed.rows) <= len(arena.rows) else None
        apart: dict[int, bytes] = {}
        decisions: list[Decision] = []
        for index, row in enumerate(feed.rows):
            place = self._places.get(row.session)
            if place is None:
                decisions.append(LEAVE)
                continue
            decision = self._decide(place, row, None if shared is None else shared.logits[index])
            if type(decision) is Shape and decision.row:
                row_goes = self._hand_over(place.machine, index, shared, apart)
                decision = decision if row_goes else END_SEGMENT
            decisions.append(decision)
        return Verdicts(feed.seq, decisions, apart)

    def _place(self, spec: SessionSpec, slot: int) -> Place:
        return Place(Machine(spec, self._chain, self._tokenizer, self._watch), slot)

    def _decide(self, place: Place, row: FeedRow, logits: Any) -> Decision:
        if row.session in self._broken:
            return END_SEGMENT
        try:
            decision = place.machine.decide(row.segment, row.position, row.token, logits)
        except BaseException as error:
            self._broken[row.session] = failure(ModError(unexpected(error)))
            return END_SEGMENT
        self._page.set_floor(place.slot, place.machine.floor)
        return decision

    def _next(self, session: int, place: Place, ask: Callable[[], Next]) -> Next:
        if session in self._broken:
            return self._broken[session]
        try:
            answer = ask()
        except BaseException as error:
            answer = self._broken[session] = failure(ModError(unexpected(error)))
        self._page.set_floor(place.slot, place.machine.floor)
        return answer

    def _hand_over(
        self, machine: Machine, index: int, arena: ArenaMap | None, apart: dict[int, bytes]
    ) -> bool:
        """Put the machine's whole row where the worker finds it. False where it finds no room:
        the decision is remembered, and goes over with the session's next segment."""
        row = machine.row
        assert row is not None
        if arena is not None and arena.rows.shape[1] == row.shape[0]:
            arena.rows[index] = row
        elif len(apart) * row.nbytes >= MAX_APART:
            return False
        else:
            apart[index] = row.tobytes()
        return True
