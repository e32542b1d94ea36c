"""A server of its own for the measures, started as a person starts it and stopped afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from server.demo import MODEL_PATH
from server.settings import all_variable_names

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = (
    "--dtype", "float32", "--max-num-seqs", "64", "--max-model-len", "512",
    "--disable-uvicorn-access-log",
)  # fmt: skip
"""float32, so that equal requests have equal answers; no line is written per request."""
START_LIMIT = 300.0
STOP_LIMIT = 20.0


@dataclass(frozen=True)
class Server:
    """A running server. `url` has no slash at its end; `pid` is the root of its processes."""

    url: str
    pid: int


@contextmanager
def serving() -> Iterator[Server]:
    """The demo model on a free port, at default settings, with a data folder of its own.

    Raises `RuntimeError` with the end of the server's log if it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="concordance-bench-") as home:
        port, log = _free_port(), Path(home) / "server.log"
        command = [sys.executable, "-m", "server.cli", "serve", "--model", str(MODEL_PATH)]
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [*command, "--port", str(port), *OPTIONS],
                cwd=ROOT,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=_environment(home),
                start_new_session=True,
            )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_healthy(url, process, log)
            yield Server(url, process.pid)
        finally:
            _stop(process)


def _environment(home: str) -> dict[str, str]:
    """This process's, without settings: what is measured does not depend on who measures."""
    ours = set(all_variable_names())
    kept = {name: value for name, value in os.environ.items() if name.upper() not in ours}
    return {**kept, "CONCORDANCE_HOME": home}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    limit = time.monotonic() + START_LIMIT
    with httpx.Client(trust_env=False, timeout=10) as client:
        while process.poll() is None and time.monotonic() < limit:
            try:
                if client.get(f"{url}/healthz").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.3)
    engine = log.parent / "logs" / "engine.log"
    tail = engine.read_text(errors="replace")[-4000:] if engine.exists() else ""
    raise RuntimeError(f"the server did not start:\n{log.read_text()[-2000:]}\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_LIMIT)
