"""While a model loads, what the engine prints goes to a log file; a person sees one line.

The engine's processes inherit the file and keep it; this process gets its terminal back.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from types import TracebackType

_CAUSE = re.compile(r"(?:^|\s)(?:[\w.]*\.)?(\w*(?:Error|Exception)): (.+)$")
_SYMPTOMS = ("Engine core initialization failed", "cancelled", "WorkerProc initialization failed")
"""Errors that only say that another one happened."""


class Quiet:
    """Redirects this process's standard output and error, by file descriptor."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._saved: list[tuple[int, int]] = []

    def __enter__(self) -> Quiet:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        target = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for descriptor in (1, 2):
            self._saved.append((descriptor, os.dup(descriptor)))
            os.dup2(target, descriptor)
        os.close(target)
        return self

    def restore(self) -> None:
        """Give the terminal back. Safe to call twice."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for descriptor, saved in self._saved:
            os.dup2(saved, descriptor)
            os.close(saved)
        self._saved.clear()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.restore()

    def cause(self, error: BaseException) -> str:
        """One line that says why the start failed: the last root cause in the log, or the error."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        for line in reversed(lines):
            found = _CAUSE.search(line)
            if found and not any(symptom in found[2] for symptom in _SYMPTOMS):
                return found[2].strip()
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
