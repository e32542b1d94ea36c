"""The system calls that a host is left with. Everything that is not here is refused.

There is no call that takes a path: a host opens, reads, lists and looks up no file. There is none
that makes a socket to anywhere, a process, a thread or a name that others can find. What is left
works on memory, on clocks, and on what is open already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OWN = -1
"""Stands for the host's own process id."""


@dataclass(frozen=True)
class Among:
    """Holds if an argument, less the bits outside `mask`, is one of these values.

    Without a mask all 64 bits are compared.
    """

    argument: int
    values: Sequence[int]
    mask: int | None = None


_ALWAYS = """
    read write readv writev close lseek fstat
    munmap mremap brk mprotect
    rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack
    futex sched_yield getcpu set_robust_list rseq restart_syscall exit exit_group
    getrandom clock_getres gettimeofday time nanosleep clock_nanosleep times getrusage
    poll ppoll select pselect6
    epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
    accept accept4 recvfrom recvmsg getsockname getpeername getsockopt shutdown
    dup dup2 dup3
    getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getcwd uname
"""
ALWAYS = _ALWAYS.split()

_PRIVATE, _SHARED, _SHARED_VALIDATE, _ANONYMOUS = 0x02, 0x01, 0x03, 0x20
_STREAM = 1
_FCNTL = (0, 1, 2, 3, 4, 1030, 1034)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GET_SEALS."""
_IOCTL = (0x5421, 0x5450, 0x5451, 0x541B, 0x5401)
"""FIONBIO, FIONCLEX, FIOCLEX, FIONREAD, TCGETS."""
_MADVISE = (0, 1, 2, 3, 4, 8, 14, 15)
"""Not among them: sharing pages with others, and what is meant for tests of the kernel."""

SOMETIMES: dict[str, Sequence[Among]] = {
    # A socket that is connected already takes no address.
    "sendto": (Among(4, (0,)),),
    # Memory that is both shared and nobody's file escapes the count of the process's own memory.
    "mmap": (
        Among(
            3,
            (_PRIVATE, _PRIVATE | _ANONYMOUS, _SHARED, _SHARED_VALIDATE),
            0x0F | _ANONYMOUS,
        ),
    ),
    "madvise": (Among(2, _MADVISE),),
    # A negative clock is another process's.
    "clock_gettime": (Among(0, range(12)),),
    "fcntl": (Among(1, _FCNTL, 0xFFFFFFFF),),
    "ioctl": (Among(1, _IOCTL, 0xFFFFFFFF),),
    # Both ends are one's own: an event loop wakes itself with it.
    "socketpair": (Among(0, (1,), 0xFFFFFFFF), Among(1, (_STREAM,), 0x0F)),
    "kill": (Among(0, (OWN,), 0xFFFFFFFF),),
    "tgkill": (Among(0, (OWN,), 0xFFFFFFFF),),
    "sched_getaffinity": (Among(0, (0, OWN), 0xFFFFFFFF),),
    # To read one's own limits, not to set them.
    "prlimit64": (Among(0, (0, OWN), 0xFFFFFFFF), Among(2, (0,))),
    "getrlimit": (),
    "prctl": (Among(0, (39,), 0xFFFFFFFF),),
}
"""By name; all conditions of a call must hold. The last is PR_GET_NO_NEW_PRIVS."""

_X86_64 = """
    read 0 write 1 close 3 fstat 5 poll 7 lseek 8 mmap 9 mprotect 10 munmap 11 brk 12
    rt_sigaction 13 rt_sigprocmask 14 rt_sigreturn 15 ioctl 16 readv 19 writev 20 select 23
    sched_yield 24 mremap 25 madvise 28 dup 32 dup2 33 nanosleep 35 getpid 39 accept 43 sendto 44
    recvfrom 45 recvmsg 47 shutdown 48 getsockname 51 getpeername 52 socketpair 53 getsockopt 55
    exit 60 kill 62 uname 63 fcntl 72 getcwd 79 gettimeofday 96 getrlimit 97 getrusage 98
    times 100 getuid 102 getgid 104 geteuid 107 getegid 108 getppid 110 getresuid 118
    getresgid 120 sigaltstack 131 prctl 157 gettid 186 time 201 futex 202 sched_getaffinity 204
    restart_syscall 219 clock_gettime 228 clock_getres 229 clock_nanosleep 230 exit_group 231
    epoll_wait 232 epoll_ctl 233 tgkill 234 pselect6 270 ppoll 271 set_robust_list 273
    epoll_pwait 281 accept4 288 epoll_create1 291 dup3 292 prlimit64 302 getcpu 309 getrandom 318
    rseq 334 epoll_pwait2 441
"""
_AARCH64 = """
    getcwd 17 epoll_create1 20 epoll_ctl 21 epoll_pwait 22 dup 23 dup3 24 fcntl 25 ioctl 29
    close 57 lseek 62 read 63 write 64 readv 65 writev 66 pselect6 72 ppoll 73 fstat 80 exit 93
    exit_group 94 futex 98 set_robust_list 99 nanosleep 101 clock_gettime 113 clock_getres 114
    clock_nanosleep 115 sched_getaffinity 123 sched_yield 124 restart_syscall 128 kill 129
    tgkill 131 sigaltstack 132 rt_sigaction 134 rt_sigprocmask 135 rt_sigreturn 139 getresuid 148
    getresgid 150 times 153 uname 160 getrlimit 163 getrusage 165 prctl 167 getcpu 168
    gettimeofday 169 getpid 172 getppid 173 getuid 174 geteuid 175 getgid 176 getegid 177
    gettid 178 socketpair 199 accept 202 getsockname 204 getpeername 205 sendto 206 recvfrom 207
    getsockopt 209 shutdown 210 recvmsg 212 brk 214 munmap 215 mremap 216 mmap 222 mprotect 226
    madvise 233 accept4 242 prlimit64 261 getrandom 278 rseq 293 epoll_pwait2 441
"""


def _numbers(table: str) -> dict[str, int]:
    words = table.split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


NUMBERS: dict[str, dict[str, int]] = {
    "x86_64": _numbers(_X86_64),
    "aarch64": _numbers(_AARCH64),
}
"""The number of each call by machine. A call that a machine does not have is left out."""
