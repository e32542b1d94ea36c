"""What a mod prints: heard line by line, written into the record of the session that runs.

Replaces `sys.stdout` and `sys.stderr` in a host. While no handler runs (at import) the last lines
are kept for the answer to the load.
"""

from __future__ import annotations

import io
from collections import deque

from mods.runtime.record import Speaker, speaker

MAX_LINE = 4096
"""Characters in one line at most; a longer one is broken."""
MAX_LINES = 200
"""Lines heard from one handler call at most, and lines kept from an import."""


class Speech(io.TextIOBase):
    """A text stream that keeps whole lines, bounded, and never reaches the terminal."""

    def __init__(self, by: Speaker = speaker) -> None:
        self._by = by
        self._partial = ""
        self._heard = 0
        self._unclaimed: deque[str] = deque(maxlen=MAX_LINES)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._heard > MAX_LINES:
            return len(text)
        *lines, self._partial = (self._partial + text[: MAX_LINE * MAX_LINES]).split("\n")
        for line in lines:
            self._hear(line)
        if len(self._partial) > MAX_LINE:
            self.end_line()
        return len(text)

    def end_line(self) -> None:
        """What was printed without a line end is a line too."""
        line, self._partial = self._partial, ""
        self._hear(line)

    def call_ends(self) -> None:
        """A handler call is over: its unfinished line belongs to it, not to the next call."""
        if self._partial:
            self.end_line()
        self._heard = 0

    def unclaimed(self) -> list[str]:
        """The lines printed while no handler ran, oldest first; they are forgotten here."""
        self.call_ends()
        lines = list(self._unclaimed)
        self._unclaimed.clear()
        return lines

    def _hear(self, line: str) -> None:
        line = line[:MAX_LINE].encode("utf-8", "replace").decode("utf-8")
        voice = self._by.voice.get()
        if voice is None:
            self._unclaimed.append(line)
            return
        record, mod = voice
        self._heard += 1
        if self._heard <= MAX_LINES:
            record.log(mod, line)
        elif self._heard == MAX_LINES + 1:
            record.log(mod, f"(more than {MAX_LINES} lines in one call; the rest is lost)")
