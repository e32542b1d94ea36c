"""Attempts to reach the network, files, and what others left open."""

from __future__ import annotations

from tests.mods.runtime.host.escapes.escape import Ends, Escape

NETWORK = [
    Escape("tcp", "import socket\nreturn socket.create_connection(('127.0.0.1', 80), 1)"),
    Escape("tcp6", "import socket\nreturn socket.socket(socket.AF_INET6)"),
    Escape("names", "import socket\nreturn socket.getaddrinfo('example.com', 80)"),
    Escape("http", "import urllib.request as r\nreturn r.urlopen('http://127.0.0.1/', timeout=1)"),
    Escape(
        "server",
        "import socket\nreturn socket.create_server(('127.0.0.1', 0))",
    ),
    Escape(
        "event-loop server",
        """
        import asyncio
        async def serve():
            server = await asyncio.start_server(lambda r, w: None, '127.0.0.1', 0)
            return list(server.sockets)
        return asyncio.run(serve())
        """,
        Ends.NOTHING,
    ),
    Escape(
        "neighbour's socket",
        """
        import socket
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(NEIGHBOUR_SOCKET)
        return stream
        """,
    ),
    Escape(
        "datagram to a neighbour",
        """
        import socket
        one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        return one.sendto(b'x', NEIGHBOUR_SOCKET)
        """,
    ),
    Escape(
        "stream with an address",
        """
        import socket
        one, _ = socket.socketpair()
        return one.sendto(b'x', NEIGHBOUR_SOCKET)
        """,
    ),
    Escape(
        "abstract name",
        """
        import socket
        stream = socket.socket(socket.AF_UNIX)
        stream.bind('\\0concordance-escape')
        return stream
        """,
    ),
    Escape("netlink", "import socket\nreturn socket.socket(16, socket.SOCK_RAW, 0)"),
    Escape("packets", "import socket\nreturn socket.socket(17, socket.SOCK_RAW, 0)"),
    Escape("virtual machine's socket", "import socket\nreturn socket.socket(40, 1, 0)"),
    Escape("kernel's ciphers", "import socket\nreturn socket.socket(38, 5, 0)"),
    Escape(
        "an open socket turned elsewhere",
        """
        address = b'\\x01\\x00' + NEIGHBOUR_SOCKET.encode() + b'\\0'
        return [syscall('connect', fd, address, len(address)) == 0 for fd in range(3, 12)]
        """,
    ),
    Escape(
        "descriptors sent away",
        """
        import socket
        one, _ = socket.socketpair()
        return socket.send_fds(one, [b'x'], [0])
        """,
    ),
]

