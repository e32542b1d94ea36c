"""From packages to handlers: runs the mods' files, in the process that will call them.

Only a host process calls this. What an author's file raises while it is imported becomes a
`PackageError` that names the mod, the file and the line.
"""

from __future__ import annotations

import ast
import traceback
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType

from mods.runtime.compile import Traits, infer_traits
from mods.runtime.files import PackageError, module_name
from mods.runtime.importer import FINDER, SourceSet, import_from
from mods.runtime.old_names import install
from mods.runtime.package import Package
from mods.runtime.seat import LoadedMod
from mods.sdk.mod import Declaration, create_mod, declaration_of


def load_chain(packages: Sequence[Package], shared: Mapping[str, str]) -> list[LoadedMod]:
    """Import every package and look up its handler, in order.

    shared: the caller's helper modules, relative path to source. One instance of each serves
    the whole chain. Raises `PackageError`; then nothing of the chain stays imported.
    """
    install()
    helpers = SourceSet(shared, "shared")
    FINDER.add(helpers)
    sets = [
        SourceSet(package.files, _label(package), package.name, helpers) for package in packages
    ]
    try:
        return [
            _load(package, sources, helpers)
            for package, sources in zip(packages, sets, strict=True)
        ]
    except BaseException:
        for sources in [helpers, *sets]:
            sources.drop()
        raise


def traits_of(package: Package, shared: Mapping[str, str], declared: Declaration) -> Traits:
    """What a mod declared, and for the rest what its sources, and the helpers they import, say."""
    return infer_traits(
        package.name,
        [*package.files.values(), *_imported(package.files.values(), shared)],
        events=declared.events,
        reach=declared.reach,
        logits=declared.logits,
        on_error=declared.on_error,
        deadline=declared.deadline,
        confidence=declared.confidence,
    )


def _load(package: Package, sources: SourceSet, helpers: SourceSet) -> LoadedMod:
    dotted, _, function = package.entry.partition(":")
    module = _import(package, sources, helpers, dotted)
    found = getattr(module, function, None)
    path = sources.paths[dotted]
    if not callable(found):
        what = "is missing" if found is None else f"is a {type(found).__name__}, no function"
        raise PackageError(
            f"mod {package.name!r}: {function!r} {what} in {path};"
            " the entry point must be a function at the module's top level",
            param="entrypoint",
            file=path,
        )
    declared = declaration_of(found)
    if declared is None:
        try:
            found = create_mod(found)
        except ValueError as error:
            raise PackageError(
                f"mod {package.name!r}: {error}", param="entrypoint", file=path
            ) from None
    traits = traits_of(package, helpers.files, declared or Declaration())
    return LoadedMod(found, traits)


def _import(package: Package, sources: SourceSet, helpers: SourceSet, dotted: str) -> ModuleType:
    try:
        return import_from(sources, dotted)
    except (Exception, SystemExit) as error:
        file, line = _where(error, [sources, helpers])
        where = f"{file}, line {line}" if line else file or sources.paths[dotted]
        message = str(error).replace(f"{sources.root}.", "").replace(f"{helpers.root}.", "")
        raise PackageError(
            f"mod {package.name!r} cannot be imported: {where}:"
            f" {type(error).__name__}: {message:.1000}",
            param="source",
            file=file,
            line=line,
        ) from error


def _where(error: BaseException, sets: Iterable[SourceSet]) -> tuple[str | None, int | None]:
    """The innermost line of the mod's own files, or of the helpers', that the error passed."""
    paths = {
        sources.filename(path): path if sources.label != "shared" else sources.filename(path)
        for sources in sets
        for path in sources.files
    }
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename in paths:
            return paths[frame.filename], frame.lineno
    return None, None


def _label(package: Package) -> str:
    """What tracebacks call the package's folder: two versions of a mod are told apart."""
    return f"{package.name}@{package.digest[:8]}"


def _imported(sources: Iterable[str], shared: Mapping[str, str]) -> list[str]:
    """The sources of the helper modules that these sources import, directly or not."""
    by_name = {module_name(path): path for path in shared}
    found: dict[str, str] = {}
    waiting = list(sources)
    while waiting:
        tree = ast.parse(waiting.pop())
        for dotted in _names_imported(tree):
            path = by_name.get(dotted)
            if path is not None and path not in found:
                found[path] = shared[path]
                waiting.append(shared[path])
    return list(found.values())


def _names_imported(tree: ast.AST) -> set[str]:
    """Dotted names that an import may run: each module, its parents, and what is taken from it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = f"{node.module}." if node.module else ""
            names.update(f"{base}{alias.name}" for alias in node.names)
            names.add(node.module or "")
    parents = {name[:at] for name in names for at, char in enumerate(name) if char == "."}
    return names | parents
