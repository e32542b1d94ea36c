"""One host, as the API sees it: numbered calls over its socket, its page, and its end."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mods.runtime.compile import Traits
from mods.runtime.decisions import Next, SessionSpec
from mods.runtime.host.channel import Channel
from mods.runtime.host.files import page_path, socket_path
from mods.runtime.host.frames import MAX_ANSWER, FrameTooLongError
from mods.runtime.host.hearsay import (
    Nonsense,
    check_reply,
    decode_answer,
    fit_load,
    fit_record,
)
from mods.runtime.host.page import PageReader
from mods.runtime.host.protocol import (
    API,
    Close,
    Closed,
    Hello,
    Load,
    Loaded,
    LoadFailed,
    Open,
    Rehearse,
    Reply,
    Tail,
)
from mods.runtime.host.usage import OwnTime
from mods.runtime.package import Package
from mods.runtime.rehearsal import Rehearsal, Scene
from mods.runtime.waiting import MAX_DEADLINE
from mods.sdk.errors import BY_TYPE, HostError, ModError

LOAD_SECONDS = 10.0
"""Time for a chain to be imported."""
REHEARSAL_SECONDS = 5.0
"""Time for the last run of a rehearsal, which may begin when its own time is nearly over."""
OUTSIDE_SECONDS = 0.1
"""Beyond one hard deadline: how long a host that owes an answer may be in no handler call. It is
stuck then, where a mod put code that is no handler's."""
STALL_FACTOR = 10
"""A call ends within this many hard deadlines, however little the host was let run. And a host that
owes an answer gives one within as many for each of its sessions, whatever its page says of itself:
the page is the host's own word."""
WORD_OF_DEATH_SECONDS = 0.5
"""After its connection ended, how long to wait for the zygote to say how a host died."""


Kind = type[Reply] | type[Closed]
"""Which answer a call gets."""


