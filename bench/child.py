"""A program of ours in a process of its own: one JSON line asks, one JSON line answers.

What is measured there is timed there. It sleeps while the servers are measured.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable
from types import TracebackType
from typing import Any

from bench.models import ROOT

MARK = "ANSWER "
"""Before an answer: libraries print what they like."""


class Child:
    """`async with Child("bench.some_module", "argument") as child: await child.ask({...})`."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed at the exit
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Child:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "VLLM_NO_USAGE_STATS": "1"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._errors,
            limit=1 << 26,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._errors.close()

    async def ask(self, question: dict[str, Any]) -> Any:
        """Raises `RuntimeError` with the child's last words if it ends instead of answering."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        while line := await self._process.stdout.readline():
            if line.startswith(MARK.encode()):
                return json.loads(line[len(MARK) :])
        self._errors.seek(0)
        words = self._errors.read().decode(errors="replace")[-2000:]
        raise RuntimeError(f"{' '.join(self._command[1:])} ended: {words}")


def answer_all(answer: Callable[[dict[str, Any]], Any]) -> None:
    """The child's side: answer every line until there are no more."""
    for line in sys.stdin:
        print(MARK + json.dumps(answer(json.loads(line))), flush=True)
