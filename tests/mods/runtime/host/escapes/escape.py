"""One attempt to get out: a mod's source, and how it must end."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from enum import Enum

from mods.runtime.host.confine.kernel import machine
from mods.runtime.host.confine.trial import RAW
from mods.runtime.package import Package


class Ends(Enum):
    """How an attempt must end. In every case nobody else may notice."""

    REFUSED = "the kernel or the interpreter refuses, the mod goes on"
    NOTHING = "it may run, and finds or changes nothing"
    FAILED = "the session fails with 422, the process lives"
    LATE = "the process is stopped at its deadline, the session fails with 424"
    DEAD = "the process dies, the session fails with 424"
    LIAR = "what it said is believed by nobody, the process is stopped, 424"
    SILENT = "it hangs where no handler runs: stopped at its deadline all the same, 424"
    FORGER = "its page lies about that: it is stopped a few deadlines later, 424"


@dataclass(frozen=True)
class Escape:
    """deed: the body of a function that returns what it got hold of, or raises.

    ends: how it must end, any of these. before: source at the module's top level.
    """

    name: str
    deed: str
    ends: Ends | tuple[Ends, ...] = Ends.REFUSED
    before: str = ""

    @property
    def may_end(self) -> tuple[Ends, ...]:
        return self.ends if isinstance(self.ends, tuple) else (self.ends,)

    def package(self, places: dict[str, object]) -> Package:
        """The mod, told of these places (its neighbour's process, the server's folder, …)."""
        known = "\n".join(f"{name} = {value!r}" for name, value in places.items())
        deed = textwrap.indent(textwrap.dedent(self.deed).strip("\n"), "    ")
        return Package.from_source(
            f"{PRELUDE}\n{known}\n{textwrap.dedent(self.before)}\n"
            f"def deed(event, actions):\n{deed}\n\n{TRIES if self.tries else DOES}"
        )

    @property
    def tries(self) -> bool:
        """Whether it says what came of it, rather than answering the event."""
        return self.may_end[0] in (Ends.REFUSED, Ends.NOTHING)


MORE_CALLS = {
    "capset": (126, 91),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "connect": (42, 203),
    "execveat": (322, 281),
    "fork": (57, 220),
    "get_mempolicy": (239, 236),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "landlock_create_ruleset": (444, 444),
    "name_to_handle_at": (303, 264),
    "open": (2, 56),
    "openat": (257, 56),
    "openat2": (437, 437),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "process_vm_writev": (311, 271),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "rt_sigqueueinfo": (129, 138),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "seccomp": (317, 277),
    "sendmsg": (46, 211),
    "sethostname": (170, 161),
    "setpriority": (141, 140),
    "shmat": (30, 196),
    "splice": (275, 76),
    "statx": (332, 291),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "tkill": (200, 130),
    "vmsplice": (278, 75),
}
_COLUMN = 0 if machine() == "x86_64" else 1
_NUMBERS = {name: numbers[_COLUMN] for name, numbers in (RAW | MORE_CALLS).items()}

PRELUDE = f"""
import ctypes, errno, os, sys
from mods.sdk import mod

NUMBERS = {_NUMBERS!r}
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def syscall(name, *arguments):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    got = libc.syscall(ctypes.c_long(NUMBERS[name]), *words)
    if got < 0:
        raise OSError(ctypes.get_errno(), name)
    return got


def objects(name):
    import gc
    return [found for found in gc.get_objects() if type(found).__name__ == name]
"""

TRIES = """
@mod
def tested(event, actions, tokenizer):
    if event.name != "Prefilled":
        return actions.noop()
    try:
        got = deed(event, actions)
    except BaseException as error:
        print("refused", type(error).__name__, getattr(error, "errno", None), str(error)[:200])
    else:
        print("escaped" if got else "nothing", repr(got)[:200])
    return actions.noop()
"""
"""Says in one line what came of it."""

DOES = """
@mod
def tested(event, actions, tokenizer):
    if event.name == "Prefilled":
        return deed(event, actions)
    return actions.noop()
"""
