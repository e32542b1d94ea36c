"""What mods may import: decided by a list, imported before the lock, checked at upload.

A host opens no file, so whatever it is to import must be in memory when it is forked. The list is
a promise to authors and no wall: what an author's code may do, the kernel decides.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mods.runtime.files import PackageError, module_name
from mods.runtime.old_names import install
from mods.runtime.package import RESERVED, Package

STDLIB = "stdlib"
"""In the list, stands for the standard library."""

_ELSEWHERE = """
    tkinter turtle turtledemo idlelib curses readline rlcompleter tty pty termios getpass webbrowser
    ftplib imaplib poplib smtplib socketserver wsgiref xmlrpc mailbox netrc nturl2path
"""
"""For a screen, a terminal, or other machines."""
_PROGRAMS = """
    antigravity this test ensurepip venv distutils lib2to3 zipapp compileall py_compile pydoc
    pydoc_data pyclbr modulefinder tabnanny site cProfile profile pstats pdb bdb doctest
    multiprocessing
"""
"""Programs of their own, or what makes them."""
_GONE = """
    msilib msvcrt winreg winsound nt aifc asynchat asyncore audioop cgi cgitb chunk crypt imghdr
    imp mailcap nis nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib uu xdrlib
"""
"""Of other systems, or given up by Python itself."""
LEFT_OUT = frozenset(f"{_ELSEWHERE} {_PROGRAMS} {_GONE}".split())
"""Modules of the standard library that a mod cannot use, or should not."""

_ASIDE = """
    tests test testing testutils conftest setup f2py distutils matlib mypy_plugin
    process windows_events windows_utils wintypes
"""
_PASSED_OVER = frozenset(_ASIDE.split())
"""Modules inside packages that nobody imports to compute something."""
_SDK = frozenset((*RESERVED, "sdk", "shared", "max"))
"""Top-level names of the SDK, those among them that only older mods use."""
_OURS = ("mods.sdk", "mods.runtime", "mods.library")
_APART = {
    "mods.runtime.host",
    "mods.runtime.grammar.json_judge",
    "mods.runtime.grammar.lark_judge",
    "mods.runtime.grammar.violations",
}
"""Ours, but for no host: the zygote imports what it needs of the first, and the server judges with
the rest. (`mods.sdk.testing` is passed over, too: it needs test libraries.)"""


@dataclass(frozen=True)
class Imports:
    """allowed: names of top-level modules that mods may import; `stdlib` among them or not."""

    allowed: Collection[str]

    @property
    def names(self) -> frozenset[str]:
        """Every top-level module that may be imported, the SDK and a mod's own files aside."""
        given = {name for name in self.allowed if name != STDLIB}
        return frozenset(given | standard() if STDLIB in self.allowed else given)

    def __str__(self) -> str:
        installed = sorted(name for name in self.allowed if name != STDLIB)
        first = ["the standard library"] if STDLIB in self.allowed else []
        return ", ".join([*first, *installed, "the SDK", "the mod's own files"])

    def preload(self) -> None:
        """Import it all, and what hosts need themselves. Raises ImportError for what is missing."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for room in _OURS:
                _import_below(importlib.import_module(room).__path__, room)
            install()
            _import_whole("quote_mod_sdk")
            for name in sorted(self.names):
                if name in sys.stdlib_module_names:
                    _import_if_there(name)
                else:
                    _import_whole(name)

    def check(self, packages: Sequence[Package], shared: Mapping[str, str]) -> None:
        """Raise `PackageError` for the first import of something that is not allowed.

        An import that the mod can do without (inside `try` with an `except` for it) is left to
        itself. Sources that cannot be parsed are left to the loader.
        """
        common = self.names | _SDK | _tops(shared)
        for package in packages:
            known = common | _tops(package.files) | {package.name}
            for path, source in package.files.items():
                for name, line in _imported(source):
                    if name.partition(".")[0] not in known:
                        raise self._refusal(package, path, name, line)
        for path, source in shared.items():
            for name, line in _imported(source):
                if name.partition(".")[0] not in common:
                    raise self._refusal(packages[0], f"shared/{path}", name, line)

    def _refusal(self, package: Package, path: str, name: str, line: int) -> PackageError:
        return PackageError(
            f"mod {package.name!r} imports {name!r:.100} ({path}, line {line}), which mods may not"
            f" import here; they may import {self}",
            param="source",
            file=path,
            line=line,
        )


def standard() -> frozenset[str]:
    """The modules of the standard library that mods may import."""
    return frozenset(
        name
        for name in sys.stdlib_module_names
        if name not in LEFT_OUT and (not name.startswith("_") or name == "__future__")
    )


def _import_if_there(name: str) -> None:
    """A module of the standard library with all below it. Some are not on every system."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        return
    _import_below(getattr(module, "__path__", ()), name)


def _import_whole(name: str) -> None:
    """An installed package with all of its public modules."""
    _import_below(getattr(importlib.import_module(name), "__path__", ()), name)


def _import_below(folders: Iterable[str], name: str) -> None:
    for found in pkgutil.iter_modules(folders, f"{name}."):
        last = found.name.rpartition(".")[2]
        if last in _PASSED_OVER or found.name in _APART or last.startswith("_"):
            continue
        try:
            module = importlib.import_module(found.name)
        except (ImportError, AttributeError):
            continue
        if found.ispkg:
            _import_below(module.__path__, found.name)


def _tops(files: Mapping[str, str]) -> set[str]:
    return {module_name(path).partition(".")[0] for path in files}


def _imported(source: str) -> Iterator[tuple[str, int]]:
    """(dotted name, line) of what a source imports absolutely and cannot do without."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno
        elif isinstance(node, ast.Try) and any(map(_forgives, node.handlers)):
            waiting += [*node.handlers, *node.orelse, *node.finalbody]
        elif isinstance(node, ast.If) and _only_for_types(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _forgives(handler: ast.ExceptHandler) -> bool:
    caught = {
        node.id for node in ast.walk(handler.type or ast.Pass()) if isinstance(node, ast.Name)
    }
    forgiving = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
    return handler.type is None or bool(caught & forgiving)


def _only_for_types(test: ast.expr) -> bool:
    return getattr(test, "id", getattr(test, "attr", "")) == "TYPE_CHECKING"
