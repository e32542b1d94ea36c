"""How much of the machine a host may use: the kernel's own counts, which no program can raise."""

from __future__ import annotations

import resource
from contextlib import suppress

MEGABYTE = 2**20
DESCRIPTORS = 64
"""What a host may have open: the API's connection, the worker's, their arenas, a few of its own."""
_ADDRESSES = 8 * 2**30
"""Bytes of addresses beyond its memory: room for arenas, and a bound on the kernel's own tables."""

NOTHING = {
    "RLIMIT_CORE": 0,
    "RLIMIT_FSIZE": 0,
    "RLIMIT_NPROC": 0,
    "RLIMIT_MEMLOCK": 0,
    "RLIMIT_MSGQUEUE": 0,
    "RLIMIT_RTPRIO": 0,
    "RLIMIT_NICE": 0,
    "RLIMIT_SIGPENDING": 64,
}
"""No dump, no file written, no process, nothing locked or queued in the kernel, no precedence."""


def no_dump() -> None:
    """A process that dies writes nothing down."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit(memory: int) -> None:
    """Cap what this process may use, for good. memory: bytes beyond what it has now.

    Raises OSError or ValueError where a cap cannot be set.
    """
    die_first()
    addresses, data = _sizes()
    _cap(resource.RLIMIT_DATA, data + memory)
    _cap(resource.RLIMIT_AS, addresses + memory + _ADDRESSES)
    _cap(resource.RLIMIT_NOFILE, DESCRIPTORS)
    stack, _ = resource.getrlimit(resource.RLIMIT_STACK)
    _cap(resource.RLIMIT_STACK, stack)
    for name, most in NOTHING.items():
        _cap(getattr(resource, name), most)


def die_first() -> None:
    """Where the whole machine runs out of memory, let the kernel take a host, not the server."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _cap(kind: int, most: int) -> None:
    """The lower of this and of what is capped already."""
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        most = hard if most == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def _sizes() -> tuple[int, int]:
    """Bytes of addresses, and bytes of private memory that can be written, as the kernel counts."""
    with open("/proc/self/statm") as file:
        pages = [int(field) for field in file.read().split()]
    size = resource.getpagesize()
    return pages[0] * size, pages[5] * size
