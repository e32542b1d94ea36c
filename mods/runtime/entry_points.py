"""Finds a mod's entry point by reading its source, never by running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mods.runtime.files import PackageError, module_name, parse

_HOW = "mark the mod's function with @mod (from mods.sdk import mod)"


@dataclass(frozen=True)
class EntryPoint:
    """A function that is marked as a mod. `declared` is the name in `@mod(name=…)`, if any."""

    path: str
    function: str
    line: int
    declared: str | None = None
    doc: str | None = None

    @property
    def address(self) -> str:
        """`module:function`, as a package keeps it."""
        return f"{module_name(self.path)}:{self.function}"


def find_entry(files: Mapping[str, str], named: str | None = None) -> EntryPoint:
    """The one entry point of a mod, or the one that is named `[module:]function`.

    Raises `PackageError` for none, for several where none is named, and for broken syntax.
    """
    trees = {path: parse(path, source) for path, source in files.items()}
    marked = [entry for path, tree in trees.items() for entry in entries_in(path, tree)]
    if named is not None:
        return _named(named, trees, marked)
    if not marked:
        raise PackageError(
            f"no mod in {', '.join(files)}: {_HOW}", param="source", file=next(iter(files))
        )
    if len(marked) > 1:
        raise PackageError(
            f"{len(marked)} mods where one was expected: {_listed(marked)};"
            " name one as `entrypoint`, or send them apart",
            param="entrypoint",
            file=marked[1].path,
            line=marked[1].line,
        )
    return marked[0]


def entries_in(path: str, tree: ast.Module) -> list[EntryPoint]:
    """The functions that `@mod`, `create_mod` or `self_prompt_mod` makes mods in a module."""
    decorators = _names_for("mod", tree)
    makers = _names_for("create_mod", tree) | _names_for("self_prompt_mod", tree)
    found = []
    for node in _statements(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            marks = [mark for mark in node.decorator_list if _last_name(mark) in decorators]
            if marks:
                doc = ast.get_docstring(node)
                found.append(EntryPoint(path, node.name, node.lineno, _name_given(marks[0]), doc))
        elif isinstance(node, ast.Assign | ast.AnnAssign) and _last_name(node.value) in makers:
            declared = _name_given(node.value)
            found += [EntryPoint(path, name, node.lineno, declared) for name in _bound_by(node)]
    return found


def _named(named: str, trees: Mapping[str, ast.Module], marked: list[EntryPoint]) -> EntryPoint:
    module, _, function = named.rpartition(":")
    if not function.isidentifier():
        raise PackageError(
            f"entrypoint {named!r:.100} is malformed; expected 'function' or 'module:function'",
            param="entrypoint",
        )
    there = [
        EntryPoint(path, name, line)
        for path, tree in trees.items()
        if not module or module_name(path) == module
        for name, line in _bindings(tree)
        if name in (function, "*")
    ]
    preferred = [entry for entry in marked if entry.function == function]
    choice = [entry for entry in preferred if not module or module_name(entry.path) == module]
    files = sorted({entry.path for entry in choice or there})
    if not files:
        raise PackageError(
            f"entrypoint {named!r} is nowhere in {', '.join(trees)};"
            f" {'there is ' + _listed(marked) if marked else _HOW}",
            param="entrypoint",
        )
    if len(files) > 1:
        raise PackageError(
            f"entrypoint {named!r} is in {' and '.join(files)}; say which, as 'module:function'",
            param="entrypoint",
        )
    found = (choice or there)[-1]
    return EntryPoint(found.path, function, found.line, found.declared, found.doc)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """A module's statements, those under its `if`, `try` and `with` too, in their order."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.Module | ast.If | ast.Try | ast.With | ast.ExceptHandler):
            waiting += reversed(list(ast.iter_child_nodes(node)))


def _bindings(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every name that a module binds at its top level, with the line; `*` for a star import."""
    for node in _statements(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            yield from ((name, node.lineno) for name in _bound_by(node))
        elif isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, node.lineno) for alias in node.names)


def _bound_by(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _names_for(original: str, tree: ast.Module) -> set[str]:
    """What a module calls `mod`, or `create_mod`: that, and every `import … as …` of it."""
    return {original} | {
        alias.asname
        for node in _statements(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == original and alias.asname
    }


def _last_name(node: ast.AST | None) -> str | None:
    """`mod` of `mod`, `sdk.mod` and `mod(…)`."""
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _name_given(node: ast.AST | None) -> str | None:
    """The `name="…"` of a call, where it is written out."""
    for keyword in node.keywords if isinstance(node, ast.Call) else ():
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
            return keyword.value.value if isinstance(keyword.value.value, str) else None
    return None


def _listed(entries: list[EntryPoint]) -> str:
    return " and ".join(
        f"{entry.function!r} ({entry.path}, line {entry.line})" for entry in entries
    )
