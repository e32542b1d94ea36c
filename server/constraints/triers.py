"""The triers as the server sees them: enough of them that none waits for another's slow work.

A trial takes milliseconds, and so does the fork of a process to do it in. So there are as many as
processors, work waits for one of them a moment, and only if all are at something slow there comes
one more. One that takes too long is killed, and its work refused.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from mods.runtime.grammar.options import Options
from mods.runtime.grammar.source import VocabularySource
from mods.runtime.host.channel import Channel
from mods.runtime.host.launch import launch
from mods.runtime.host.usage import cpu_seconds
from mods.sdk.constraints import Json
from server.constraints.protocol import ANSWER, PID, Answer, Refused, Tried, TryOut, Work
from server.constraints.turns import BusyError, Turns

MOST = 16
"""Processes at once."""

SPARE = max(2, os.cpu_count() or 1)
"""Those that are kept."""

MOMENT = 0.25
"""Seconds that work waits for one of them before there comes one more. A new process costs more
than many trials: it must get memory of its own before it can do anything."""

CPU_SECONDS = 1.25
"""Processor time for one piece of work. Where nothing else runs, so much later it is refused."""

LOOK_SECONDS = 0.25
"""How often the processor time of a piece of work is looked at."""

PATIENCE = 10.0
"""Seconds in which a process must be free for it, and in which it must have got its time."""

WORN = 32 * 2**20
"""Bytes that one piece of work may leave behind before its process is replaced."""

START_SECONDS = 60.0

_FIRST = Json('{"type":"object","properties":{"first":{"type":"string"}},"required":["first"]}')


class Trier:
    """One process, and the answer that it owes."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)
        self._answer: asyncio.Future[Answer] | None = None
        self.alive = True
        self.worn = False
        """Whether it should not be kept for more work."""

    async def connect(self, ours: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        _, self._channel = await loop.create_unix_connection(
            lambda: Channel(ANSWER.decode, self._heard, self._ended), sock=ours
        )

    async def ask(self, work: Work) -> Answer:
        """The answer. Raises EOFError if the process died, TimeoutError if its time is over.

        Its own time counts: where the machine is busy with other things, it gets longer.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answer = answer
        used = self.cpu_seconds()
        self._channel.send(work)
        limit = time.monotonic() + PATIENCE
        try:
            while self.cpu_seconds() - used < CPU_SECONDS and time.monotonic() < limit:
                done, _ = await asyncio.wait({answer}, timeout=LOOK_SECONDS)
                if done:
                    return answer.result()
                self._yield_to_others()
            raise TimeoutError
        finally:
            answer.cancel()  # Nobody waits for it any more, should the process end now.

    def _yield_to_others(self) -> None:
        """What is quick is done at once; from here on the engine goes first, for good."""
        self.worn = True
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, self.pid, 5)

    def cpu_seconds(self) -> float:
        """Processor time that the process has used."""
        return cpu_seconds(self.pid) or 0.0

    def kill(self) -> None:
        self.alive = False
        self._channel.close()
        if self._descriptor >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
            os.close(self._descriptor)
            self._descriptor = -1

    def _heard(self, answer: Answer) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _ended(self) -> None:
        self.alive = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(EOFError())


class Triers:
    """A zygote and what it forked."""

    def __init__(
        self, source: VocabularySource, options: Options | None = None, most: int = MOST
    ) -> None:
        self._source, self.options = source, options or Options()
        self._turns = Turns(most, PATIENCE)
        self._idle: list[Trier] = []
        self._all: set[Trier] = set()
        self._freed = asyncio.Condition()
        self._zygote: Zygote | None = None
        self._forking = asyncio.Lock()

    async def start(self) -> None:
        """Raises RuntimeError if the zygote does not come up: the vocabulary cannot be read."""
        self._zygote = await Zygote.started(self._source, self.options)
        # The first work of a process takes longest, so it is none that anybody waits for.
        await asyncio.gather(*(self.run(TryOut(_FIRST), str(n)) for n in range(SPARE)))

    async def stop(self) -> None:
        """End every process; none is left when this returns."""
        for trier in list(self._all):
            self._end(trier)
        if self._zygote is not None:
            await self._zygote.stop()

    async def run(self, work: Work, caller: str = "") -> Answer:
        """The answer. Work that kills its trier is refused. Raises `BusyError`."""
        async with self._turns.place(caller):
            trier = await self._free()
            try:
                answer = await self._asked(trier, work)
            except BaseException:
                self._end(trier)
                await self._tell_who_waits()
                raise
            worn = trier.worn or (isinstance(answer, Tried) and answer.memory > WORN)
            if worn or not trier.alive or len(self._idle) >= SPARE:
                self._end(trier)
            else:
                self._idle.append(trier)
            await self._tell_who_waits()
            return answer

    async def _asked(self, trier: Trier, work: Work) -> Answer:
        before = trier.cpu_seconds()
        try:
            return await trier.ask(work)
        except EOFError:
            return Refused(
                "the constraint brought down the process that tried it: it needs too much memory,"
                " or is nested too deep",
                "",
                None,
            )
        except TimeoutError:
            used = trier.cpu_seconds() - before
            self._end(trier)
            if used < CPU_SECONDS:
                raise BusyError("the machine is too busy to try the constraint out") from None
            return Refused(
                f"the constraint took more than {CPU_SECONDS} s to compile and try out", "", None
            )

    async def _free(self) -> Trier:
        trier = self._next_idle()
        if trier is None and len(self._all) >= SPARE:
            trier = await self._freed_in_a_moment()
        if trier is not None:
            return trier
        async with self._forking:
            trier = await self._forked()
        self._all.add(trier)
        return trier

    def _next_idle(self) -> Trier | None:
        while self._idle:
            trier = self._idle.pop()
            if trier.alive:
                return trier
            self._end(trier)
        return None

    async def _freed_in_a_moment(self) -> Trier | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(MOMENT), self._freed:
                while (trier := self._next_idle()) is None and len(self._all) >= SPARE:
                    await self._freed.wait()
                return trier
        return None

    async def _tell_who_waits(self) -> None:
        async with self._freed:
            self._freed.notify()

    async def _forked(self) -> Trier:
        """A new trier; a zygote that has died is started again, once."""
        assert self._zygote is not None, "the triers have not been started"
        try:
            return await self._zygote.fork()
        except (EOFError, OSError):
            await self._zygote.stop()
            self._zygote = await Zygote.started(self._source, self.options)
            return await self._zygote.fork()

    def _end(self, trier: Trier) -> None:
        trier.kill()
        self._all.discard(trier)


class Zygote:
    """The process that forks triers, and the socket on which it is asked to."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self._process, self._control = process, control

    @classmethod
    async def started(cls, source: VocabularySource, options: Options) -> Zygote:
        """Raises RuntimeError."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs, tempfile.TemporaryDirectory(prefix="concordance-") as folder:
            file = Path(folder) / "vocabulary"
            file.write_bytes(msgspec.msgpack.encode(source))
            zygote = cls(_launch(theirs, file, options), ours)
            theirs.close()
            try:
                await asyncio.wait_for(zygote._told(), START_SECONDS)
            except (TimeoutError, EOFError, OSError):
                await zygote.stop()
                raise RuntimeError(
                    "the process that tries constraints out did not start; it says why on stderr"
                ) from None
        return zygote

    async def fork(self) -> Trier:
        """Raises EOFError or OSError if the zygote has died."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                socket.send_fds(self._control, [b"f"], [theirs.fileno()])
            trier = Trier(await self._told())
            await trier.connect(ours)
        except BaseException:
            ours.close()
            raise
        return trier

    async def stop(self) -> None:
        self._control.close()
        self._process.kill()
        await asyncio.to_thread(self._process.wait)

    async def _told(self) -> int:
        """The next number that it says."""
        loop, data = asyncio.get_running_loop(), b""
        while len(data) < PID.size:
            piece = await loop.sock_recv(self._control, PID.size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return int(PID.unpack(data)[0])


def _launch(control: socket.socket, source: Path, options: Options) -> subprocess.Popen[bytes]:
    return launch(
        "server.constraints.zygote",
        control,
        *("--source", str(source), "--options", msgspec.json.encode(options).decode()),
        RAYON_NUM_THREADS="1",
        MALLOC_ARENA_MAX="1",  # Each more reserves address space, which is limited.
    )
