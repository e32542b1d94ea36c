"""A mod as data: its files, its entry point and a digest. Made without running any of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from mods.runtime.entry_points import entries_in, find_entry
from mods.runtime.files import PackageError, check_files, digest_of, parse
from mods.runtime.import_path import read_import_path
from mods.sdk.mod import MOD_NAME

MAX_DESCRIPTION = 4096
"""Characters of a description that are kept."""

RESERVED = ("mods", "quote_mod_sdk")
"""Top-level names that always mean the SDK: no helper module may take their place."""

_FIELDS: dict[str, type] = {
    "name": str,
    "description": str,
    "language": str,
    "module": str,
    "entrypoint": str,
    "source": str,
    "import_path": str,
    "files": Mapping,
    "bundle": Mapping,
}


class Package(msgspec.Struct, frozen=True):
    """One mod. Travels between processes as it is.

    files: relative posix path to source. entry: `module:function`, the module dotted and
    relative to the files. digest: sha256 over name, entry and files, in hex.
    """

    name: str
    files: dict[str, str]
    entry: str
    description: str
    digest: str

    @classmethod
    def from_files(
        cls,
        files: Mapping[str, str],
        *,
        name: str | None = None,
        entry: str | None = None,
        description: str | None = None,
    ) -> Package:
        """A mod of several files. `entry` is needed only where more than one could be it.

        The name defaults to the one declared in `@mod(name=…)`, then to the entry function's.
        Raises `PackageError`.
        """
        checked = check_files(files)
        found = find_entry(checked, entry)
        name = _check_name(found.declared or found.function if name is None else name)
        text = _check_text("description", description if description is not None else found.doc)
        digest = digest_of([name, found.address, checked])
        return cls(name, checked, found.address, text, digest)

    @classmethod
    def from_source(cls, source: str, *, path: str = "mod.py", **options: Any) -> Package:
        """A mod of one file; options as for `from_files`."""
        return cls.from_files({path: source}, **options)

    @classmethod
    def from_import_path(
        cls, import_path: str, *, entry: str | None = None, **options: Any
    ) -> Package:
        """A mod that is installed: `pkg.module` or `pkg.module:function`."""
        dotted, _, function = import_path.partition(":")
        files, module = read_import_path(dotted)
        return cls.from_files(
            files, entry=_entry_in(module, function or entry, files[f"{module}.py"]), **options
        )

    @classmethod
    def from_folder(cls, folder: str | Path, **options: Any) -> Package:
        """A mod on disk: a .py file, or a folder with all the .py files in it."""
        root = Path(folder)
        if root.is_file():
            return cls.from_files({root.name: _read(root)}, **options)
        paths = {path.relative_to(root): path for path in sorted(root.rglob("*.py"))}
        kept = {
            relative.as_posix(): _read(path)
            for relative, path in paths.items()
            if not any(part.startswith(".") for part in relative.parts)
        }
        if not kept:
            raise PackageError(f"{root} holds no .py file", param="files")
        return cls.from_files(kept, **options)

    @classmethod
    def from_payload(cls, payload: object) -> Package:
        """What `POST /v1/mods` is sent: one `source`, or `files`, or an `import_path`."""
        given = check_payload(payload)
        kinds = [kind for kind in ("source", "files", "bundle", "import_path") if kind in given]
        if len(kinds) != 1:
            raise PackageError(
                "expected one of source, files and import_path,"
                f" got {' and '.join(kinds) or 'none'}",
                param=kinds[1] if kinds else "source",
            )
        if given.get("language", "python") != "python":
            raise PackageError(
                f"language {given['language']!r:.80} is not known; mods are written in 'python'",
                param="language",
            )
        options = {key: given[key] for key in ("name", "description") if key in given}
        entry = given.get("entrypoint")
        if kinds == ["import_path"]:
            return cls.from_import_path(given["import_path"], entry=entry, **options)
        if kinds == ["source"]:
            path = _file_for(given.get("module"))
            entry = None if entry is None else entry.rpartition(":")[2]
            return cls.from_source(given["source"], path=path, entry=entry, **options)
        return cls.from_files(given[kinds[0]], entry=entry, **options)


def check_payload(payload: object) -> dict[str, Any]:
    """The fields that were sent, if all are known and of the right type; nulls are left out."""
    if not isinstance(payload, Mapping):
        raise PackageError(f"the body must be a JSON object, got {type(payload).__name__}")
    given = {key: value for key, value in payload.items() if value is not None}
    for key, value in given.items():
        if key not in _FIELDS:
            raise PackageError(
                f"unknown field {key!r:.80}; expected {', '.join(_FIELDS)}", param=str(key)
            )
        if not isinstance(value, _FIELDS[key]):
            kind = "an object of paths and sources" if _FIELDS[key] is Mapping else "a string"
            raise PackageError(f"{key} must be {kind}, got {type(value).__name__}", param=key)
    return given


def shared_files(payload: object) -> dict[str, str]:
    """What `POST /sdk` is sent: `name` and `source` of one helper module, or `files`."""
    given = check_payload(payload)
    if set(given) == {"name", "source"}:
        files = {f"{given['name'].replace('.', '/')}.py": given["source"]}
    elif set(given) == {"files"}:
        files = dict(given["files"])
    else:
        raise PackageError(
            f"expected name and source, or files; got {', '.join(sorted(given)) or 'nothing'}",
            param="files",
        )
    return check_shared(files)


def check_shared(files: Mapping[str, str]) -> dict[str, str]:
    """Helper modules, checked like a mod's files; an entry point is not needed."""
    checked = check_files(files)
    for path, source in checked.items():
        top = path.split("/")[0].removesuffix(".py")
        if top in (*RESERVED, "__init__"):
            raise PackageError(
                f"{path!r}: a helper module cannot be called {top!r}; rename it",
                param="files",
                file=path,
            )
        parse(path, source)
    return checked


def _check_name(name: str) -> str:
    if not MOD_NAME.fullmatch(name):
        raise PackageError(
            f"name {name!r:.100} is not allowed: expected 1 to 64 letters, digits, '_', '.' or '-',"
            " starting with a letter or a digit; choose another `name`",
            param="name",
        )
    return name


def _check_text(param: str, text: str | None) -> str:
    try:
        (text or "").encode()
    except UnicodeEncodeError:
        raise PackageError(f"{param} is not valid UTF-8", param=param) from None
    return (text or "")[:MAX_DESCRIPTION]


def _file_for(module: str | None) -> str:
    """The file of a single source: named like the module it came from, where that has a name."""
    last = (module or "").rpartition(".")[2]
    return f"{last}.py" if last.isidentifier() and not last.startswith("__") else "mod.py"


def _entry_in(module: str, function: str | None, source: str) -> str | None:
    """The entry point of one module among others: the one named, or the one marked in it.

    None if it marks none: then it may be in a module that this one imports.
    """
    if function:
        return f"{module}:{function.rpartition(':')[2]}"
    path = f"{module}.py"
    return find_entry({path: source}).address if entries_in(path, parse(path, source)) else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PackageError(
            f"{path} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8",
            param="files",
            file=path.name,
        ) from None
