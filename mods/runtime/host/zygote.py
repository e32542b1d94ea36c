"""The zygote: one process that has imported everything, and forks hosts from itself.

Started as `python -m mods.runtime.host.zygote`, never by forking the API process, whose threads
would be lost in the middle of what they do. It has one thread, no author's code, and none of the
server's secrets. It dies with the API process, and the hosts die with it.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import pkgutil
import selectors
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from mods.runtime.host.child import become_host
from mods.runtime.host.files import page_path, remove, socket_path
from mods.runtime.host.frames import Frames, frame
from mods.runtime.host.page import Page
from mods.runtime.host.parent import die_with
from mods.runtime.host.protocol import TO_ZYGOTE, Died, Kill, NotSpawned, Ready, Spawn, Spawned
from mods.runtime.host.sessions import Loader

STANDARD = """
    collections copy dataclasses datetime decimal enum fractions functools hashlib heapq io
    itertools json logging math operator random re statistics string textwrap time typing
    unicodedata urllib.parse uuid
"""
"""Modules of the standard library that mods commonly use."""
_APART = {"mods.sdk.testing"}
"""Ours, but not for mods that run: it needs test libraries."""


class Zygote:
    """Children by host name; their deaths are told as they happen."""

    def __init__(self, control: socket.socket, run_dir: Path, tokenizer: Any, loader: Loader):
        self._control = control
        self._run_dir = run_dir
        self._tokenizer = tokenizer
        self._loader = loader
        self._frames = Frames()
        self._children: dict[str, tuple[int, int]] = {}
        """(pid, pidfd) by host name."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)

    def serve(self) -> None:
        """Until the API closes its end; then no child is left."""
        self._tell(Ready())
        while True:
            for key, _ in self._selector.select():
                if key.data is not None:
                    self._bury(key.data)
                elif not self._obey():
                    return self._end_all()

    def _obey(self) -> bool:
        """Carry out what the API wrote. False when it has closed its end."""
        try:
            data = self._control.recv(2**16)
        except ConnectionResetError:
            return False
        for body in self._frames.add(data):
            message = TO_ZYGOTE.decode(body)
            if isinstance(message, Spawn):
                self._spawn(message.host)
            elif isinstance(message, Kill) and message.host in self._children:
                self._kill(message.host)
        return bool(data)

    def _spawn(self, host: str) -> None:
        try:
            pid = self._fork(host)
            descriptor = os.pidfd_open(pid)
        except OSError as error:
            remove(self._run_dir, host)
            return self._tell(NotSpawned(host, f"{type(error).__name__}: {error}"))
        self._children[host] = pid, descriptor
        self._selector.register(descriptor, selectors.EVENT_READ, host)
        self._tell(Spawned(host, pid))

    def _fork(self, host: str) -> int:
        """The child's pid. The child itself never returns."""
        page = Page(page_path(self._run_dir, host))
        listener = socket.socket(socket.AF_UNIX)
        try:
            _listen(listener, socket_path(self._run_dir, host))
            zygote = os.getpid()
            pid = os.fork()
            if pid == 0:
                self._live(zygote, listener, page)
            return pid
        finally:
            listener.close()
            page.close()

    def _live(self, zygote: int, listener: socket.socket, page: Page) -> None:
        code = 70
        try:
            become_host(zygote, listener, page, self._tokenizer, self._loader)
            code = 0
        finally:
            os._exit(code)

    def _kill(self, host: str) -> None:
        signal.pidfd_send_signal(self._children[host][1], signal.SIGKILL)

    def _bury(self, host: str) -> None:
        pid, descriptor = self._children.pop(host)
        self._selector.unregister(descriptor)
        os.close(descriptor)
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        self._tell(Died(host, os.waitstatus_to_exitcode(status)))

    def _end_all(self) -> None:
        for host in self._children:
            self._kill(host)
        for pid, _ in self._children.values():
            os.waitpid(pid, 0)

    def _tell(self, message: Any) -> None:
        try:
            self._control.sendall(frame(message))
        except (BrokenPipeError, ConnectionResetError):
            self._end_all()
            os._exit(1)


def _listen(listener: socket.socket, path: Path) -> None:
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    listener.listen(128)


def preload() -> None:
    """Import what hosts and mods need, so that no host does it after the fork."""
    for name in STANDARD.split():
        importlib.import_module(name)
    for room in ("mods.sdk", "mods.runtime"):
        folder = importlib.import_module(room)
        for module in pkgutil.iter_modules(folder.__path__, f"{room}."):
            if module.name not in _APART:
                importlib.import_module(module.name)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", type=int, required=True, help="descriptor of the socket")
    parser.add_argument("--parent", type=int, required=True, help="pid of the API process")
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    options = parser.parse_args()
    die_with(options.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    preload()
    from mods.runtime.load import load_chain
    from mods.sdk.tokenizer import load_tokenizer

    control = socket.socket(fileno=options.control)
    folder = options.tokenizer if options.tokenizer.is_dir() else options.tokenizer.parent
    tokenizer = load_tokenizer(folder)
    gc.collect()
    gc.freeze()
    Zygote(control, options.run_dir, tokenizer, load_chain).serve()


if __name__ == "__main__":
    main()
