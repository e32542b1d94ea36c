"""Rows of logits in shared memory: too large for a socket, 600 kB each at some vocabularies.

The worker makes a file without a name, grows it by powers of two, and hands its descriptor over;
the host maps it. The file is sealed: a host that could cut it would make a bus error of the
worker's map, and one that could grow it would have memory that nobody counts. The worker reads and
writes with `pread` and `pwrite` all the same.
"""

from __future__ import annotations

import fcntl
import mmap
import os

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
"""float32, shape [rows, vocabulary]."""


class ArenaFile:
    """The worker's end. Owns the descriptor."""

    def __init__(self, rows: int, vocabulary: int) -> None:
        self.rows = 1 << max(0, rows - 1).bit_length()
        self.vocabulary = vocabulary
        self.descriptor = os.memfd_create("rows", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.descriptor, self.rows * vocabulary * 4)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, seals)

    def holds(self, rows: int, vocabulary: int) -> bool:
        return rows <= self.rows and vocabulary == self.vocabulary

    def write(self, logits: Rows) -> None:
        """Put these rows into the first slots. Raises OSError if the machine has no memory."""
        data = np.ascontiguousarray(logits, dtype=np.float32).data.cast("B")
        written = 0
        while written < len(data):
            written += os.pwrite(self.descriptor, data[written:], written)

    def read(self, index: int) -> Rows:
        """Slot number `index` as a copy, shape [vocabulary]."""
        row = np.zeros(self.vocabulary, dtype=np.float32)
        os.preadv(self.descriptor, [row.data], index * self.vocabulary * 4)
        return row

    def close(self) -> None:
        os.close(self.descriptor)


class ArenaMap:
    """The host's end: the whole file as an array, and as one that mods cannot write to."""

    def __init__(self, descriptor: int, rows: int, vocabulary: int) -> None:
        """Takes the descriptor over, and closes it."""
        try:
            memory = mmap.mmap(descriptor, rows * vocabulary * 4)
        finally:
            os.close(descriptor)
        self.rows: Rows = np.frombuffer(memory, dtype=np.float32).reshape(rows, vocabulary)
        self.logits = self.rows.view()
        self.logits.flags.writeable = False
