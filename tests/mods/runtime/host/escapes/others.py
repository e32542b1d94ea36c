"""Attempts to make processes, to reach other processes, and to use odd corners of the kernel."""

from __future__ import annotations

from tests.mods.runtime.host.escapes.escape import Ends, Escape

PROCESSES = [
    Escape("fork", "return os.fork() or os._exit(0)"),
    Escape("fork bomb", "while True:\n    if os.fork() == 0:\n        pass"),
    Escape("fork in C", "pid = libc.fork()\nassert pid >= 0, 'no'\nreturn pid or os._exit(0)"),
    Escape("clone", "return syscall('clone', 0x11, 0, 0, 0, 0) or os._exit(0)"),
    Escape("clone a thread", "return syscall('clone', 0x10F00, 0, 0, 0, 0)"),
    Escape("clone the new way", "return syscall('clone3', bytes(64), 64)"),
    Escape("program", "import subprocess\nreturn subprocess.run(['/bin/true'])"),
    Escape("shell", "got = os.system('true')\nassert got == 0, 'no'\nreturn 'ran'"),
    Escape("spawn", "return os.posix_spawn('/bin/true', ['true'], {})"),
    Escape("become a program", "os.execv('/bin/true', ['true'])"),
    Escape("become a descriptor", "return syscall('execveat', 0, b'', 0, 0, 0x1000)"),
    Escape("pseudo terminal", "return os.openpty()"),
    Escape("thread", "import threading\nthreading.Thread(target=print).start()\nreturn True"),
    Escape(
        "pool of threads",
        "from concurrent.futures import ThreadPoolExecutor\n"
        "return ThreadPoolExecutor(2).submit(print).result()",
    ),
    Escape(
        "thread of an event loop",
        """
        import asyncio
        async def work():
            return await asyncio.to_thread(os.getpid)
        return asyncio.run(work())
        """,
    ),
    Escape("session of its own", "os.setsid()\nreturn True"),
    Escape("group of a neighbour", "os.setpgid(0, NEIGHBOUR_PID)\nreturn True"),
]

SIGNALS = [
    Escape("kill all", "os.kill(-1, 9)\nreturn True"),
    Escape("kill its group", "os.kill(0, 9)\nreturn True"),
    Escape("kill the server", "os.kill(API_PID, 9)\nreturn True"),
    Escape("kill the zygote", "os.kill(os.getppid(), 9)\nreturn True"),
    Escape("stop a neighbour", "os.kill(NEIGHBOUR_PID, 19)\nreturn True"),
    Escape("kill a neighbour's group", "os.killpg(NEIGHBOUR_PID, 9)\nreturn True"),
    Escape("kill a thread", "return syscall('tkill', NEIGHBOUR_PID, 9) == 0"),
    Escape(
        "queue a signal", "return syscall('rt_sigqueueinfo', NEIGHBOUR_PID, 9, bytes(128)) == 0"
    ),
    Escape("handle of a process", "return os.pidfd_open(NEIGHBOUR_PID)"),
    Escape("signal by handle", "return syscall('pidfd_send_signal', 0, 9, 0, 0) == 0"),
    Escape("descriptor of another", "return syscall('pidfd_getfd', 0, 0, 0)"),
    Escape(
        "signals by way of a socket",
        """
        import fcntl
        fcntl.fcntl(3, 8, API_PID)
        return True
        """,
    ),
    Escape("alarm", "import signal\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\nreturn True"),
    Escape("outlive the server", "assert libc.prctl(1, 0, 0, 0, 0) == 0, 'no'\nreturn True"),
]

