"""A lock on a folder's role: one process may hold it, and death releases it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from server.traces.errors import SpoolInUseError


class FolderLock:
    """`flock` on a file. Held from its making until `release`, or until the process is gone.

    Raises `SpoolInUseError` if another holds it. A child that is forked, and execs nothing,
    holds it too: take it after such children are made.
    """

    def __init__(self, path: Path, role: str) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise SpoolInUseError(
                f"process {holder} already {role} {path.parent}; only one may, so stop that one"
                " or use another folder"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give it up. Safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
