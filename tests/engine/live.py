"""A real server on a free port, as a person starts it, and the little that tests ask of it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

MODEL = "concordance/demo"
START_LIMIT = 240.0
"""Seconds that a start may take on a busy machine with two cores."""


@dataclass
class Live:
    """A running server. `url` has no slash at its end."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def post(self, path: str, body: dict[str, Any], **more: Any) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, timeout=120, **more)

    def upload(self, source: str, **more: Any) -> str:
        """Register a mod and return its name."""
        answer = self.post("/v1/mods", {"source": textwrap.dedent(source), **more})
        assert answer.status_code in (200, 201), answer.text
        return str(answer.json()["name"])

    def chat(self, text: str, *mods: str, **more: Any) -> httpx.Response:
        model = MODEL + (f"/{'+'.join(mods)}" if mods else "")
        messages = [{"role": "user", "content": text}]
        body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 48, **more}
        return self.post("/v1/chat/completions", body)

    def say(self, text: str, *mods: str, **more: Any) -> str:
        """The answer's text."""
        answer = self.chat(text, *mods, **more)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["choices"][0]["message"]["content"])

    def metric(self, name: str) -> float:
        """The sum of a metric's samples."""
        text = httpx.get(f"{self.url}/metrics", timeout=30).text
        return sum(
            float(v) for v in re.findall(rf"^{re.escape(name)}(?:{{.*}})? (\S+)$", text, re.M)
        )

    def engine_processes(self) -> set[int]:
        """Process ids of the engine core and its workers."""
        tree = subprocess.run(
            ["ps", "-eo", "pid,ppid,comm"], capture_output=True, text=True, check=True
        ).stdout
        rows = [line.split(None, 2) for line in tree.splitlines()[1:]]
        return {
            int(pid)
            for pid, _, command in rows
            if command.startswith(("VLLM::", "vllm::")) and _descends(int(pid), rows, self)
        }


def _descends(pid: int, rows: list[list[str]], live: Live) -> bool:
    parents = {int(row[0]): int(row[1]) for row in rows}
    while pid in parents:
        if pid == live.process.pid:
            return True
        pid = parents[pid]
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _own(home: Path) -> dict[str, str]:
    """Traces stay in the spool, but where a test asks for a Postgres."""
    return {"CONCORDANCE_HOME": str(home), "CONCORDANCE_EMBEDDED_POSTGRES": "false"}


@contextmanager
def open_home() -> Iterator[Path]:
    """A folder that the account of the embedded Postgres may enter."""
    with tempfile.TemporaryDirectory(
        prefix="concordance-live-", ignore_cleanup_errors=True
    ) as home:
        Path(home).chmod(0o755)
        yield Path(home)


@contextmanager
def serving(home: Path, *options: str, **environment: str) -> Iterator[Live]:
    """Start `concai serve` with these options, wait until it is healthy, stop it afterwards."""
    port = free_port()
    log = home / "server.log"
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "server.cli", "serve", "--port", str(port), *options]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **_own(home), **environment},
            process_group=0,
        )
    live = Live(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait_until_healthy(live, home)
        yield live
    finally:
        _stop(process)


def _wait_until_healthy(live: Live, home: Path) -> None:
    limit = time.monotonic() + START_LIMIT
    while time.monotonic() < limit:
        if live.process.poll() is not None:
            break
        try:
            if httpx.get(f"{live.url}/healthz", timeout=10).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    engine = home / "logs" / "engine.log"
    tail = engine.read_text(errors="replace")[-4000:] if engine.exists() else ""
    raise RuntimeError(f"the server did not start:\n{live.log.read_text()[-2000:]}\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)
