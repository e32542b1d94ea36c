"""Forks triers: one process that has read the vocabulary and imported what they need.

Started as `python -m server.constraints.zygote`, with one socket and nothing else of the server's.
Each request on that socket carries a socket for a new trier; the answer is the trier's pid.
"""

from __future__ import annotations

import argparse
import gc
import os
import selectors
import signal
import socket
from pathlib import Path

import msgspec

from mods.runtime.grammar.compile import Options
from mods.runtime.grammar.source import VocabularySource
from mods.runtime.grammar.vocabulary import Vocabulary
from mods.runtime.host.parent import die_with
from server.constraints.protocol import PID
from server.constraints.trier import become_trier


class Zygote:
    """Forks when asked, and buries what it forked."""

    def __init__(self, control: socket.socket, vocabulary: Vocabulary, options: Options) -> None:
        self._control, self._vocabulary, self._options = control, vocabulary, options
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)

    def serve(self) -> None:
        """Until the server closes its end; the triers go with this process."""
        self._control.sendall(PID.pack(0))
        while True:
            for key, _ in self._selector.select():
                if key.data is not None:
                    self._bury(key.data, key.fd)
                elif not self._obey():
                    return

    def _obey(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
        for descriptor in descriptors:
            with socket.socket(fileno=descriptor) as work:
                self._control.sendall(PID.pack(self._fork(work)))
        return bool(data)

    def _fork(self, work: socket.socket) -> int:
        """The child's pid. The child itself never returns."""
        own = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                become_trier(own, work, self._vocabulary, self._options)
            finally:
                os._exit(0)
        self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
        return pid

    def _bury(self, pid: int, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        os.close(descriptor)
        os.waitpid(pid, 0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", type=int, required=True, help="descriptor of the socket")
    parser.add_argument("--parent", type=int, required=True, help="pid of the server")
    parser.add_argument("--source", type=Path, required=True, help="`VocabularySource`, msgpack")
    parser.add_argument("--options", required=True, help="`Options` as JSON")
    given = parser.parse_args()
    die_with(given.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source = msgspec.msgpack.decode(given.source.read_bytes(), type=VocabularySource)
    vocabulary = source.vocabulary()
    options = msgspec.json.decode(given.options, type=Options)
    options = msgspec.structs.replace(options, specials=vocabulary.specials)
    _ = vocabulary.plain
    del source
    gc.collect()
    gc.freeze()
    Zygote(socket.socket(fileno=given.control), vocabulary, options).serve()


if __name__ == "__main__":
    main()
