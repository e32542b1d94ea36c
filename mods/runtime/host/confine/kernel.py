"""The few things that are asked of the kernel and that Python has no name for."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long


def machine() -> str:
    """What the kernel calls this machine: `x86_64`, `aarch64`, …; "" for a 32-bit process."""
    return os.uname().machine if sys.maxsize > 2**32 else ""


def prctl(option: int, *arguments: Any) -> int:
    """Raises OSError."""
    return _checked(_LIBC.prctl(option, *map(_word, _padded(arguments))))


def syscall(number: int, *arguments: Any) -> int:
    """A system call by its number: integers and pointers in. Raises OSError."""
    return _checked(_LIBC.syscall(ctypes.c_long(number), *map(_word, arguments)))


def unshare(flags: int) -> None:
    """Raises OSError."""
    _checked(_LIBC.unshare(flags))


def give_up_capabilities() -> None:
    """Keep no capability of root's. Raises OSError."""
    version_3 = 0x20080522
    header = (ctypes.c_uint32 * 2)(version_3, 0)
    _checked(_LIBC.capset(header, (ctypes.c_uint32 * 6)()))


def _padded(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Some options of prctl insist that the arguments they do not know are 0."""
    return (*arguments, 0, 0, 0, 0)[:4]


def _word(argument: Any) -> Any:
    """An integer as a whole register: what is left of a shorter one would be anything."""
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


def _checked(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