CONTROL = [
    Escape("trace a neighbour", "return syscall('ptrace', 16, NEIGHBOUR_PID, 0, 0) == 0"),
    Escape("be traced", "return syscall('ptrace', 0, 0, 0, 0) == 0"),
    Escape(
        "read a process", "return syscall('process_vm_readv', NEIGHBOUR_PID, 0, 0, 0, 0, 0) >= 0"
    ),
    Escape("write a process", "return syscall('process_vm_writev', API_PID, 0, 0, 0, 0, 0) >= 0"),
    Escape("compare processes", "return syscall('kcmp', NEIGHBOUR_PID, API_PID, 0, 0, 0) >= 0"),
    Escape(
        "a neighbour's limits",
        "import resource as r\nr.prlimit(NEIGHBOUR_PID, r.RLIMIT_CPU, (1, 1))\nreturn True",
    ),
    Escape(
        "its own limits",
        "import resource as r\nr.setrlimit(r.RLIMIT_NPROC, (99, 99))\nreturn True",
    ),
    Escape("its own niceness", "os.nice(-5)\nreturn True"),
    Escape("a neighbour's niceness", "os.setpriority(0, NEIGHBOUR_PID, 19)\nreturn True"),
    Escape("everybody's niceness", "return syscall('setpriority', 2, 0, 19) == 0"),
    Escape("a neighbour's processors", "os.sched_setaffinity(NEIGHBOUR_PID, {0})\nreturn True"),
    Escape("real time", "return syscall('sched_setscheduler', 0, 1, b'\\x01\\0\\0\\0') == 0"),
    Escape("first at the disk", "return syscall('ioprio_set', 1, 0, 0) == 0"),
    Escape("another user", "os.setuid(0)\nreturn True"),
    Escape("other groups", "os.setgroups([0])\nreturn True"),
    Escape("capabilities", "return syscall('capset', bytes(8), bytes(24)) == 0"),
    Escape("dumpable again", "assert libc.prctl(4, 1, 0, 0, 0) == 0, 'no'\nreturn True"),
]

KERNEL = [
    Escape(name, f"return syscall({call!r}, {arguments}) >= 0")
    for name, call, arguments in [
        ("ring of requests", "io_uring_setup", "8, bytes(120)"),
        ("programs in the kernel", "bpf", "5, bytes(128), 128"),
        ("faults of memory", "userfaultfd", "1"),
        ("counters of events", "perf_event_open", "bytes(128), 0, -1, -1, 0"),
        ("keys", "keyctl", "0, -3, 0, 0, 0"),
        ("a new key", "add_key", "b'user', b'x', b'y', 1, -3"),
        ("file of memory", "memfd_create", "b'x', 0"),
        ("old shared memory", "shmget", "1, 4096, 0o1666"),
        ("old shared memory of others", "shmat", "0, 0, 0"),
        ("old semaphores", "semget", "1, 1, 0o1666"),
        ("old messages", "msgget", "1, 0o1666"),
        ("queue of messages", "mq_open", "b'x', 0o102, 0o600, 0"),
        ("a namespace of its own", "unshare", "0x10000000"),
        ("another's namespace", "setns", "0, 0"),
        ("mount", "mount", "b'x', b'/tmp', b'tmpfs', 0, 0"),
        ("name of the machine", "sethostname", "b'x', 1"),
        ("clock", "clock_settime", "0, bytes(16)"),
        ("another personality", "personality", "0x40000"),
        ("another filter", "seccomp", "1, 0, 0"),
        ("another fence", "landlock_create_ruleset", "0, 0, 1"),
        ("kernel's log", "syslog", "3, bytes(64), 64"),
        ("swap", "swapon", "b'/x', 0"),
        ("quota", "quotactl", "0, 0, 0, 0"),
        ("restart the machine", "reboot", "0, 0, 0, 0"),
        ("memory of other nodes", "get_mempolicy", "0, 0, 0, 0, 0"),
        ("pipes inside the kernel", "splice", "0, 0, 1, 0, 1, 0"),
        ("pages into a pipe", "vmsplice", "0, 0, 0, 0"),
    ]
] + [
    Escape(
        "calls of a 32-bit machine",
        """
        import mmap
        code = b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3'
        page = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE | 4)
        page.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        if os.uname().machine != 'x86_64':
            os.abort()
        return ctypes.CFUNCTYPE(ctypes.c_int)(address)()
        """,
        Ends.DEAD,
    ),
    Escape(
        "calls with short pointers",
        """
        if os.uname().machine != 'x86_64':
            os.abort()
        return libc.syscall(ctypes.c_long(0x40000000 + 39))
        """,
        Ends.DEAD,
    ),
]

ESCAPES = [*PROCESSES, *SIGNALS, *CONTROL, *KERNEL]
