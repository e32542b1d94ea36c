"""Imports sources that exist only in memory, each set of files under a package name of its own.

Two mods may both have a `utils.py`. So every set gets a private root package, and an absolute
import that means one of its own files, or one of the helper modules, is rewritten to the private
name while the source is compiled. Relative imports need nothing. Line numbers stay as they are.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import linecache
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

from mods.runtime.files import module_name
from mods.runtime.package import RESERVED

_numbers = itertools.count()


class SourceSet:
    """Files under one private package name.

    label: what the files are called in tracebacks, before their paths. own_name: a name by
    which the files may import their own root. helpers: the set to look in for what is not here.
    """

    def __init__(
        self,
        files: Mapping[str, str],
        label: str,
        own_name: str | None = None,
        helpers: SourceSet | None = None,
    ) -> None:
        self.root = f"concordance_mod_{next(_numbers)}"
        self.files = files
        self.label = label
        self._own_name = own_name
        self._helpers = helpers
        self.paths = {module_name(path): path for path in files}
        self._folders = {
            name[:at] for name in self.paths for at, char in enumerate(name) if char == "."
        }

    def private(self, dotted: str) -> str:
        """The importable name of one of the set's modules."""
        return self.root if dotted == "__init__" else f"{self.root}.{dotted}"

    def local(self, private: str) -> str:
        """The name inside the set of a private name."""
        return private.removeprefix(self.root).removeprefix(".") or "__init__"

    def source(self, private: str) -> tuple[str, str] | None:
        """(path, source) of a private name; an empty source for a folder without `__init__.py`."""
        dotted = self.local(private)
        if dotted in self.paths:
            path = self.paths[dotted]
            return path, self.files[path]
        return ("__init__.py", "") if dotted == "__init__" or dotted in self._folders else None

    def is_package(self, private: str) -> bool:
        dotted = self.local(private)
        return dotted in self._folders or self.paths.get(dotted, "__init__.py").endswith(
            "__init__.py"
        )

    def filename(self, path: str) -> str:
        return f"{self.label}/{path}"

    def resolve(self, dotted: str, importing: str) -> str | None:
        """The private name of an absolute import, or None if it means an installed module.

        A file that imports a module of its own name means the installed one, not itself.
        """
        top, _, rest = dotted.partition(".")
        if top in RESERVED:
            return None
        if (dotted in self.paths or dotted in self._folders) and dotted != "__init__":
            private = self.private(dotted)
            if private != importing:
                return private
        if top == self._own_name and (rest or "__init__") in (*self.paths, *self._folders):
            return self.private(rest or "__init__")
        return self._helpers.resolve(dotted, importing) if self._helpers else None

    def drop(self) -> None:
        """Forget the set: its modules leave `sys.modules`, its names can be imported no more."""
        FINDER.sets.pop(self.root, None)
        for name in [n for n in sys.modules if n == self.root or n.startswith(f"{self.root}.")]:
            del sys.modules[name]


class MemoryFinder(MetaPathFinder):
    """Knows the sets that can be imported from now on."""

    def __init__(self) -> None:
        self.sets: dict[str, SourceSet] = {}

    def add(self, sources: SourceSet) -> None:
        if self not in sys.meta_path:
            sys.meta_path.append(self)
        self.sets[sources.root] = sources

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        sources = self.sets.get(fullname.partition(".")[0])
        found = sources.source(fullname) if sources else None
        if sources is None or found is None:
            return None
        origin = sources.filename(found[0])
        loader = MemoryLoader(sources)
        spec = ModuleSpec(fullname, loader, origin=origin, is_package=sources.is_package(fullname))
        spec.has_location = True
        return spec


class MemoryLoader(InspectLoader):
    """Compiles and runs one module of a set."""

    def __init__(self, sources: SourceSet) -> None:
        self._sources = sources

    def is_package(self, fullname: str) -> bool:
        return self._sources.is_package(fullname)

    def get_source(self, fullname: str) -> str:
        found = self._sources.source(fullname)
        if found is None:
            raise ImportError(f"no module {fullname!r}", name=fullname)
        return found[1]

    def get_code(self, fullname: str) -> CodeType:
        path, source = self._sources.source(fullname) or ("", "")
        filename = self._sources.filename(path)
        lines = source.splitlines(keepends=True)
        linecache.cache[filename] = (len(source), None, lines, filename)
        tree = _Imports(self._sources, fullname).visit(ast.parse(source, filename))
        return compile(ast.fix_missing_locations(tree), filename, "exec", dont_inherit=True)


class _Imports(ast.NodeTransformer):
    """Turns absolute imports of a set's own modules into imports of their private names."""

    def __init__(self, sources: SourceSet, importing: str) -> None:
        self._sources = sources
        self._importing = importing

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        if not node.level and node.module:
            node.module = self._sources.resolve(node.module, self._importing) or node.module
        return node

    def visit_Import(self, node: ast.Import) -> list[ast.Import]:
        """`import a.b` runs a.b and binds a; with `as`, it binds a.b."""
        statements: list[ast.Import] = []
        for alias in node.names:
            private = self._sources.resolve(alias.name, self._importing)
            if private is None:
                names = [alias]
            elif alias.asname:
                names = [ast.alias(private, alias.asname)]
            else:
                top = alias.name.partition(".")[0]
                root = private.removesuffix(alias.name.removeprefix(top))
                names = [ast.alias(private, top), ast.alias(root, top)][private == root :]
            statements += [ast.copy_location(ast.Import([name]), node) for name in names]
        return statements


FINDER = MemoryFinder()


def import_from(sources: SourceSet, dotted: str) -> ModuleType:
    """Import one module of a set, by its name inside the set."""
    FINDER.add(sources)
    return importlib.import_module(sources.private(dotted))
