"""The servers: ours and stock vLLM, with the same flags, each started when a row first needs it.

Several may be alive at once, since two sides are measured in turn. Only the one that is asked may
work then. An idle vLLM is not idle at once: its worker spins for a second after its last step, and
that would be paid for by the next. So all servers but one are stopped (SIGSTOP) while it works.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.models import ROOT, Model
from bench.processes import signal_tree, tree_seconds
from server.settings import all_variable_names

OPTIONS = (
    "--dtype", "bfloat16", "--block-size", "32", "--kv-cache-memory-bytes", "1G",
    "--max-num-seqs", "64", "--max-model-len", "4096", "--disable-uvicorn-access-log",
)  # fmt: skip
"""For both sides."""
COMMANDS = {
    "ours": ("-m", "server.cli", "serve"),
    "stock": ("-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1"),
}
START_LIMIT = 600.0
STOP_LIMIT = 20.0
POLL = 0.5


@dataclass(frozen=True)
class Program:
    """What a row asks for: `side` is `ours` or `stock`, options are more of its flags.

    settings: of ours, by the name of the environment variable.
    """

    side: str
    model: Model
    options: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Server:
    """A running server. `url` has no slash at its end; `pid` is the root of its processes."""

    program: Program
    url: str
    pid: int
    log: Path

    @property
    def model(self) -> Model:
        return self.program.model


class Servers:
    """All that are alive. They start within the `with`, and leaving it stops them."""

    _home: tempfile.TemporaryDirectory[str]

    def __init__(self) -> None:
        self._alive: dict[Program, tuple[Server, subprocess.Popen[bytes]]] = {}

    def __enter__(self) -> Servers:
        self._home = tempfile.TemporaryDirectory(prefix="concordance-bench-")
        Path(self._home.name).chmod(0o755)  # Postgres's account must enter, where there is one
        return self

    def __exit__(self, *_: object) -> None:
        self.keep(())
        self._home.cleanup()

    async def get(self, program: Program) -> Server:
        """The server that runs this, started and warm.

        Raises `RuntimeError` with the end of its log if it does not start.
        """
        if program not in self._alive:
            self._alive[program] = await self._start(program)
        return self._alive[program][0]

    def keep(self, needed: Collection[Program]) -> None:
        """Stop the servers of all other programs."""
        for program in [program for program in self._alive if program not in needed]:
            server, process = self._alive.pop(program)
            signal_tree(server.pid, signal.SIGCONT)
            _stop(process)

    def wake(self, server: Server | None) -> None:
        """Let this one work, and no other; None lets nobody."""
        for other, _ in self._alive.values():
            signal_tree(other.pid, signal.SIGCONT if other is server else signal.SIGSTOP)

    def others(self, server: Server) -> float:
        """Processor seconds that all other servers have used so far."""
        return sum(tree_seconds(other.pid) for other, _ in self._alive.values() if other != server)

    async def _start(self, program: Program) -> tuple[Server, subprocess.Popen[bytes]]:
        server, process = self._spawn(program)
        try:
            await _wait_until_healthy(server, process)
        except BaseException:
            _stop(process)
            raise
        return server, process

    def _spawn(self, program: Program) -> tuple[Server, subprocess.Popen[bytes]]:
        """Start as a person does, on a free port, with a data folder of its own."""
        model, port = program.model, _free_port()
        home = Path(self._home.name) / f"{program.side}-{port}"
        home.mkdir()
        log = home / "server.log"
        command = [sys.executable, *COMMANDS[program.side], "--model", str(model.folder())]
        named = ["--served-model-name", model.name, "--port", str(port)]
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [*command, *named, *OPTIONS, *program.options],
                cwd=home,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**_environment(home), **dict(program.settings)},
                process_group=0,
            )
        return Server(program, f"http://127.0.0.1:{port}", process.pid, log), process


def _environment(home: Path) -> dict[str, str]:
    """This process's, without settings: what is measured does not depend on who measures."""
    ours = set(all_variable_names())
    kept = {name: value for name, value in os.environ.items() if name.upper() not in ours}
    added = {
        "CONCORDANCE_HOME": str(home),
        "CONCORDANCE_EMBEDDED_POSTGRES": "false",
        "PYTHONPATH": str(ROOT),
        "VLLM_NO_USAGE_STATS": "1",
    }
    return {**kept, **added}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _wait_until_healthy(server: Server, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + START_LIMIT
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        while process.poll() is None and time.monotonic() < limit:
            with suppress(httpx.HTTPError):
                if (await client.get(f"{server.url}/health")).status_code == 200:
                    return
            await asyncio.sleep(POLL)
    engine = server.log.parent / "logs" / "engine.log"
    logs = [
        path.read_text(errors="replace")[-3000:] for path in (server.log, engine) if path.exists()
    ]
    raise RuntimeError(f"{server.program.side} did not start:\n" + "\n".join(logs))


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_LIMIT)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what it left behind, too
    process.wait(STOP_LIMIT)
