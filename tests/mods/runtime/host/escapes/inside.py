"""Attempts to exhaust something, to break the interpreter, and to run where nobody looks."""

from __future__ import annotations

from tests.mods.runtime.host.escapes.escape import Ends, Escape

_FULL = (Ends.REFUSED, Ends.LATE)
"""Filling what it may have takes a while; the memory or the time is over first."""

MEMORY = [
    Escape("one large block", "return len(bytearray(2**32))"),
    Escape("many blocks", "kept = []\nwhile True:\n    kept.append(bytearray(2**20))", _FULL),
    Escape("list that grows", "kept = [0]\nwhile True:\n    kept += kept", _FULL),
    Escape("text that grows", "text = 'x'\nwhile True:\n    text += text", _FULL),
    Escape("array of numbers", "import numpy\nreturn numpy.ones(2**31).sum()"),
    Escape("shared and nobody's", "import mmap\nreturn mmap.mmap(-1, 2**20)"),
    Escape(
        "many private maps",
        "import mmap\nkept = []\nwhile True:\n    kept.append(mmap.mmap(-1, 2**24, 2, 3))",
    ),
    Escape(
        "endless addresses",
        "import mmap\nkept = []\nwhile True:\n    kept.append(mmap.mmap(-1, 2**32, 2, 1))",
    ),
    Escape("locked memory", "got = libc.mlockall(3)\nassert got == 0, 'no'\nreturn True"),
    Escape(
        "unpacked bomb",
        """
        import gzip
        small = gzip.compress(bytes(2**24), 1)
        return len(gzip.decompress(small * 999))
        """,
        _FULL,
    ),
    Escape(
        "laughing entities",
        """
        import xml.etree.ElementTree as tree
        rows = ['<!ENTITY a0 "ha">']
        rows += [f'<!ENTITY a{i} "' + f'&a{i - 1};' * 10 + '">' for i in range(1, 12)]
        return tree.fromstring('<!DOCTYPE x [' + ''.join(rows) + ']><x>&a11;</x>').text
        """,
        _FULL,
    ),
    Escape(
        "descriptors",
        "kept = []\nwhile True:\n    kept.append(os.dup(0))",
        (Ends.REFUSED, Ends.DEAD),
    ),
    Escape(
        "pairs of sockets",
        "import socket\nkept = []\nwhile True:\n    kept.append(socket.socketpair())",
    ),
    Escape(
        "event queues", "import select\nkept = []\nwhile True:\n    kept.append(select.epoll())"
    ),
    Escape("pipes", "return os.pipe()"),
    Escape(
        "slots of a page",
        """
        page = objects('Page')[0]
        return [page.take_slot() for _ in range(20_000)].index(None) > 16_384
        """,
        Ends.NOTHING,
    ),
]

TIME = [
    Escape("loop", "while True:\n    pass", Ends.LATE),
    Escape("sleep", "import time\ntime.sleep(3600)", Ends.LATE),
    Escape("huge number", "return 10 ** (10**9)", (Ends.LATE, Ends.FAILED)),
    Escape(
        "digits of a huge number",
        "sys.set_int_max_str_digits(0)\nreturn str(7**9_999_999)",
        Ends.LATE,
    ),
    Escape("hungry pattern", "import re\nreturn re.match(r'(a+)+$', 'a' * 64 + 'b')", Ends.LATE),
    Escape("sum without end", "import itertools\nreturn sum(itertools.repeat(0))", Ends.LATE),
    Escape(
        "wait for a lock",
        "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()",
        Ends.LATE,
    ),
    Escape(
        "wait for a socket", "import socket\none, _ = socket.socketpair()\none.recv(1)", Ends.LATE
    ),
    Escape(
        "hold all signals",
        "import signal\nsignal.pthread_sigmask(0, range(1, 65))\nwhile True:\n    pass",
        Ends.LATE,
    ),
    Escape("stop itself", "os.kill(os.getpid(), 19)", Ends.LATE),
    Escape(
        "catch everything",
        "while True:\n    try:\n        raise KeyboardInterrupt\n"
        "    except BaseException:\n        continue",
        Ends.LATE,
    ),
    Escape("read the terminal", "return input()"),
    Escape("debugger", "return breakpoint()", (Ends.REFUSED, Ends.NOTHING)),
]

ENDS = [
    Escape("leave", "os._exit(0)", Ends.DEAD),
    Escape("abort", "os.abort()", Ends.DEAD),
    Escape("fault", "ctypes.string_at(0)", Ends.DEAD),
    Escape("kill itself", "os.kill(os.getpid(), 9)", Ends.DEAD),
    Escape(
        "stack of C",
        """
        import functools
        sys.setrecursionlimit(2**31 - 1)
        chain = None
        for _ in range(10**5):
            chain = [functools.partial(print, chain)]
        return repr(chain)
        """,
        (Ends.DEAD, Ends.FAILED, Ends.LATE),
    ),
    Escape(
        "bad code",
        "exec((lambda: 0).__code__.replace(co_code=b'd\\xff' * 9, co_consts=()))",
        (Ends.DEAD, Ends.FAILED),
    ),
    Escape("exit", "sys.exit(3)", Ends.FAILED),
    Escape("interrupt", "raise KeyboardInterrupt", Ends.FAILED),
    Escape(
        "exception without words",
        "class Mute(Exception):\n    def __str__(self):\n        raise self\nraise Mute",
        Ends.FAILED,
    ),
    Escape("exception of many words", "raise ValueError('x' * 2**20)", Ends.FAILED),
    Escape("recursion", "def down():\n    down()\ndown()", Ends.FAILED),
    Escape(
        "action of its own making",
        "return type('Noop', (), {'name': 'noop', 'rank': 9})()",
        Ends.FAILED,
    ),
    Escape("unknown tokens", "return actions.force_output([10**9])", Ends.FAILED),
    Escape(
        "endless tokens",
        "return actions.force_output(iter(int, 1))",
        (Ends.LATE, Ends.FAILED),
    ),
]

