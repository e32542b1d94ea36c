"""The API's hosts: one for each caller and chain, started when asked for, stopped when idle.

A watchdog judges hard deadlines from the hosts' pages, and a dead zygote is replaced.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from mods.runtime.compile import Traits
from mods.runtime.host import files
from mods.runtime.host.client import Host
from mods.runtime.host.confine.sandbox import Sandbox
from mods.runtime.host.confine.terms import CONFINED, Terms
from mods.runtime.host.nursery import Nursery
from mods.runtime.host.restarts import Restarts
from mods.runtime.host.tokens import ModelTokens
from mods.runtime.host.usage import cpu_seconds
from mods.runtime.package import Package
from mods.runtime.rehearsal import Rehearsal, Scene
from mods.sdk.errors import HostError, ModError

T = TypeVar("T")
LOG = logging.getLogger(__name__)

WATCH_SECONDS = 0.05
LOOK_SECONDS = 2.0
"""How often idle hosts are looked at."""
REHEARSALS = 2
"""Rehearsals at once."""
IDLE_SECONDS_OF_CPU = 0.5
"""Processor time that a host may use between two looks at it while nobody asks it anything."""

Key = tuple[str, tuple[str, ...], str]
"""(caller, digests of the chain's packages, digest of the shared modules)."""

Fallen = Callable[[str, Package, str], None]
"""Told when a host fell: its caller, the mod that ran last, and why."""


class HostPool:
    """Hosts by key. `run_dir` belongs to this pool alone; `stop` leaves nothing in it.

    hard_deadline: seconds for one handler call, where a mod declares no longer one.
    max_hosts: processes at once. max_caller_hosts: those of one caller; None for no bound.
    idle_seconds: a host without sessions is stopped after that.
    terms: on which mods run; by default confined. tokens: without them no mod can constrain.
    """

    def __init__(
        self,
        run_dir: Path,
        tokenizer_path: Path,
        hard_deadline: float = 1.0,
        max_hosts: int = 64,
        max_caller_hosts: int | None = None,
        idle_seconds: float = 600.0,
        terms: Terms = CONFINED,
        tokens: ModelTokens | None = None,
    ) -> None:
        files.check_run_dir(run_dir)
        self.run_dir = run_dir.absolute()
        self.tokenizer_path = tokenizer_path.absolute()
        self._hard_deadline = hard_deadline
        self._max_hosts = max_hosts
        self._max_caller_hosts = max_caller_hosts
        self._idle_seconds = idle_seconds
        self._terms, self._tokens = terms, tokens
        self._nursery: Nursery | None = None
        self._birth = asyncio.Lock()
        self._loaded: dict[Key, Host] = {}
        self._starting: dict[Key, asyncio.Task[Host]] = {}
        self._lent: Counter[Key] = Counter()
        """How many have each key's host, or wait for it to start."""
        self._hosts: dict[str, Host] = {}
        """Every host that may have a process, by name."""
        self.fallen: Fallen = lambda caller, package, why: None
        """Set by whoever wants to know. Not told of hosts that were stopped on purpose."""
        self._chains: dict[str, tuple[Key, Sequence[Package]]] = {}
        """What each host runs, by its name."""
        self._restarts = Restarts()
        self._used: dict[str, float] = {}
        """Processor time of each idle host, by its name, when it was last looked at."""
        self._busy = asyncio.Event()
        self._stage = asyncio.Semaphore(REHEARSALS)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = False

    async def start(self) -> None:
        """Start the zygote. Raises HostError if it does not come up, or cannot confine mods."""
        self.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.run_dir.chmod(0o700)
        files.remove_all(self.run_dir)
        await self._living_nursery()
        self._begin(self._watch_deadlines())
        self._begin(self._sweep())

    @asynccontextmanager
    async def acquire(
        self, caller: str, packages: Sequence[Package], shared: Mapping[str, str]
    ) -> AsyncIterator[Host]:
        """The caller's host for this chain, started if there is none; not idle until given back.

        Raises ModError (422 or the loader's status) if the chain cannot be imported, HostError
        (424) if no process can be had.
        """
        if self._stopping:
            raise HostError("the server is stopping")
        key = _key(caller, packages, shared)
        self._lent[key] += 1
        try:
            host = await self._host_of(key, packages, shared)
            try:
                yield host
            finally:
                host.last_used = asyncio.get_running_loop().time()
        finally:
            self._lent[key] -= 1
            if not self._lent[key]:
                del self._lent[key]

    async def check(self, packages: Sequence[Package], shared: Mapping[str, str]) -> list[Traits]:
        """Load a chain once, in a host that is stopped then. Raises what `acquire` raises."""
        if self._stopping:
            raise HostError("the server is stopping")
        host = await self._begin(self._new_host(packages, shared))
        self._give_up(host, HostError("it was only to be checked"))
        await host.gone.wait()
        return host.traits

    async def rehearse(
        self, packages: Sequence[Package], shared: Mapping[str, str], scene: Scene
    ) -> Rehearsal:
        """Run a chain against a scripted model, in a host that is stopped then.

        A few at a time. Raises what `acquire` raises, and HostError if the mods do not end it.
        """
        async with self.alone(packages, shared) as host:
            return await host.rehearse(scene)

    @asynccontextmanager
    async def alone(
        self, packages: Sequence[Package], shared: Mapping[str, str]
    ) -> AsyncIterator[Host]:
        """A host for one use, which shares nothing with the caller's others and is stopped then.

        A few at a time; who comes later waits. Raises what `acquire` raises.
        """
        async with self._stage:
            if self._stopping:
                raise HostError("the server is stopping")
            host = await self._begin(self._new_host(packages, shared))
            try:
                yield host
            finally:
                self._give_up(host, HostError("it was for one use"))
                await host.gone.wait()

    async def stop(self) -> None:
        """End every host and the zygote, and remove their files."""
        self._stopping = True
        for host in list(self._hosts.values()):
            host.fail(HostError("the server is stopping"))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._nursery is not None:
            await self._nursery.stop()
        for host in list(self._hosts.values()):
            self._bury(host)
        files.remove_all(self.run_dir)
        with suppress(OSError):
            self.run_dir.rmdir()

    @property
    def zygote_pid(self) -> int | None:
        """None while there is no zygote."""
        return None if self._nursery is None else self._nursery.pid

    @property
    def sandbox(self) -> Sandbox:
        """What holds of the sandbox, as it was tried when the zygote started."""
        return Sandbox() if self._nursery is None else self._nursery.sandbox

    # One host's life.

    async def _host_of(
        self, key: Key, packages: Sequence[Package], shared: Mapping[str, str]
    ) -> Host:
        """The one that runs, or the one that all who ask for this key wait for."""
        host = self._loaded.get(key)
        if host is not None and host.alive:
            return host
        task = self._starting.get(key)
        if task is None:
            task = self._starting[key] = self._begin(self._start_host(key, packages, shared))
            task.add_done_callback(lambda _: self._starting.pop(key, None))
        return await asyncio.shield(task)

    async def _start_host(
        self, key: Key, packages: Sequence[Package], shared: Mapping[str, str]
    ) -> Host:
        """A host for this key, a while later if the last ones fell."""
        await asyncio.sleep(self._restarts.pause(key, asyncio.get_running_loop().time()))
        host = await self._new_host(packages, shared, key)
        self._loaded[key] = host
        return host

    async def _new_host(
        self, packages: Sequence[Package], shared: Mapping[str, str], key: Key | None = None
    ) -> Host:
        nursery = await self._living_nursery()
        await self._make_room(None if key is None else key[0])
        name = secrets.token_hex(6)
        host = Host(name, self.run_dir, self._hard_deadline, self._busy.set, self._lost)
        self._hosts[name] = host
        if key is not None:
            self._chains[name] = key, packages
        try:
            host.pid = await nursery.spawn(name)
        except BaseException:
            self._bury(host)
            raise
        try:
            await host.load(packages, shared)
        except BaseException as error:
            self._give_up(host, HostError(str(error)))
            raise
        return host

    async def _make_room(self, caller: str | None) -> None:
        """Stop idle hosts until there is room, for everybody and for this caller.

        Returns with room for one: whoever asked takes it before anybody else runs.
        """
        while True:
            theirs = {name for name, (key, _) in self._chains.items() if key[0] == caller}
            idle = self._idle()
            if self._max_caller_hosts is not None and len(theirs) >= self._max_caller_hosts:
                idle = [host for host in idle if host.name in theirs]
                full = f"all {self._max_caller_hosts} that one user may have"
            elif len(self._hosts) >= self._max_hosts:
                full = f"all {self._max_hosts}"
            else:
                return
            if not await self._stop_longest_idle(idle):
                raise HostError(f"too many mod processes: {full} are in use; try again later")

    async def _stop_longest_idle(self, idle: Iterable[Host]) -> bool:
        """Returns whether there was one."""
        host = min(idle, key=lambda host: host.last_used, default=None)
        if host is None:
            return False
        self._give_up(host, HostError("the idle process was stopped"))
        await host.gone.wait()
        return True

    def _idle(self) -> list[Host]:
        """Those that nobody has and that run nothing."""
        return [
            host
            for key, host in self._loaded.items()
            if host.alive and not host.busy and key not in self._lent
        ]

    def _lost(self, host: Host, why: HostError) -> None:
        """The host is of no use any more, and it is its own doing."""
        if host.alive:
            LOG.warning("mod host %s (pid %d): %s", host.name, host.pid, why)
            self._tell_fall(host, why)
        self._give_up(host, why)

    def _tell_fall(self, host: Host, why: HostError) -> None:
        """Comes before the host's end, while its page still says which mod ran last."""
        chain = self._chains.get(host.name)
        if chain is None or self._stopping:
            return
        key, packages = chain
        self._restarts.fell(key, asyncio.get_running_loop().time())
        seat = host.seat()
        self.fallen(key[0], packages[seat if seat in range(len(packages)) else 0], str(why))

    def _give_up(self, host: Host, why: HostError) -> None:
        """Fail its calls and kill it; its death is told later."""
        if host.gone.is_set():
            return
        host.fail(why)
        self._forget(host)
        if self._nursery is not None and self._nursery.alive:
            self._nursery.kill(host.name)
        else:
            self._bury(host)

    def _forget(self, host: Host) -> None:
        """The next request for its key gets a fresh one."""
        for key in [key for key, other in self._loaded.items() if other is host]:
            del self._loaded[key]

    def _bury(self, host: Host) -> None:
        """The process is gone: so are its files."""
        self._hosts.pop(host.name, None)
        self._chains.pop(host.name, None)
        self._forget(host)
        host.disconnect()
        files.remove(self.run_dir, host.name)
        host.gone.set()

    # The zygote.

    async def _living_nursery(self) -> Nursery:
        async with self._birth:
            if self._nursery is None or not self._nursery.alive:
                nursery = Nursery(self._host_died, lambda: self._nursery_ended(nursery))
                await nursery.start(self.run_dir, self.tokenizer_path, self._terms, self._tokens)
                self._nursery = nursery
            return self._nursery

    def _host_died(self, name: str, code: int) -> None:
        host = self._hosts.get(name)
        if host is None:
            return files.remove(self.run_dir, name)
        if host.alive:
            why = host.death(code)
            LOG.warning("mod host %s (pid %d) ended: %s", name, host.pid, why)
            self._tell_fall(host, why)
            host.fail(why)
        self._bury(host)

    def _nursery_ended(self, nursery: Nursery) -> None:
        """Its hosts are dead or dying: the kernel kills them with it."""
        if nursery is not self._nursery or self._stopping:
            return
        LOG.error("the zygote (pid %d) ended; a new one is started", nursery.pid)
        for host in list(self._hosts.values()):
            host.fail(HostError("the zygote ended, and every mod process with it"))
            self._bury(host)
        self._begin(self._replace(nursery))

    async def _replace(self, nursery: Nursery) -> None:
        await nursery.stop()
        try:
            await self._living_nursery()
        except HostError as error:
            LOG.error("no new zygote: %s; the next request tries again", error)

    # What goes on beside the requests.

    async def _watch_deadlines(self) -> None:
        """While any author's code may run, look at the pages of the hosts where it may."""
        while True:
            await self._busy.wait()
            busy = [host for host in self._hosts.values() if host.busy]
            if not busy:
                self._busy.clear()
                continue
            for host in busy:
                late = host.overdue()
                if late is not None:
                    self._lost(host, late)
            await asyncio.sleep(WATCH_SECONDS)

    async def _sweep(self) -> None:
        """Stop the hosts that nobody used for long, and those that are busy all the same."""
        while True:
            pause = min(self._idle_seconds / 4, LOOK_SECONDS)
            await asyncio.sleep(pause)
            now = asyncio.get_running_loop().time()
            used = {}
            for host in self._idle():
                if host.last_used <= now - self._idle_seconds:
                    self._give_up(host, HostError("the idle process was stopped"))
                elif host.last_used <= now - pause:
                    used[host.name] = self._look_at(host)
            self._used = used

    def _look_at(self, host: Host) -> float:
        """Processor time of a host that nobody asked anything since the last look."""
        used = cpu_seconds(host.pid) or 0.0
        if used - self._used.get(host.name, used) > IDLE_SECONDS_OF_CPU:
            self._lost(host, HostError("a mod's process was busy though nobody asked it anything"))
        return used

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """A failure to start a host is told to those who wait for it; any other is our own."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, ModError):
            LOG.error("%s failed", task.get_coro(), exc_info=error)


def _key(caller: str, packages: Sequence[Package], shared: Mapping[str, str]) -> Key:
    digest = hashlib.sha256()
    for name, source in sorted(shared.items()):
        for part in (name.encode(), source.encode("utf-8", "surrogatepass")):
            digest.update(len(part).to_bytes(8, "little") + part)
    return caller, tuple(package.digest for package in packages), digest.hexdigest()
