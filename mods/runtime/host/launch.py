"""Starts a zygote: a fresh interpreter that has nothing of the server's but one socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import mods


def launch(
    module: str, control: socket.socket, *arguments: str, **environment: str
) -> subprocess.Popen[bytes]:
    """Run `python -m module --control FD --parent PID` with these arguments.

    environment: beyond what every zygote has.

    It has a process group of its own, and no session: Linux schedules each session as one
    (`sched_autogroup`), and a busy engine can keep another session from running for seconds.
    """
    command = [sys.executable, "-P", "-m", module]
    command += ["--control", str(control.fileno()), "--parent", str(os.getpid()), *arguments]
    return subprocess.Popen(
        command,
        env={**_environment(), **environment},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[control.fileno()],
        process_group=0,
    )


def _environment() -> dict[str, str]:
    """No secrets, and no threads: a fork keeps only the one that forks."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": str(Path(mods.__file__).parent.parent),
        "PYTHONUTF8": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
