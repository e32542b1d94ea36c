"""Reads the source behind an import path, without importing anything.

A module is taken together with the modules of its own package that it imports relatively.
What it imports absolutely stays what is installed.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from mods.runtime.files import PackageError, parse


def read_import_path(dotted: str) -> tuple[dict[str, str], str]:
    """The files behind `pkg.module`, and the module's name among them.

    Raises `PackageError` where nothing is found, or what is found is not Python source.
    """
    if not all(part.isidentifier() for part in dotted.split(".")):
        raise _refused(dotted, "expected a dotted name such as 'pkg.module:function'")
    file = _source_file(dotted)
    folder = file.parent
    files: dict[str, str] = {}
    waiting = [file]
    while waiting:
        path = waiting.pop()
        name = path.relative_to(folder).as_posix()
        if name not in files:
            files[name] = _read(path)
            waiting += _siblings(parse(name, files[name]), path, folder, dotted)
    return files, file.stem


def _source_file(dotted: str) -> Path:
    spec = _find(dotted)
    if spec is None:
        raise _refused(dotted, "no such module is installed here; check the name")
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise _refused(dotted, "it has no Python source; name a module that is a .py file")
    return Path(spec.origin)


def _find(dotted: str) -> ModuleSpec | None:
    """`importlib.util.find_spec`, except that it imports no parent package."""
    top, *rest = dotted.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a module in sys.modules that carries no spec
        spec = PathFinder.find_spec(top, sys.path)
    name = top
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    return spec


def _siblings(tree: ast.Module, file: Path, folder: Path, dotted: str) -> list[Path]:
    """The files that one file imports relatively."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = file.parent
            for _ in range(node.level - 1):
                base = base.parent
            if not base.is_relative_to(folder):
                raise PackageError(
                    f"{file.name}, line {node.lineno}: a relative import above the package of"
                    f" {dotted!r}; import it absolutely",
                    param="import_path",
                    file=file.name,
                    line=node.lineno,
                )
            target = base.joinpath(*(node.module or "").split("."))
            found += _files_of(target, folder)
            for alias in node.names:
                found += _files_of(target / alias.name, folder)
    return found


def _files_of(target: Path, folder: Path) -> list[Path]:
    """The file of a module, and the `__init__.py` of each folder on the way to it."""
    choices = [target.with_name(f"{target.name}.py"), target / "__init__.py"]
    inits = [parent / "__init__.py" for parent in target.parents if parent.is_relative_to(folder)]
    return [path for path in [*choices, *inits] if path.is_file() and path.is_relative_to(folder)]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PackageError(
            f"{path.name} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8",
            param="import_path",
            file=path.name,
        ) from None
    except OSError as error:
        raise PackageError(
            f"{path.name} cannot be read: {error.strerror}", param="import_path", file=path.name
        ) from None


def _refused(dotted: str, why: str) -> PackageError:
    return PackageError(f"import path {dotted!r:.200}: {why}", param="import_path")
