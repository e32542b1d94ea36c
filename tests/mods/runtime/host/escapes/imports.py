"""What a mod may do wrong while it is imported: at upload, and at the start of a host."""

from __future__ import annotations

AT_IMPORT: dict[str, tuple[str, str]] = {
    "loop": ("while True: pass", "longer than"),
    "leave": ("import os; os._exit(0)", "exit code 0"),
    "fault": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "fork": ("import os; os.fork()", "Operation not permitted"),
    "file": ("open('/etc/passwd')", "Operation not permitted"),
    "socket": ("import socket; socket.socket()", "Operation not permitted"),
    "memory": ("x = bytearray(2**33)", "MemoryError"),
    "exit": ("raise SystemExit", "SystemExit"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "a module that is not allowed": ("import torch", "imports 'torch'"),
    "a module of the server": ("import server.settings", "imports 'server.settings'"),
    "a module of many processes": ("import multiprocessing", "imports 'multiprocessing'"),
    "inside a function": ("def f():\n    import vllm", "imports 'vllm'"),
    "under a false name": ("__import__('torch')", "No module named 'torch'"),
    "a thread": ("import threading; threading.Thread(target=print).start()", "new thread"),
}
"""Source at the top of a mod, and the words with which its upload is refused."""