INTERPRETER = [
    Escape(
        "walk over subclasses",
        """
        for kind in ().__class__.__base__.__subclasses__():
            if kind.__name__ == 'Popen':
                return kind(['true'])
        import subprocess
        return subprocess.Popen(['true'])
        """,
    ),
    Escape(
        "builtins of a frame",
        "return sys._getframe().f_builtins['__import__']('os').system('true') == 0 or os.fork()",
    ),
    Escape("pickle", 'import pickle\ngot = pickle.loads(b"cposix\\nfork\\n(tR.")\nreturn got'),
    Escape(
        "pickled shell",
        "import pickle\ngot = pickle.loads(b\"cos\\nsystem\\n(S'true'\\ntR.\")\n"
        "assert got == 0, 'no'\nreturn 'ran'",
    ),
    Escape(
        "marshalled code",
        "import marshal\nexec(marshal.loads(marshal.dumps(compile("
        "'import os; os.fork()', 'x', 'exec'))))\nreturn True",
    ),
    Escape("eval", "return eval(\"__import__('os').open('/etc/passwd', 0)\")"),
    Escape(
        "source with an encoding",
        "exec(b'# coding: utf-7\\n+AG8AcwAuAGYAbwByAGsAKAAp-', {'os': os})\nreturn True",
    ),
    Escape("a codec that opens files", "import codecs\nreturn codecs.open('/etc/passwd')"),
    Escape(
        "the zygote's hold on others",
        """
        import signal
        held = [fd for zygote in objects('Zygote') for _, fd in zygote._children.values()]
        assert held, 'the zygote is not in memory'
        return [signal.pidfd_send_signal(fd, 9) for fd in held]
        """,
    ),
    Escape("the filter taken off", "return syscall('seccomp', 0, 0, 0)"),
    Escape("clean slate", "assert libc.prctl(38, 0, 0, 0, 0) == 0, 'no'\nreturn True"),
]

ELSEWHERE = [
    Escape(
        "trace of the runtime",
        """
        def spin(*_):
            while True:
                pass
        frame = sys._getframe()
        while frame is not None:
            if frame.f_code.co_name == '_answer':
                frame.f_trace = spin
            frame = frame.f_back
        sys.settrace(lambda *_: None)
        """,
        Ends.SILENT,
    ),
    Escape(
        "profile of the runtime",
        "def spin(*_):\n    if sys._getframe(1).f_code.co_name == '_answer':"
        "\n        while True:\n            pass\nsys.setprofile(spin)",
        Ends.SILENT,
    ),
    Escape(
        "where garbage is collected",
        """
        import gc
        def spin(*_):
            frame = sys._getframe()
            while frame is not None:
                if frame.f_code.co_name == 'deed':
                    return
                frame = frame.f_back
            while True:
                pass
        gc.callbacks.append(spin)
        gc.set_threshold(1)
        """,
        (Ends.SILENT, Ends.LATE),
    ),
    Escape(
        "where the runtime answers",
        """
        def spin(*_):
            while True:
                pass
        type(objects('Connection')[0]).send = spin
        """,
        Ends.SILENT,
    ),
    Escape(
        "a page without calls",
        """
        watch = objects('HandlerWatch')[0]
        watch.call_ends()
        while True:
            pass
        """,
        Ends.SILENT,
    ),
    Escape("at the end of the process", "import atexit\natexit.register(os.abort)", Ends.NOTHING),
    Escape(
        "hook of imports",
        "sys.meta_path.insert(0, type('Hook', (), {'find_spec':"
        " staticmethod(lambda *a: os.abort())}))",
        Ends.NOTHING,
    ),
    Escape("hook of exceptions", "sys.excepthook = sys.unraisablehook = print", Ends.NOTHING),
    Escape("audit of everything", "sys.addaudithook(lambda name, args: None)", Ends.NOTHING),
]

OUTPUT = [
    Escape("lines", "for number in range(20_000):\n    print(number)", Ends.NOTHING),
    Escape("one line", "print('x' * 2**24)", Ends.NOTHING),
    Escape("steering a terminal", "print('\\x1b[2J\\x1b]0;gone\\x07\\r', end='')", Ends.NOTHING),
    Escape(
        "past the stream",
        "for _ in range(999):\n    os.write(1, b'x' * 2**16)\n    os.write(2, b'x' * 2**16)",
        Ends.NOTHING,
    ),
    Escape(
        "warnings",
        "import warnings\nfor n in range(9999):\n    warnings.warn(f'{n}')",
        Ends.NOTHING,
    ),
    Escape(
        "log", "import logging\nfor n in range(9999):\n    logging.error('%d', n)", Ends.NOTHING
    ),
]

ESCAPES = [*MEMORY, *TIME, *ENDS, *INTERPRETER, *ELSEWHERE, *OUTPUT]
