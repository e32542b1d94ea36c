"""The files of a mod: relative paths to Python sources, checked before anything looks inside.

ModError
└── PackageError            400  what was sent is no mod; says where, and what to do
"""

from __future__ import annotations

import ast
import hashlib
import re
import warnings
from collections.abc import Mapping

import msgspec

from mods.sdk.errors import ModError

MAX_FILES = 64
MAX_BYTES = 1024 * 1024
MAX_PATH = 255

_SEGMENT = re.compile(r"[\w-]+")
_BYTE_ORDER_MARK = "\ufeff"


class PackageError(ModError, ValueError):
    """A mod that cannot be accepted or loaded.

    param: the part of the payload at fault. file, line: where in the mod, where that is known.
    """

    status = 400
    type = "invalid_mod"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        file: str | None = None,
        line: int | None = None,
    ) -> None:
        super().__init__(message)
        self.param = param
        self.file = file
        self.line = line


def check_files(files: Mapping[str, str], param: str = "files") -> dict[str, str]:
    """The files, sorted by path, if all may be part of a mod. Raises `PackageError`."""
    if not isinstance(files, Mapping):
        raise PackageError(
            f"{param} must map paths to sources, got {type(files).__name__}", param=param
        )
    if not files:
        raise PackageError(f"{param} is empty; give at least one Python file", param=param)
    if len(files) > MAX_FILES:
        raise PackageError(
            f"{param} has {len(files)} files, at most {MAX_FILES} are allowed;"
            " leave out what the mod does not import",
            param=param,
        )
    paths = sorted(map(check_path, files))
    checked = {path: _check_source(path, files[path]) for path in paths}
    size = sum(len(source.encode()) for source in checked.values())
    if size > MAX_BYTES:
        raise PackageError(
            f"{param} has {size} bytes, at most {MAX_BYTES} are allowed", param=param
        )
    _check_module_names(checked)
    return checked


def check_path(path: object) -> str:
    """The path, if it is relative, stays inside the mod, and names a Python file."""
    if not isinstance(path, str):
        raise PackageError(f"a path must be a string, got {path!r:.80}", param="files")
    *folders, name = path.split("/")
    stem, dot, suffix = name.rpartition(".")
    if (dot, suffix) != (".", "py"):
        raise PackageError(
            f"{path!r:.300} is no Python file; send only paths that end in .py", param="files"
        )
    if len(path) > MAX_PATH or not all(map(_SEGMENT.fullmatch, [*folders, stem])):
        raise PackageError(
            f"{path!r:.300} is not allowed: expected a relative path such as 'pkg/state.py', of"
            f" letters, digits, '_' and '-', at most {MAX_PATH} characters; rename the file",
            param="files",
        )
    return path


def parse(path: str, source: str) -> ast.Module:
    """The syntax tree of one file. Raises `PackageError` with line, column and reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, path)
            compile(tree, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise PackageError(
            f"{path}, line {error.lineno}, column {error.offset}: {error.msg};"
            " correct the syntax and send the mod again",
            param="source",
            file=path,
            line=error.lineno,
        ) from None
    except (RecursionError, MemoryError, ValueError, OverflowError) as error:
        raise PackageError(
            f"{path} cannot be parsed ({error or 'nested too deeply'}); make it simpler",
            param="source",
            file=path,
        ) from None
    return tree


def module_name(path: str) -> str:
    """The dotted name that a path has inside its mod; its own `__init__.py` is `__init__`."""
    name = path.removesuffix(".py").replace("/", ".")
    return name.removesuffix(".__init__")


def digest_of(content: object) -> str:
    """sha256, in hex, over the content as JSON with sorted keys."""
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()


def _check_source(path: object, source: object) -> str:
    if not isinstance(source, str):
        raise PackageError(
            f"{path!r:.300}: the source must be a string, got {type(source).__name__}",
            param="files",
        )
    try:
        source.encode()
    except UnicodeEncodeError as error:
        raise PackageError(
            f"{path!r:.300} is not UTF-8: character {error.start} is a lone surrogate;"
            " save the file as UTF-8",
            param="files",
        ) from None
    if "\0" in source:
        raise PackageError(
            f"{path!r:.300} holds a NUL character; send Python source, not bytecode",
            param="files",
        )
    return source.removeprefix(_BYTE_ORDER_MARK)


def _check_module_names(files: Mapping[str, str]) -> None:
    """No module may have two files, nor be a file and a folder at once."""
    seen: dict[str, str] = {}
    for path in files:
        other = seen.setdefault(module_name(path), path)
        if other != path:
            raise PackageError(
                f"{other!r} and {path!r} are the same module; rename one", param="files"
            )
    for path in files:
        for folder in _folders(path):
            if f"{folder}.py" in files:
                raise PackageError(
                    f"{folder + '.py'!r} and the folder of {path!r} have the same name; rename one",
                    param="files",
                )


def _folders(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]