class Host:
    """A process that runs one chain for one caller. Made by the pool."""

    def __init__(
        self,
        name: str,
        run_dir: Path,
        deadline: float,
        got_busy: Callable[[], None],
        lost: Callable[[Host, HostError], None],
    ) -> None:
        self.name = name
        self.address = str(socket_path(run_dir, name))
        self.traits: list[Traits] = []
        self.prints: list[str] = []
        """What the chain printed while it was imported."""
        self.sessions: dict[int, int] = {}
        """Slots on the page by open session; -1 until the host has said."""
        self.last_used = 0.0
        self.end: HostError | None = None
        """Why it ended, once it has."""
        self.gone = asyncio.Event()
        """Set when no process is left of it."""
        self.pid = 0
        self._run_dir = run_dir
        self._page: PageReader | None = None
        self._deadline = deadline
        self._got_busy = got_busy
        self._lost = lost
        self._calls: dict[int, tuple[int, Kind, asyncio.Future[Any]]] = {}
        """(session, kind of answer, answer) by number."""
        self._specs: dict[int, SessionSpec] = {}
        """What each session was opened with: its answers are checked against it."""
        self._numbers = 0
        self._loading: asyncio.Future[Loaded | LoadFailed] | None = None
        self._channel: Channel | None = None
        self._at: tuple[int, int] | None = None
        """(when the running call began, calls begun) as the watchdog last saw them, while any runs
        or an answer is owed."""
        self._own: OwnTime | None = None
        """The host's own time since the watchdog first saw it there. None until it watches."""
        self._leisure = 0.0
        """Seconds that one answer may take beyond what is usual."""
        self._answered = 0.0
        """Loop time of its last answer, or of the first call since nothing was owed."""

    @property
    def alive(self) -> bool:
        return self.end is None

    @property
    def busy(self) -> bool:
        """Whether an author's code may be running."""
        return self.alive and bool(self._calls or self.sessions)

    async def load(self, packages: Sequence[Package], shared: Mapping[str, str]) -> None:
        """Connect and import the chain. Raises ModError (of whatever status) if it fails."""
        self._loading = asyncio.get_running_loop().create_future()
        await self._connect()
        if self.end is not None:
            raise HostError(str(self.end))
        self._send(Hello(API))
        self._send(Load(list(packages), dict(shared), self._deadline))
        try:
            answer = await asyncio.wait_for(self._loading, LOAD_SECONDS)
        except TimeoutError:
            raise ModError(f"importing the mod took longer than {LOAD_SECONDS:.0f} s") from None
        try:
            answer = fit_load(packages, answer)
        except Nonsense as error:
            raise HostError(f"the process of {self._mods()} answered nonsense: {error}") from None
        self.prints = answer.prints
        if isinstance(answer, LoadFailed):
            raise _error(answer)
        self.traits = answer.traits

    async def open(self, spec: SessionSpec) -> Next:
        """Open a session; the mods are asked at `Prefilled`. Raises HostError if the host ends.

        Whatever else comes of it, a failure or a cancellation, the session is to be closed.
        """
        self.sessions[spec.session] = -1
        self._specs[spec.session] = spec
        try:
            answer: Next = await self._call(lambda number: Open(number, spec), spec.session)
        except HostError:
            self._drop(spec.session)
            raise
        return answer

    async def tail(
        self, session: int, segment: int, position: int, token: int, earlier: Sequence[int] = ()
    ) -> Next:
        """Tell of a segment's end: the arguments of `Machine.tail`. Raises HostError."""
        answer: Next = await self._call(
            lambda number: Tail(number, session, segment, position, token, list(earlier)), session
        )
        return answer

    async def close(
        self, session: int, reason: str, tells: bool = False, traces: bool = False
    ) -> dict[str, Any]:
        """End a session and give its record; {} if it is closed already or the host has ended.

        tells: with its output, as `output`: a `Piece` for each token. traces: with the tape,
        packed, as `tape`: a stranger's word, to be checked when it is read.
        """
        if session not in self.sessions:
            return {}
        try:
            record: dict[str, Any] = await self._call(
                lambda number: Close(number, session, reason, tells, traces), session, Closed
            )
        except HostError:
            return {}
        finally:
            self._drop(session)
            self.last_used = asyncio.get_running_loop().time()
        return record

    async def rehearse(self, scene: Scene) -> Rehearsal:
        """Have the chain run against a scripted model. Raises HostError if it does not come to
        its end in time.
        """
        self._leisure = scene.seconds + REHEARSAL_SECONDS
        asked = self._call(lambda number: Rehearse(number, scene), -1, Closed)
        try:
            return msgspec.convert(await asyncio.wait_for(asked, self._leisure), Rehearsal)
        except TimeoutError:
            raise HostError(f"{self._mods()} took longer than {self._leisure:g} s") from None
        except msgspec.ValidationError as error:
            raise HostError(f"the process of {self._mods()} answered nonsense: {error}") from None

    def floor(self, session: int) -> int:
        """How many output tokens of an open session no mod may take back; 0 if unknown."""
        slot = self.sessions.get(session, -1)
        return self._page.floor(slot) if self._page is not None and slot >= 0 else 0

    def seat(self) -> int:
        """Which mod of the chain runs, or ran last, as its page says; 0 once it has ended."""
        return self._page.running()[2] if self._page is not None else 0

    def overdue(self) -> HostError | None:
        """What to say if one handler call has run longer than its mod's hard deadline.

        To be asked often. Time in which the machine did not let the host run is not its mod's.
        """
        if self._page is None:
            return None
        started, calls, seat = self._page.running()
        spent = self._spent(started, calls)
        if started:
            deadline = self._deadline_of(seat)
            whole = (time.monotonic_ns() - started) / 1e9
            if spent > deadline or whole > STALL_FACTOR * deadline:
                return self._late(seat, deadline)
        return self._stuck(spent)

    def _spent(self, started: int, calls: int) -> float:
        """Seconds of its own time since the watchdog saw it begin what it does now."""
        if not started and not self._calls:
            self._at = None
            return 0.0
        if self._own is None:
            self._own = OwnTime(self.pid)
        if self._at != (started, calls):
            self._at = (started, calls)
            self._own.restart()
            return 0.0
        return self._own.seconds()

    def fail(self, error: HostError) -> None:
        """The host has ended, or is given up. The first reason counts."""
        if self.end is not None:
            return
        self.end = error
        waiting = [answer for _, _, answer in self._calls.values()]
        for answer in waiting if self._loading is None else [*waiting, self._loading]:
            if not answer.done():
                answer.set_exception(HostError(str(error)))
        self._calls.clear()
        if self._own is not None:
            self._own.close()
        if self._page is not None:
            self._page.close()

    def death(self, code: int) -> HostError:
        """What to say when the zygote has told how the process ended."""
        return HostError(f"the process of {self._mods()} {_death(code)}")

    def disconnect(self) -> None:
        if self._channel is not None:
            self._channel.close()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._page = PageReader(page_path(self._run_dir, self.name))
            _, self._channel = await loop.create_unix_connection(
                lambda: Channel(
                    decode_answer, self._heard, self._disconnected, self._broke, MAX_ANSWER
                ),
                self.address,
            )
        except OSError as error:
            raise HostError(f"{self._mods()} cannot be reached: {error}") from error

    def _send(self, message: Any) -> None:
        assert self._channel is not None, "load() comes first"
        self._channel.send(message)

    async def _call(self, message: Callable[[int], Any], session: int, wanted: Kind = Reply) -> Any:
        if self.end is not None:
            raise HostError(str(self.end))
        loop = asyncio.get_running_loop()
        if not self._calls:
            self._answered, self._at = loop.time(), None
        self._numbers += 1
        number = self._numbers
        answer: asyncio.Future[Any] = loop.create_future()
        try:
            self._send(message(number))
        except (OverflowError, TypeError, UnicodeError, FrameTooLongError) as error:
            raise ModError(f"the request cannot be given to its mods: {error}") from error
        self._calls[number] = session, wanted, answer
        self.last_used = loop.time()
        self._got_busy()
        return await answer

    def _heard(self, message: Any) -> None:
        """An answer. Raises `Nonsense` for one that nobody asked for, or that cannot be."""
        if isinstance(message, (Loaded, LoadFailed)):
            if self._loading is None or self._loading.done():
                raise Nonsense("that it has loaded, unasked")
            self._loading.set_result(message)
            return
        if message.id not in self._calls:
            raise Nonsense("what nobody asked")
        session, wanted, answer = self._calls[message.id]
        if not isinstance(message, wanted):
            raise Nonsense("another question than was asked")
        result = self._result(session, message)
        del self._calls[message.id]
        self._answered = asyncio.get_running_loop().time()
        if not answer.done():
            answer.set_result(result)

    def _result(self, session: int, message: Reply | Closed) -> Any:
        if isinstance(message, Closed):
            record = fit_record(message.record)
            return {**record, "tape": message.tape} if message.tape else record
        spec = self._specs.get(session)
        if spec is not None:
            check_reply(spec, message)
            self.sessions[session] = message.slot
        return message.next

    def _drop(self, session: int) -> None:
        self.sessions.pop(session, None)
        self._specs.pop(session, None)

    def _broke(self, error: Exception) -> None:
        """It said what cannot be understood, or must not be acted upon."""
        self._lost(
            self, HostError(f"the process of {self._mods()} answered nonsense: {str(error)[:500]}")
        )

    def _disconnected(self) -> None:
        """The connection ends a moment before the zygote tells how the process did."""
        end = HostError(f"the process of {self._mods()} closed its connection")
        asyncio.get_running_loop().call_later(WORD_OF_DEATH_SECONDS, self._lost, self, end)

    def _deadline_of(self, seat: int) -> float:
        declared = self.traits[seat].deadline if 0 <= seat < len(self.traits) else None
        return max(self._deadline, min(declared or 0.0, MAX_DEADLINE))

    def _late(self, seat: int, deadline: float) -> HostError:
        name = self.traits[seat].name if 0 <= seat < len(self.traits) else "?"
        return HostError(
            f"mod {name!r} ran longer than its hard deadline of {deadline:g} s in one call;"
            f" the process of {self._mods()} was stopped"
        )

    def _stuck(self, spent: float) -> HostError | None:
        """Backstop: an answer is owed, and there is no sign of it, or none that counts."""
        if not self._calls:
            return None
        longest = max((self._deadline_of(seat) for seat in range(len(self.traits))), default=1.0)
        due = STALL_FACTOR * longest * max(1, len(self.sessions)) + self._leisure
        silent = asyncio.get_running_loop().time() - self._answered > due
        if not silent and spent <= longest + OUTSIDE_SECONDS:
            return None
        return HostError(f"the process of {self._mods()} gives no answer; it was stopped")

    def _mods(self) -> str:
        names = ", ".join(repr(traits.name) for traits in self.traits)
        return f"mod {names}" if names else "a mod that was being imported"


def _error(failed: LoadFailed) -> ModError:
    error = BY_TYPE.get(failed.kind, ModError)(failed.message)
    error.status, error.type = failed.status, failed.kind
    return error


def _death(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return f"was killed by signal {name}"
