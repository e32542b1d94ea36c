"""The trial: a process is confined as a host is, and tries what no mod may do.

Forked from the zygote before any host, so that what is told of the sandbox was seen on this
machine, under this kernel, and not read in its documentation.
"""

from __future__ import annotations

import _thread
import ctypes
import mmap
import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from errno import EACCES, EAGAIN, EMFILE, ENOMEM, ENOSYS, EPERM
from functools import partial

import msgspec

from mods.runtime.host.confine.kernel import machine, prctl, syscall
from mods.runtime.host.confine.limits import DESCRIPTORS
from mods.runtime.host.confine.lock import KEPT, lock
from mods.runtime.host.confine.sandbox import Sandbox
from mods.runtime.host.confine.terms import Terms

SECONDS = 10.0
"""Time for the trial; it takes milliseconds."""

_DENIED = (EPERM, EACCES, ENOSYS)
_PR_SET_PDEATHSIG, _PR_GET_NO_NEW_PRIVS = 1, 39

RAW: dict[str, tuple[int, int]] = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),
    "mount": (165, 40),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "perf_event_open": (298, 241),
    "pidfd_open": (434, 434),
    "process_vm_readv": (310, 270),
    "ptrace": (101, 117),
    "semget": (64, 190),
    "setns": (308, 268),
    "shmget": (29, 194),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
"""Calls that Python has no name for: their numbers on x86_64 and on aarch64."""


def try_out(terms: Terms) -> Sandbox:
    """Fork, confine, try. In the parent: what came of it. Never raises for what a kernel lacks."""
    if terms.trusted:
        return Sandbox(trusted=True)
    ours, theirs = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _live(theirs, terms, parent)
    os.close(theirs)
    told = _read(ours, pid)
    os.close(ours)
    os.waitpid(pid, 0)
    if not told:
        return Sandbox(broken={"trial": "the process that tried the sandbox gave no answer"})
    return msgspec.msgpack.decode(told, type=Sandbox)


def _live(report: int, terms: Terms, parent: int) -> None:
    """The child, which never returns."""
    try:
        found = _try_everything(terms, parent)
    except BaseException as error:
        found = Sandbox(broken={"lock": f"{type(error).__name__}: {error}"})
    try:
        os.write(report, msgspec.msgpack.encode(found))
    finally:
        os._exit(0)


def _read(report: int, pid: int) -> bytes:
    """All that the child writes; it is killed if it takes too long."""
    os.set_blocking(report, False)
    told, limit = b"", time.monotonic() + SECONDS
    while time.monotonic() < limit:
        try:
            data = os.read(report, 2**16)
        except BlockingIOError:
            time.sleep(0.0005)
            continue
        if not data:
            return told
        told += data
    os.kill(pid, signal.SIGKILL)
    return b""


def _try_everything(terms: Terms, parent: int) -> Sandbox:
    kernel = lock(terms, parent)
    holds, broken = [], {}
    for layer, deeds in _layers(terms, parent).items():
        done = [name for name, deed in deeds.items() if not _refused(deed)]
        if done:
            broken[layer] = f"not refused: {', '.join(done)}"
        else:
            holds.append(layer)
    return Sandbox(holds, broken, kernel)


def _refused(deed: Callable[[], object]) -> bool:
    """Whether the kernel refused, as it does a caller who may not, or who has had enough."""
    try:
        deed()
    except MemoryError:
        return True
    except OSError as error:
        return error.errno in (*_DENIED, EAGAIN, EMFILE, ENOMEM)
    except (RuntimeError, ValueError) as error:
        # What Python makes of EPERM for a thread, and for a limit.
        return "can't start new thread" in str(error) or "not allowed" in str(error)
    return False


Deeds = dict[str, Callable[[], object]]


def _layers(terms: Terms, parent: int) -> dict[str, Deeds]:
    return {
        "network": _network(),
        "files": _files(),
        "processes": _processes(),
        "others": _others(parent),
        "memory": _memory(terms),
        "descriptors": {"opening more": _open_many},
        "kernel": _raw(),
        "privileges": {"gaining some": _gain_privileges, "becoming root": lambda: os.setuid(0)},
        "environment": {"reading it": _read_environment},
    }


def _network() -> Deeds:
    families = "INET", "INET6", "UNIX", "NETLINK", "PACKET", "VSOCK"
    return {
        **{name: partial(socket.socket, getattr(socket, f"AF_{name}")) for name in families},
        "a pair of datagrams": lambda: socket.socketpair(type=socket.SOCK_DGRAM),
    }


def _files() -> Deeds:
    return {
        "reading": lambda: os.open("/proc/self/environ", os.O_RDONLY),
        "writing": lambda: os.open("/tmp", os.O_TMPFILE | os.O_RDWR),
        "listing": lambda: os.listdir("/"),
        "looking up": lambda: os.stat("/"),
        "following": lambda: os.readlink("/proc/self/exe"),
        "going there": lambda: os.chdir("/"),
        "making a folder": lambda: os.mkdir("/tmp/never"),
    }


def _processes() -> Deeds:
    def thread() -> None:
        _thread.start_new_thread(lambda: None, ())

    def fork() -> None:
        if os.fork() == 0:
            os._exit(0)

    return {
        "forking": fork,
        "a thread": thread,
        "running a program": lambda: os.execv("/bin/true", ["true"]),
    }


def _others(parent: int) -> Deeds:
    return {
        "a signal to the parent": lambda: os.kill(parent, 0),
        "a signal to all": lambda: os.kill(-1, 0),
        "a signal to the group": lambda: os.kill(0, 0),
        "the parent's limits": lambda: resource.prlimit(parent, resource.RLIMIT_CORE),
        "the parent's priority": lambda: os.setpriority(os.PRIO_PROCESS, parent, 19),
        "its own priority": lambda: os.nice(1),
        "its own limits": lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
        "outliving the parent": lambda: prctl(_PR_SET_PDEATHSIG, 0),
    }


def _memory(terms: Terms) -> Deeds:
    more = terms.memory + 32 * 2**20
    return {
        "more than its share": lambda: mmap.mmap(-1, more, mmap.MAP_PRIVATE),
        "more in the heap": lambda: bytearray(more),
        "shared and nobody's": lambda: mmap.mmap(-1, 2**16),
    }


def _open_many() -> None:
    opened = []
    try:
        for _ in range(DESCRIPTORS + 1):
            opened.append(os.dup(0))
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _raw() -> Deeds:
    column = 0 if machine() == "x86_64" else 1
    spare = ctypes.create_string_buffer(256)
    pointer = ctypes.addressof(spare)
    return {
        name: partial(syscall, numbers[column], pointer, 0, 0, 0, 0)
        for name, numbers in RAW.items()
    }


def _gain_privileges() -> None:
    """By running a program that is marked to give them."""
    if prctl(_PR_GET_NO_NEW_PRIVS) == 1:
        raise PermissionError(EPERM, "given up")


def _read_environment() -> None:
    if not set(os.environ) - set(KEPT):
        raise PermissionError(EPERM, "nothing there")
