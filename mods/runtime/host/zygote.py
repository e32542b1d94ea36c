"""The zygote: one process that has imported everything, and forks hosts from itself.

Started as `python -m mods.runtime.host.zygote`, never by forking the API process, whose threads
would be lost in the middle of what they do. It has one thread, no author's code, none of the
server's secrets and, where it may, no network. It dies with the API process, and the hosts die
with it.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from mods.runtime.host.child import become_host
from mods.runtime.host.confine import namespaces
from mods.runtime.host.confine.sandbox import Sandbox
from mods.runtime.host.confine.terms import Terms
from mods.runtime.host.confine.trial import try_out
from mods.runtime.host.files import page_path, remove, socket_path
from mods.runtime.host.frames import Frames, frame
from mods.runtime.host.imports import Imports
from mods.runtime.host.page import Page
from mods.runtime.host.parent import die_with
from mods.runtime.host.protocol import TO_ZYGOTE, Died, Kill, NotSpawned, Ready, Spawn, Spawned
from mods.runtime.host.sessions import Loader
from mods.runtime.host.tokens import ModelTokens, matchers_of
from mods.runtime.package import Package
from mods.runtime.seat import LoadedMod
from mods.runtime.spans import Matchers


class Zygote:
    """Children by host name; their deaths are told as they happen."""

    def __init__(
        self,
        control: socket.socket,
        run_dir: Path,
        tokenizer: Any,
        matchers: Matchers | None,
        loader: Loader,
        terms: Terms,
    ) -> None:
        self._control = control
        self._run_dir = run_dir
        self._tokenizer, self._matchers = tokenizer, matchers
        self._loader = loader
        self._terms = terms
        self._frames = Frames()
        self._children: dict[str, tuple[int, int]] = {}
        """(pid, pidfd) by host name."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)

    def serve(self, sandbox: Sandbox) -> None:
        """Until the API closes its end; then no child is left."""
        self._tell(Ready(sandbox))
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
            become_host(
                zygote,
                listener,
                page,
                self._tokenizer,
                self._matchers,
                self._loader,
                self._terms,
            )
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


def settle(terms: Terms) -> Sandbox:
    """Leave the namespaces that can be left, and try the sandbox on these terms."""
    left = [] if terms.trusted else namespaces.leave()
    sandbox = try_out(terms)
    told = {**sandbox.kernel, "namespaces": ", ".join(left) or "none"}
    return sandbox if terms.trusted else msgspec.structs.replace(sandbox, kernel=told)


def warm_up(tokenizer: Any) -> None:
    """Do once what reads files when it is first done: no host could."""
    hashlib.sha256(b"").hexdigest()
    time.localtime()
    tokenizer.decode(tokenizer.encode("a"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", type=int, required=True, help="descriptor of the socket")
    parser.add_argument("--parent", type=int, required=True, help="pid of the API process")
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--tokens", required=True, help="`ModelTokens` as JSON, or null")
    parser.add_argument("--terms", required=True, help="`Terms` as JSON")
    options = parser.parse_args()
    die_with(options.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    terms = msgspec.json.decode(options.terms, type=Terms)
    imports = Imports(terms.imports)
    imports.preload()
    from mods.runtime.load import load_chain
    from mods.sdk.tokenizer import load_tokenizer

    control = socket.socket(fileno=options.control)
    folder = options.tokenizer if options.tokenizer.is_dir() else options.tokenizer.parent
    tokenizer = load_tokenizer(folder)
    tokens = msgspec.json.decode(options.tokens, type=ModelTokens | None)
    matchers = None if tokens is None else matchers_of(folder, tokens)
    warm_up(tokenizer)
    sandbox = settle(terms)

    def load(packages: Sequence[Package], shared: Mapping[str, str]) -> list[LoadedMod]:
        imports.check(packages, shared)
        return load_chain(packages, shared)

    gc.collect()
    gc.freeze()
    Zygote(control, options.run_dir, tokenizer, matchers, load, terms).serve(sandbox)


if __name__ == "__main__":
    main()