FILES = [
    Escape("passwords", "return open('/etc/passwd').read()"),
    Escape("own environment", "return open('/proc/self/environ', 'rb').read()"),
    Escape("server's environment", "return open(f'/proc/{API_PID}/environ', 'rb').read()"),
    Escape("server's memory", "return open(f'/proc/{API_PID}/mem', 'rb')"),
    Escape("neighbour's memory", "return open(f'/proc/{NEIGHBOUR_PID}/mem', 'r+b')"),
    Escape("neighbour's descriptors", "return os.listdir(f'/proc/{NEIGHBOUR_PID}/fd')"),
    Escape("neighbour's page", "return open(NEIGHBOUR_PAGE, 'r+b').read()"),
    Escape("own memory", "return open('/proc/self/mem', 'r+b')"),
    Escape("list of processes", "return os.listdir('/proc')"),
    Escape("run folder", "return os.listdir(RUN_DIR)"),
    Escape("model", "return open(TOKENIZER, 'rb').read(1)"),
    Escape("source of the SDK", "import mods.sdk\nreturn open(mods.sdk.__file__).read()"),
    Escape("is it there", "return os.path.exists('/') or os.stat('/etc/shadow')"),
    Escape("how large is it", "return os.stat(TOKENIZER).st_size"),
    Escape("statx", "return syscall('statx', -100, b'/etc/passwd', 0, 0xfff, bytes(256)) == 0"),
    Escape("write to /tmp", "return open('/tmp/concordance-escape', 'w')"),
    Escape("write beside its socket", "return open(RUN_DIR + '/x', 'w')"),
    Escape("shared memory by name", "return open('/dev/shm/concordance-escape', 'w')"),
    Escape(
        "shared memory of the library",
        "library = __import__('multiprocessing.shared_memory').shared_memory\n"
        "return library.SharedMemory(create=True, size=9)",
    ),
    Escape(
        "shared memory in C", "fd = libc.shm_open(b'/x', 66, 384)\nassert fd >= 0, 'no'\nreturn 1"
    ),
    Escape("temporary file", "import tempfile\nreturn tempfile.TemporaryFile(dir='/tmp')"),
    Escape("symlink", "os.symlink('/etc/passwd', '/tmp/concordance-link')\nreturn True"),
    Escape("hard link", "os.link(TOKENIZER, RUN_DIR + '/link')\nreturn True"),
    Escape("delete a neighbour's socket", "os.unlink(NEIGHBOUR_SOCKET)\nreturn True"),
    Escape("rename a neighbour's page", "os.rename(NEIGHBOUR_PAGE, '/tmp/p')\nreturn True"),
    Escape("change mode", "os.chmod(RUN_DIR, 0o777)\nreturn True"),
    Escape("change folder", "os.chdir('/')\nreturn True"),
    Escape("change root", "os.chroot('/')\nreturn True"),
    Escape("device of memory", "return open('/dev/mem', 'rb')"),
    Escape("terminal", "return open('/dev/tty', 'w')"),
    Escape("log file", "import logging\nreturn logging.FileHandler('/tmp/concordance.log')"),
    Escape(
        "database",
        "import sqlite3\nreturn sqlite3.connect('/tmp/e.db').execute('create table t (x)')",
    ),
    Escape(
        "attached database",
        """
        import sqlite3
        base = sqlite3.connect(':memory:')
        base.execute("attach '/tmp/e.db' as x")
        return base.execute('create table x.t (y)')
        """,
    ),
    Escape("library by path", "return ctypes.CDLL('/lib/x86_64-linux-gnu/libutil.so.1')"),
    Escape(
        "import by path",
        "from importlib.machinery import SourceFileLoader as Loader\n"
        "return Loader('x', TOKENIZER).get_data(TOKENIZER)",
    ),
    Escape(
        "import from a new path",
        "sys.path.insert(0, RUN_DIR)\nreturn __import__('something_new')",
    ),
    Escape("open in C", "fd = libc.open(b'/etc/passwd', 0)\nassert fd >= 0, 'no'\nreturn fd"),
    Escape("open by its number", "return syscall('openat', -100, b'/etc/passwd', 0)"),
    Escape("open the new way", "return syscall('openat2', -100, b'/etc/passwd', bytes(24), 24)"),
    Escape(
        "open by handle", "return syscall('name_to_handle_at', -100, b'/', bytes(99), bytes(8), 0)"
    ),
    Escape(
        "what was left open",
        """
        import stat
        kinds = {}
        for fd in range(3, 256):
            try:
                kinds[fd] = stat.S_IFMT(os.fstat(fd).st_mode)
            except OSError:
                continue
        return {fd: k for fd, k in kinds.items() if k in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFBLK)}
        """,
        Ends.NOTHING,
    ),
    Escape(
        "secrets in the environment",
        """
        environ = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, 'environ')
        found, at = [], 0
        while environ[at]:
            found.append(environ[at])
            at += 1
        return [text for text in [*found, *map(str.encode, os.environ.values())] if SECRET in text]
        """,
        Ends.NOTHING,
    ),
    Escape(
        "a neighbour's words in memory",
        """
        import gc
        words, found = WORDS[::-1], []
        for thing in gc.get_objects():
            for text in gc.get_referents(thing):
                if type(text) is str and words in text and text != words:
                    found.append(text)
        return found
        """,
        Ends.NOTHING,
    ),
]

ESCAPES = [*NETWORK, *FILES]
