"""Uploads that must be refused before anything of them runs: paths, sizes, bytes, depth."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Mapping

GOOD = "from mods.sdk import mod\n\n@mod\ndef tested(event, actions, tokenizer):\n    return None\n"


def _zipped() -> str:
    """A bomb as an archive: 64 MiB of nothing."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mod.py", bytes(2**26))
    return packed.getvalue().decode("latin-1")


_PATHS = {
    "parent": "../mod.py",
    "parent within": "a/../../mod.py",
    "absolute": "/etc/cron.d/mod.py",
    "home": "~/mod.py",
    "backslashes": "..\\mod.py",
    "drive": "C:/mod.py",
    "nul": "mod\0.py",
    "nul before the suffix": "mod.sh\0.py",
    "newline": "mod\n.py",
    "fullwidth dots": "\uff0e\uff0e/mod.py",
    "empty part": "a//mod.py",
    "hidden": ".mod.py",
    "only a suffix": ".py",
    "no suffix": "mod",
    "compiled": "mod.pyc",
    "library": "mod.so",
    "startup file": "a.pth",
    "very long": "a" * 300 + ".py",
    "very deep": "a/" * 200 + "mod.py",
    "odd spaces": "mod .py",
    "another direction": "mod\u202e.py",
}

BUNDLES: dict[str, Mapping[str, object]] = {
    **{f"path: {name}": {"files": {path: GOOD}} for name, path in _PATHS.items()},
    "two files of one module": {"files": {"a.py": GOOD, "a/__init__.py": GOOD}},
    "file and folder": {"files": {"a.py": GOOD, "a/b.py": GOOD}},
    "too many files": {"files": {f"m{number}.py": GOOD for number in range(65)}},
    "too large": {"source": GOOD + "#" * 2**20},
    "zip bomb": {"source": _zipped()},
    "zip bomb in base64": {"source": base64.b64encode(_zipped().encode("latin-1")).decode()},
    "zip bomb as a file": {"files": {"mod.py": GOOD, "more.py": _zipped()}},
    "nul in the source": {"source": GOOD + "\0import os"},
    "bytecode": {"source": "\xa7\r\r\n\0\0\0\0"},
    "lone surrogate": {"source": GOOD + "x = '\ud800'"},
    "deep brackets": {"source": GOOD + "x = " + "(" * 5000 + ")" * 5000},
    "deep lists": {"source": GOOD + "x = " + "[" * 180 + "]" * 180 + "[0]" * 99_999},
    "long sum": {"source": GOOD + "x = 1" + "+1" * 99_999},
    "long chain of attributes": {"source": GOOD + "x" + ".x" * 99_999},
    "many minus signs": {"source": GOOD + "x = " + "-" * 99_999 + "1"},
    "deep blocks": {"source": GOOD + "".join(f"{' ' * n}if 1:\n" for n in range(200))},
    "many nested functions": {
        "source": GOOD + "".join(f"{' ' * n}def f():\n" for n in range(150)) + " " * 150 + "pass"
    },
    "a name with a path": {"source": GOOD, "name": "../../mod"},
    "a name with a nul": {"source": GOOD, "name": "mod\0"},
    "a name with a slash": {"source": GOOD, "name": "a/b"},
    "a name of many letters": {"source": GOOD, "name": "m" * 65},
    "an entry that is code": {"source": GOOD, "entrypoint": "mod:__import__('os').fork()"},
    "an import path with a slash": {"import_path": "../../etc/passwd"},
    "an import path into C": {"import_path": "_ctypes"},
    "another language": {"source": GOOD, "language": "shell"},
    "an unknown field": {"source": GOOD, "trusted": True},
    "two kinds at once": {"source": GOOD, "import_path": "os"},
}

HARMLESS = {"a coding line": {"source": "# coding: rot13\n" + GOOD}}
"""Taken as they stand: a source that came as text has no encoding to choose."""
