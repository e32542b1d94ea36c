"""Grammars in the worker: compiled when the server says so, before any request needs them.

The server sends each grammar ahead, over a socket of its own, and waits until it is compiled;
requests then name it by digest. Compiling happens on a thread that gives Python's lock away, so
no step waits for it. Only grammars that were tried out elsewhere, within limits, come here.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import msgspec

from mods.runtime.grammar.grammar import Grammar
from mods.runtime.grammar.matcher import Matcher
from mods.runtime.grammar.vocabulary import Vocabulary
from mods.runtime.host.frames import Frames, frame

SOCKET_NAME = "grammars.socket"
KEPT_GRAMMARS = 4096
"""Compiled grammars kept; past that the one that was not used for longest goes."""

SWITCH_SECONDS = 0.0005
"""How long a thread of the worker may keep Python's lock from another that wants it: a new grammar
and a step's masks need it a few times each, for microseconds, while the runner's own code runs."""

log = logging.getLogger("concordance.processor")


class Prepare(msgspec.Struct, frozen=True, array_like=True):
    """Have this grammar ready; answered by `Prepared` with the same id."""

    id: int
    grammar: Grammar


class Prepared(msgspec.Struct, frozen=True, array_like=True):
    """The grammar is ready, or why it is not."""

    id: int
    error: str | None = None


class Grammars:
    """Compiled grammars by digest. One thread adds, the worker's own takes copies."""

    def __init__(self, vocabulary: Callable[[], Vocabulary]) -> None:
        self._make_vocabulary = vocabulary
        self._vocabulary: Vocabulary | None = None
        self._compiled: OrderedDict[str, Matcher] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def words(self) -> int:
        """32-bit words in one row of a mask; 0 before the first grammar was prepared."""
        return self._vocabulary.words if self._vocabulary is not None else 0

    def matcher(self, digest: str) -> Matcher | None:
        """A matcher at its beginning; None for a grammar that was not prepared, or was dropped."""
        with self._lock:
            compiled = self._compiled.get(digest)
            if compiled is None:
                return None
            self._compiled.move_to_end(digest)
            return compiled.copy()

    def prepare(self, grammar: Grammar) -> str | None:
        """Compile, unless it is there. Returns what is wrong with it, None if nothing is."""
        with self._lock:
            if grammar.digest in self._compiled:
                self._compiled.move_to_end(grammar.digest)
                return None
        if self._vocabulary is None:
            self._vocabulary = self._make_vocabulary()
        matcher = Matcher(grammar, self._vocabulary)
        if matcher.error is not None:
            return matcher.error
        with self._lock:
            self._compiled[grammar.digest] = matcher
            while len(self._compiled) > KEPT_GRAMMARS:
                self._compiled.popitem(last=False)
        return None

    def listen(self, run_dir: Path) -> None:
        """Serve `Prepare` on a socket in this folder, on a thread that ends with the process."""
        sys.setswitchinterval(SWITCH_SECONDS)
        path = run_dir / SOCKET_NAME
        # An engine that was killed has left its own behind.
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(4)
        threading.Thread(
            target=self._accept, args=(listener,), name="grammars", daemon=True
        ).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            stream, _ = listener.accept()
            threading.Thread(
                target=self._serve, args=(stream,), name="grammars", daemon=True
            ).start()

    def _serve(self, stream: socket.socket) -> None:
        frames, decoder = Frames(), msgspec.msgpack.Decoder(Prepare)
        try:
            with stream:
                while data := stream.recv(2**16):
                    for body in frames.add(data):
                        stream.sendall(frame(self._answer(decoder.decode(body))))
        except OSError:
            pass  # The server went away, and with it whoever wanted grammars.
        except Exception:
            log.exception("the connection that brings grammars broke")

    def _answer(self, message: Prepare) -> Prepared:
        try:
            return Prepared(message.id, self.prepare(message.grammar))
        except Exception as error:
            log.exception("a grammar could not be prepared")
            return Prepared(message.id, f"{type(error).__name__}: {error}")
