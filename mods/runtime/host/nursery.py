"""The API's side of the zygote: starts it, asks it for hosts, and hears of deaths."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from mods.runtime.host.channel import Channel
from mods.runtime.host.confine.sandbox import Sandbox
from mods.runtime.host.confine.terms import Terms
from mods.runtime.host.launch import launch
from mods.runtime.host.protocol import FROM_ZYGOTE, Died, Kill, NotSpawned, Ready, Spawn, Spawned
from mods.runtime.host.tokens import ModelTokens
from mods.sdk.errors import HostError

START_SECONDS = 60.0
"""Time for the zygote to import everything and to load the tokenizer."""
STOP_SECONDS = 5.0


class Nursery:
    """One zygote process. When it is gone a new `Nursery` takes its place.

    died(host, code): called once for each host that ends; code as in `Died`.
    ended(): called once when the zygote itself has ended; its hosts end with it.
    """

    def __init__(self, died: Callable[[str, int], None], ended: Callable[[], None]) -> None:
        self.alive = False
        self.pid = 0
        self.sandbox = Sandbox()
        """What the zygote found out about the sandbox, once it has started."""
        self._died = died
        self._told_end = ended
        self._spawns: dict[str, asyncio.Future[int]] = {}
        self._gone = asyncio.Event()

    async def start(
        self, run_dir: Path, tokenizer: Path, terms: Terms, tokens: ModelTokens | None
    ) -> None:
        """Raises HostError if the zygote does not come up, or mods cannot be confined."""
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = _launch(theirs, run_dir, tokenizer, terms, tokens)
        self.pid = self._process.pid
        _, self._channel = await loop.create_unix_connection(
            lambda: Channel(FROM_ZYGOTE.decode, self._heard, self._ended), sock=ours
        )
        try:
            await asyncio.wait_for(self._ready, START_SECONDS)
            if not self.alive:
                raise HostError(
                    f"mods cannot be confined on this machine ({self.sandbox}); to run them all"
                    " the same, with everything that the server's user may do: --trust-mods"
                )
        except TimeoutError:
            raise HostError(f"the zygote was not ready within {START_SECONDS:.0f} s") from None
        finally:
            if not self.alive:
                await self.stop()

    async def spawn(self, host: str) -> int:
        """Fork a host; its socket listens when this returns its pid. Raises HostError."""
        if not self.alive:
            raise HostError("the zygote has ended")
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._spawns[host] = answer
        self._channel.send(Spawn(host))
        try:
            return await answer
        finally:
            self._spawns.pop(host, None)

    def kill(self, host: str) -> None:
        """End a host now; nothing happens if it has ended."""
        if self.alive:
            self._channel.send(Kill(host))

    async def stop(self) -> None:
        """End the zygote and every host; no process is left when this returns."""
        self._channel.close()
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, self._process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await loop.run_in_executor(None, self._process.wait)
        await self._gone.wait()

    def _heard(self, message: Any) -> None:
        if isinstance(message, Ready):
            self.sandbox = message.sandbox
            self.alive = message.sandbox.trusted or message.sandbox.closed
            self._ready.set_result(None)
        elif isinstance(message, Died):
            self._died(message.host, message.code)
        elif isinstance(message, (Spawned, NotSpawned)):
            self._settle(message)

    def _settle(self, message: Spawned | NotSpawned) -> None:
        answer = self._spawns.get(message.host)
        if answer is None or answer.done():
            if isinstance(message, Spawned):
                self.kill(message.host)
        elif isinstance(message, Spawned):
            answer.set_result(message.pid)
        else:
            answer.set_exception(HostError(f"no host could be started: {message.message}"))

    def _ended(self) -> None:
        self.alive = False
        self._gone.set()
        waiting: list[asyncio.Future[Any]] = [self._ready, *self._spawns.values()]
        for answer in waiting:
            if not answer.done():
                answer.set_exception(HostError("the zygote ended; see what it wrote to stderr"))
        self._told_end()


def _launch(
    control: socket.socket,
    run_dir: Path,
    tokenizer: Path,
    terms: Terms,
    tokens: ModelTokens | None,
) -> subprocess.Popen[bytes]:
    return launch(
        "mods.runtime.host.zygote",
        control,
        *("--run-dir", str(run_dir), "--tokenizer", str(tokenizer)),
        *("--terms", msgspec.json.encode(terms).decode()),
        *("--tokens", msgspec.json.encode(tokens).decode()),
        MKL_NUM_THREADS="1",
    )
