"""Landlock: from here on no file can be reached, no port, and no process outside.

The filter of system calls refuses all of this already. Landlock judges objects, not calls, so it
holds where the filter's list has a hole. An older kernel has less of it, or none.
"""

from __future__ import annotations

import ctypes
import os
import struct

from mods.runtime.host.confine.kernel import prctl, syscall

_CREATE, _RESTRICT = 444, 446
"""Their numbers are the same on every machine."""
_ASK_VERSION = 1
_PR_SET_NO_NEW_PRIVS = 38

_FILES = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many kinds of access to files are known from which version on."""
_PORTS = 0b11
"""From version 4 on: to bind and to connect TCP ports."""
_OUTSIDE = 0b11
"""From version 6 on: abstract Unix sockets of others, and signals to others."""


def version() -> int:
    """What the kernel has of Landlock. Raises OSError where it has none."""
    return syscall(_CREATE, 0, 0, _ASK_VERSION)


def restrict() -> int:
    """Allow the calling thread none of what Landlock knows, for good. Returns the version.

    Raises OSError.
    """
    found = version()
    rights = _rights(found)
    handle = syscall(_CREATE, ctypes.create_string_buffer(rights, len(rights)), len(rights), 0)
    try:
        prctl(_PR_SET_NO_NEW_PRIVS, 1)
        syscall(_RESTRICT, handle, 0)
    finally:
        os.close(handle)
    return found


def _rights(version: int) -> bytes:
    """`struct landlock_ruleset_attr`, as long as this version knows it. No rule lifts any of it."""
    files = max(count for since, count in _FILES.items() if since <= version)
    words = [(1 << files) - 1]
    if version >= 4:
        words.append(_PORTS)
    if version >= 6:
        words.append(_OUTSIDE)
    return struct.pack(f"<{len(words)}Q", *words)
