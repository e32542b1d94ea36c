"""The filter that the kernel runs before every system call: a small program, made for one process.

It looks at the machine, the number of the call and its arguments, never at memory. What it does
not know fails with EPERM, which Python raises as `PermissionError`; a call in another machine's
manner, such as 32-bit calls on a 64-bit kernel, ends the process.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping, Sequence
from errno import ENOSYS

from mods.runtime.host.confine.calls import ALWAYS, NUMBERS, OWN, SOMETIMES, Among
from mods.runtime.host.confine.kernel import machine, prctl

_LOAD, _AND, _EQUAL, _ABOVE, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
"""Instructions: a word of the call's data, and, jump if equal, jump if above or equal, return."""
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050001, 0x80000000
"""What the program may return. `REFUSE` carries EPERM."""
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""How the kernel marks calls made in this machine's own manner."""
_X32 = 0x40000000
"""On x86_64, numbers from here on are calls with 32-bit pointers."""
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_SECCOMP_MODE_FILTER = 2

Instruction = tuple[int, int, int, int]
"""(code, jump if true, jump if false, constant); jumps count instructions from the next one."""


def install(pid: int) -> None:
    """Put the filter on the calling process (this one), for good. Raises OSError."""
    program = program_for(machine(), pid)
    packed = b"".join(struct.pack("<HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    pointer = ctypes.addressof(buffer)
    head = ctypes.create_string_buffer(struct.pack("<H6xQ", len(program), pointer))
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(head))


def program_for(architecture: str, pid: int) -> list[Instruction]:
    """The filter for a process on a machine. Raises OSError for a machine that is not known."""
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise OSError(ENOSYS, f"no filter for machine {architecture!r}; there are {known}")
    numbers = NUMBERS[architecture]
    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, ARCHITECTURES[architecture]),
        (_RETURN, 0, 0, KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if architecture == "x86_64":
        program += [(_ABOVE, 0, 1, _X32), (_RETURN, 0, 0, KILL)]
    for name, conditions in SOMETIMES.items():
        if name in numbers:
            program += _rule(numbers[name], conditions, pid)
    for name in ALWAYS:
        if name in numbers:
            program += _rule(numbers[name], (), pid)
    return [*program, (_RETURN, 0, 0, REFUSE)]


def _rule(number: int, conditions: Sequence[Among], pid: int) -> list[Instruction]:
    """Allow this call where all conditions hold, else refuse it."""
    body = [(_RETURN, 0, 0, ALLOW)]
    if conditions:
        body.append((_RETURN, 0, 0, REFUSE))
    for condition in reversed(conditions):
        body = [*_check(condition, pid, to_refusal=len(body) - 1), *body]
    return [(_EQUAL, 0, len(body), number), *body]


def _check(condition: Among, pid: int, to_refusal: int) -> list[Instruction]:
    """Go on if the condition holds, else jump to what refuses.

    to_refusal: how many instructions stand between these and that one.
    """
    values = [pid if value == OWN else value for value in condition.values]
    low = _ARGUMENTS_AT + 8 * condition.argument
    tests = [
        (_EQUAL, left, 0 if left else to_refusal, value)
        for left, value in zip(range(len(values) - 1, -1, -1), values, strict=True)
    ]
    if condition.mask is None:
        head = [
            (_LOAD, 0, 0, low + 4),
            (_EQUAL, 0, 1 + len(tests) + to_refusal, 0),
            (_LOAD, 0, 0, low),
        ]
    else:
        head = [(_LOAD, 0, 0, low), (_AND, 0, 0, condition.mask)]
    return [*head, *tests]


def run(program: Sequence[Instruction], data: Mapping[int, int]) -> int:
    """What the program answers to a call, its 32-bit words by offset. For tests and for reading."""
    at, word = 0, 0
    while True:
        code, yes, no, constant = program[at]
        if code == _RETURN:
            return constant
        if code == _LOAD:
            word = data.get(constant, 0)
        elif code == _AND:
            word &= constant
        else:
            holds = word == constant if code == _EQUAL else word >= constant
            at += yes if holds else no
        at += 1
