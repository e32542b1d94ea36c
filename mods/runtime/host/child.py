"""From a fork of the zygote to a host: let go of what is the zygote's, lock, then serve."""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import Any

import numpy as np

from mods.runtime.host.confine.lock import lock
from mods.runtime.host.confine.terms import Terms
from mods.runtime.host.loop import HostLoop
from mods.runtime.host.page import Page
from mods.runtime.host.parent import die_with
from mods.runtime.host.sessions import Loader, Sessions
from mods.runtime.host.speech import Speech
from mods.runtime.spans import Matchers


def become_host(
    zygote: int,
    listener: socket.socket,
    page: Page,
    tokenizer: Any,
    matchers: Matchers | None,
    loader: Loader,
    terms: Terms,
) -> None:
    """Serve until the API is gone. Runs in the child of a fork; the caller ends the process."""
    die_with(zygote)
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _keep_only(listener.fileno())
    speech = _silence()
    np.random.seed()
    # Again, so that who connects from here on is told this process's id, and not the zygote's.
    listener.listen(128)
    lock(terms, zygote)
    HostLoop(listener, Sessions(tokenizer, loader, page, speech, matchers)).run()


def _keep_only(descriptor: int) -> None:
    """Close every other descriptor above stderr: the zygote's socket and its watch on siblings."""
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, os.sysconf("SC_OPEN_MAX"))


def _silence() -> Speech:
    """Point descriptors 0 to 2 nowhere, and give `print` an ear of our own."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    speech = Speech()
    sys.stdin = open(os.devnull)  # noqa: SIM115
    sys.stdout = sys.__stdout__ = speech  # type: ignore[misc, assignment]
    sys.stderr = sys.__stderr__ = speech  # type: ignore[misc, assignment]
    return speech
