"""The filter, run as the kernel runs it, on calls that no test would dare to make."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mods.runtime.host.confine.calls import ALWAYS, NUMBERS, SOMETIMES
from mods.runtime.host.confine.filter import ALLOW, ARCHITECTURES, KILL, REFUSE, program_for, run

PID = 4242
MACHINES = sorted(ARCHITECTURES)
PROGRAMS = {machine: program_for(machine, PID) for machine in MACHINES}


def asked(machine: str, call: str | int, *arguments: int) -> int:
    """What the filter says to a call, by name or number, with these 64-bit arguments."""
    number = NUMBERS[machine][call] if isinstance(call, str) else call
    data = {0: number, 4: ARCHITECTURES[machine]}
    for index, argument in enumerate(arguments):
        data[16 + 8 * index] = argument & 0xFFFFFFFF
        data[20 + 8 * index] = argument >> 32 & 0xFFFFFFFF
    return run(PROGRAMS[machine], data)


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_that_is_not_named_is_refused(machine: str) -> None:
    named = set(NUMBERS[machine].values())
    for number in range(1024):
        if number not in named:
            assert asked(machine, number) == REFUSE, number


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_that_is_always_allowed_is_allowed(machine: str) -> None:
    allowed = [name for name in ALWAYS if name in NUMBERS[machine]]
    assert len(allowed) > 40
    assert {asked(machine, name, *[2**64 - 1] * 6) for name in allowed} == {ALLOW}


def test_every_name_has_a_number_somewhere_and_every_number_a_rule() -> None:
    ruled = {*ALWAYS, *SOMETIMES}
    assert ruled == {name for numbers in NUMBERS.values() for name in numbers}
    assert all(len(set(numbers.values())) == len(numbers) for numbers in NUMBERS.values())


@pytest.mark.parametrize("machine", MACHINES)
def test_the_dangerous_calls_are_not_among_them(machine: str) -> None:
    dangerous = """
        open openat openat2 stat newfstatat statx readlink getdents64 access chdir mkdir unlink
        socket connect bind listen sendmsg sendmmsg fork vfork clone clone3 execve execveat
        ptrace process_vm_readv process_vm_writev pidfd_open pidfd_getfd pidfd_send_signal
        memfd_create shmget msgget semget mq_open io_uring_setup bpf perf_event_open userfaultfd
        keyctl add_key unshare setns mount chroot setuid setresuid capset setpriority
        sched_setaffinity sched_setscheduler setrlimit seccomp setsockopt timer_create inotify_init1
        rt_sigqueueinfo tkill kcmp personality mlock setpgid setsid ftruncate pipe2 eventfd2
    """.split()  # noqa: SIM905
    assert not set(dangerous) & set(NUMBERS[machine])


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_in_the_manner_of_another_machine_end_the_process(machine: str) -> None:
    i386, arm = 0x40000003, 0x40000028
    for other in (i386, arm, 0):
        assert run(PROGRAMS[machine], {0: NUMBERS[machine]["read"], 4: other}) == KILL
    if machine == "x86_64":
        assert asked(machine, 0x40000000 + NUMBERS[machine]["read"]) == KILL


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("call", "arguments", "answer"),
    [
        ("kill", (PID, 9), ALLOW),
        ("kill", (PID + 1, 0), REFUSE),
        ("kill", (0, 9), REFUSE),
        ("kill", (2**64 - 1, 9), REFUSE),
        ("tgkill", (PID, 7, 6), ALLOW),
        ("tgkill", (1, PID, 6), REFUSE),
        ("sendto", (5, 1, 1, 0, 0, 0), ALLOW),
        ("sendto", (5, 1, 1, 0, 2**40, 16), REFUSE),
        ("sendto", (5, 1, 1, 0, 1, 16), REFUSE),
        ("mmap", (0, 4096, 3, 0x22, 2**64 - 1, 0), ALLOW),
        ("mmap", (0, 4096, 3, 0x01, 5, 0), ALLOW),
        ("mmap", (0, 4096, 3, 0x21, 2**64 - 1, 0), REFUSE),
        ("mmap", (0, 4096, 3, 0x23, 2**64 - 1, 0), REFUSE),
        ("mmap", (0, 4096, 3, 0x2021, 2**64 - 1, 0), REFUSE),
        ("socketpair", (1, 1, 0), ALLOW),
        ("socketpair", (1, 1 | 0x80000 | 0x800, 0), ALLOW),
        ("socketpair", (1, 2, 0), REFUSE),
        ("socketpair", (2, 1, 0), REFUSE),
        ("fcntl", (5, 4, 0x800), ALLOW),
        ("fcntl", (5, 8, PID), REFUSE),
        ("fcntl", (5, 1031, 2**20), REFUSE),
        ("ioctl", (5, 0x5421, 0), ALLOW),
        ("ioctl", (5, 0x5412, 0), REFUSE),
        ("prlimit64", (0, 7, 0, 2**40), ALLOW),
        ("prlimit64", (PID, 7, 0, 2**40), ALLOW),
        ("prlimit64", (0, 7, 2**40, 0), REFUSE),
        ("prlimit64", (PID + 1, 7, 0, 2**40), REFUSE),
        ("clock_gettime", (1, 2**40), ALLOW),
        ("clock_gettime", (2**64 - 42, 2**40), REFUSE),
        ("prctl", (39, 0), ALLOW),
        ("prctl", (1, 0), REFUSE),
        ("prctl", (22, 2, 0), REFUSE),
        ("madvise", (0, 4096, 4), ALLOW),
        ("madvise", (0, 4096, 12), REFUSE),
    ],
)
def test_some_calls_depend_on_their_arguments(
    machine: str, call: str, arguments: tuple[int, ...], answer: int
) -> None:
    assert asked(machine, call, *arguments) == answer


@given(
    machine=st.sampled_from(MACHINES),
    call=st.sampled_from(sorted(SOMETIMES)),
    arguments=st.lists(
        st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 64), st.just(PID)),
        min_size=6,
        max_size=6,
    ),
)
def test_a_conditional_call_is_allowed_exactly_where_its_conditions_hold(
    machine: str, call: str, arguments: list[int]
) -> None:
    def holds(index: int, values: list[int], mask: int | None) -> bool:
        wanted = [PID if value < 0 else value for value in values]
        return (arguments[index] if mask is None else arguments[index] & mask) in wanted

    expected = all(holds(c.argument, list(c.values), c.mask) for c in SOMETIMES[call])
    assert asked(machine, call, *arguments) == (ALLOW if expected else REFUSE)


@pytest.mark.parametrize("machine", MACHINES)
def test_jumps_stay_within_what_an_instruction_can_hold(machine: str) -> None:
    assert len(PROGRAMS[machine]) < 4096
    assert all(yes < 256 and no < 256 for _, yes, no, _ in PROGRAMS[machine])


def test_a_machine_that_is_not_known_gets_no_filter() -> None:
    with pytest.raises(OSError, match="riscv64"):
        program_for("riscv64", PID)


HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_the_kernel_s(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip("the kernel's headers are not installed")
    text = HEADERS[machine].read_text()
    found = re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", text, re.MULTILINE)
    known = {name: int(number) for name, number in found}
    wanted = {name: number for name, number in NUMBERS[machine].items() if name in known}
    assert len(wanted) > 50
    assert wanted == {name: known[name] for name in wanted}
