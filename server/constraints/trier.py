"""A trier: a forked process that tries constraints out, one after the other, within limits.

What it is given was written to hurt it: it may run out of memory, of stack or of time, and then
it dies, and nobody else. It holds nothing but the vocabulary and the one socket it answers on.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from mods.runtime.grammar.compile import Options
from mods.runtime.grammar.trial import try_out
from mods.runtime.grammar.violations import judge
from mods.runtime.grammar.vocabulary import Vocabulary
from mods.runtime.host.frames import Frames, frame
from mods.runtime.host.parent import die_with
from mods.sdk.errors import ConstraintError
from server.constraints.protocol import WORK, Answer, Judged, Refused, Tried, TryOut, Work

MEMORY = 256 * 2**20
"""Bytes of address space that a trier may add to what it was forked with."""

STACK = 2 * 2**20
"""Bytes of stack for one constraint: less than any thread has that compiles it again later."""

_PAGE = resource.getpagesize()


def become_trier(
    zygote: int, work: socket.socket, vocabulary: Vocabulary, options: Options
) -> None:
    """Answer until the other side is gone. Runs in a fork's child; the caller ends the process."""
    die_with(zygote)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.closerange(3, work.fileno())
    os.closerange(work.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
    _limit()
    frames = Frames()
    while data := work.recv(2**16):
        for body in frames.add(data):
            work.sendall(frame(_answered(WORK.decode(body), vocabulary, options)))


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    most = _address_space() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _answered(work: Work, vocabulary: Vocabulary, options: Options) -> Answer:
    """The answer, worked out on a small stack."""
    answers: list[Answer] = []
    threading.stack_size(STACK)
    thread = threading.Thread(
        target=lambda: answers.append(_refusals(lambda: _done(work, vocabulary, options)))
    )
    thread.start()
    thread.join()
    return answers[0]


def _done(work: Work, vocabulary: Vocabulary, options: Options) -> Answer:
    if isinstance(work, TryOut):
        before = _resident()
        trial = try_out(work.constraint, vocabulary, options)
        return Tried(trial, max(0, _resident() - before))
    return Judged(judge(work.constraint, work.text, finished=work.finished, options=options))


def _refusals(answer: Callable[[], Answer]) -> Answer:
    """What went wrong with a constraint, as an answer; other errors are ours and end the trier."""
    try:
        return answer()
    except ConstraintError as error:
        return Refused(error.reason, error.part, error.position)
    except MemoryError:
        return Refused("the constraint needs too much memory", "", None)
    except RecursionError:
        return Refused("the constraint is nested too deep", "", None)


def _address_space() -> int:
    return int(_statm()[0]) * _PAGE


def _resident() -> int:
    return int(_statm()[1]) * _PAGE


def _statm() -> list[str]:
    return Path("/proc/self/statm").read_text().split()
