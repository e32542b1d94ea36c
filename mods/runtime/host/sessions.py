"""The sessions of one host: messages in, machines called, messages out. No sockets here.

This is the boundary at which an error in a session, whatever its cause, becomes that session's
failure and spares its neighbours.
"""

from __future__ import annotations

import math
from asyncio import CancelledError
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from mods.runtime.decisions import (
    END_SEGMENT,
    LEAVE,
    Decision,
    Fail,
    Next,
    Resume,
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
    Rehearse,
    Reply,
    Tail,
    Verdicts,
)
from mods.runtime.host.speech import Speech
from mods.runtime.machine import Machine
from mods.runtime.output import Output
from mods.runtime.package import Package
from mods.runtime.rehearsal import Piece, Rehearsal
from mods.runtime.seat import LoadedMod
from mods.runtime.spans import Matchers
from mods.runtime.transcript import Transcript
from mods.runtime.waiting import may_wait
from mods.sdk.errors import HostError, ModError
from mods.sdk.events import FloatRow
from mods.sdk.testing.rehearsal import rehearse

Loader = Callable[[Sequence[Package], Mapping[str, str]], list[LoadedMod]]
"""Imports a chain of packages, with the shared modules that they may import."""


MAX_APART = 2**20
"""Bytes of whole rows that one answer carries outside the arena, give or take a row."""


@dataclass(slots=True)
class Place:
    """A session's machine and its slot on the page.

    broken: why nothing more can come of it. waited: its segment was ended because a handler waits.
    """

    machine: Machine
    slot: int
    broken: Fail | None = None
    waited: bool = False


class HandlerWatch:
    """Marks every step of a handler on the page, and ends its unfinished line of print."""

    def __init__(self, page: Page, speech: Speech) -> None:
        self.deadline = math.inf
        self.call_begins = page.call_begins
        self._page = page
        self._speech = speech

    def call_ends(self) -> None:
        self._page.call_ends()
        self._speech.call_ends()


class Sessions:
    """Machines by session, over one loaded chain.

    A call of a machine is a coroutine: one that nobody waits in can be run `at_once`.
    """

    def __init__(
        self,
        tokenizer: Any,
        loader: Loader,
        page: Page,
        speech: Speech,
        matchers: Matchers | None = None,
    ) -> None:
        self._tokenizer, self._matchers = tokenizer, matchers
        self._loader = loader
        self._page = page
        self._speech = speech
        self._watch = HandlerWatch(page, speech)
        self._chain: list[LoadedMod] = []
        self._places: dict[int, Place] = {}

    @property
    def may_wait(self) -> bool:
        """Whether a handler of the chain is a coroutine."""
        return any(may_wait(mod.handler) for mod in self._chain)

    def load(self, message: Load) -> Loaded | LoadFailed:
        """Import the chain. What its import raises becomes the answer."""
        self._watch.deadline = message.deadline
        try:
            self._chain = self._loader(message.packages, message.shared)
        except BaseException as error:
            return load_failed(error, self._speech.unclaimed())
        return Loaded([mod.traits for mod in self._chain], self._speech.unclaimed())

    def rehearse(self, message: Rehearse) -> Closed:
        """Run the chain against a scripted model. Blocks: nobody else is served meanwhile."""
        try:
            came = rehearse(self._chain, message.scene, self._watch)
        except BaseException as error:
            came = Rehearsal(status=ModError.status, message=unexpected(error))
        return Closed(message.id, msgspec.to_builtins(came, enc_hook=str))

    async def answer(self, message: Open | Tail | Close) -> Reply | Closed:
        """What the API asks about one session."""
        if isinstance(message, Open):
            return await self._open(message)
        if isinstance(message, Tail):
            return await self._tail(message)
        return await self._close(message)

    async def decide(self, row: FeedRow, logits: FloatRow | None) -> Decision:
        """The decision for one row of a step. logits: float32 [vocabulary], if a mod reads them."""
        place = self._places.get(row.session)
        if place is None:
            return LEAVE
        if place.broken is not None:
            return END_SEGMENT
        try:
            decision = await place.machine.deciding(
                row.segment, row.position, row.token, logits, row.earlier, row.sureness
            )
        except CancelledError:
            raise
        except BaseException as error:
            place.broken = failure(ModError(unexpected(error)))
            return END_SEGMENT
        self._page.set_floor(place.slot, place.machine.floor)
        return decision

    def verdicts(
        self, feed: Feed, decisions: Sequence[Decision], arena: ArenaMap | None
    ) -> Verdicts:
        """The decisions for a step's rows, with the whole rows of logits that belong to them."""
        apart: dict[int, bytes] = {}
        given = list(decisions)
        for index, decision in enumerate(given):
            if type(decision) is Shape and decision.row:
                machine = self._places[feed.rows[index].session].machine
                if not self._hand_over(machine, index, arena, apart):
                    given[index] = END_SEGMENT
        return Verdicts(feed.seq, given, apart)

    def ends_while_it_waits(self, session: int) -> None:
        """The session's segment ends now, and not because its mods were late."""
        self._places[session].waited = True

    def abandon(self, session: int) -> None:
        """Nothing comes any more of what the session's mods are being asked."""
        if session in self._places:
            self._places[session].machine.handlers.abandoned = True

    async def _open(self, message: Open) -> Reply:
        session = message.spec.session
        if session in self._places:
            return Reply(message.id, failure(ModError(f"session {session} is open already")))
        slot = self._page.take_slot()
        if slot is None:
            full = HostError(f"more than {SLOTS} sessions are open on one mod chain; try later")
            return Reply(message.id, failure(full))
        machine = Machine(message.spec, self._chain, self._tokenizer, self._watch, self._matchers)
        place = self._places[session] = Place(machine, slot)
        return Reply(message.id, await self._next(place, machine.opening()), slot)

    async def _tail(self, message: Tail) -> Reply:
        place = self._places.get(message.session)
        if place is None:
            gone = ModError(f"session {message.session} is not open")
            return Reply(message.id, failure(gone))
        if place.broken is not None:
            return Reply(message.id, place.broken, place.slot)
        call = place.machine.ending(
            message.segment, message.position, message.token, message.earlier
        )
        answer = await self._next(place, call)
        if place.waited and isinstance(answer, Resume):
            place.waited, answer.late = False, False
        return Reply(message.id, answer, place.slot)

    async def _close(self, message: Close) -> Closed:
        place = self._places.pop(message.session, None)
        if place is None:
            return Closed(message.id, {})
        self._page.give_slot(place.slot)
        place.machine.handlers.abandoned = False
        try:
            record = await place.machine.closing(message.reason)
            if message.tells:
                record["output"] = pieces_of(place.machine)
            tape = place.machine.tape() if message.traces else b""
            return Closed(message.id, record, tape)
        except BaseException as error:
            return Closed(message.id, {"failures": [{"message": unexpected(error)}]})

    async def _next(self, place: Place, call: Coroutine[Any, Any, Next]) -> Next:
        try:
            answer = await call
        except CancelledError:
            raise
        except BaseException as error:
            answer = place.broken = failure(ModError(unexpected(error)))
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


def pieces_of(machine: Machine) -> list[Piece]:
    """A session's output, each token with the text that is whole with it."""
    so_far = Output()
    told = Transcript(so_far, machine.seats, machine.spec, machine.tokenizer, machine.record)
    pieces, length = [], 0
    for token, origin in zip(machine.output.tokens, machine.output.origins, strict=True):
        so_far.add(token, origin)
        text, mod = told.text, told.tokens[-1].mod
        pieces.append(Piece(token, text[length:], mod))
        length = len(text)
    return pieces
