"""What a person sees while a model loads: a spinner on a terminal, else a line now and then.

The server cannot be asked how far it is, only whether it answers; a thread asks it. It writes to
a copy of standard error, since the server sends the engine's chatter, and with it the original,
to a log file while the model loads.
"""

from __future__ import annotations

import http.client
import io
import itertools
import os
import sys
import threading
import time
from types import TracebackType
from typing import TextIO

TICK = 0.125
"""Seconds between two frames of the spinner; the server is asked every fourth time."""

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
CLEAR = "\r\x1b[2K"


class Loading:
    """Shows, inside a `with`, that a server is starting, and then, once, that it is ready."""

    def __init__(
        self,
        model: str,
        host: str,
        port: int,
        *,
        stream: TextIO | None = None,
        say_every: float = 15.0,
    ) -> None:
        self.model = model
        self.host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        self.port = port
        self.stream = stream or copy_of_stderr()
        self.say_every = say_every
        self._started = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loading", daemon=True)

    def __enter__(self) -> Loading:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def _watch(self) -> None:
        terminal = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        show = self._spin if terminal else self._say
        if show():
            self._write(f"Ready at {self.url} after {self._elapsed():.0f} s\n")

    def _spin(self) -> bool:
        # Each frame ends at the line's start, so that what others write goes over it.
        for frame, ask in zip(itertools.cycle(FRAMES), itertools.cycle("0001"), strict=False):
            self._write(f"{CLEAR}{frame} {self._line()}\r")
            if self._over.wait(TICK):
                return False
            if ask == "1" and answers(self.host, self.port):
                break
        self._write(CLEAR)
        return True

    def _say(self) -> bool:
        self._write(f"{self._line()}\n")
        said = time.monotonic()
        while not self._over.wait(4 * TICK):
            if answers(self.host, self.port):
                return True
            if time.monotonic() - said >= self.say_every:
                said = time.monotonic()
                self._write(f"{self._line()}\n")
        return False

    def _line(self) -> str:
        return f"Loading {self.model} ({self._elapsed():.0f} s)"

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def copy_of_stderr() -> TextIO:
    """A stream to where standard error leads now, wherever it leads later."""
    try:
        descriptor = os.dup(sys.stderr.fileno())
    except (OSError, io.UnsupportedOperation):
        return sys.stderr
    return os.fdopen(descriptor, "w", encoding=sys.stderr.encoding, errors="replace")


def answers(host: str, port: int) -> bool:
    """Whether a server answers there and is healthy."""
    connection = http.client.HTTPConnection(host, port, timeout=2.0)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
