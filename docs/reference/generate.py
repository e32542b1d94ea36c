"""Writes the reference from the docstrings: `python docs/reference/generate.py`.

What a page says is what the code says; a test asserts that the pages are current.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PAGES = {
    "sdk": ("mods.sdk", "mods.sdk.events", "mods.sdk.confidence"),
    "strategies": ("mods.sdk.strategies", "mods.sdk.flow", "mods.sdk.constraints"),
    "testing": ("mods.sdk.testing",),
}
"""Modules by page; a name is told once, where it comes first."""


def page(name: str) -> str:
    """One page, in Markdown."""
    parts = [
        f"# Reference: {name}",
        "Written from the docstrings by `python docs/reference/generate.py`; edit those.",
        "The guide is [writing mods](../mods.md).",
    ]
    told: set[int] = set()
    for module in PAGES[name]:
        parts += _module(module, told)
    return "\n\n".join(parts) + "\n"


def _module(dotted: str, told: set[int]) -> Iterator[str]:
    module = importlib.import_module(dotted)
    names = getattr(module, "__all__", None) or _own_names(module)
    members = [(name, getattr(module, name)) for name in sorted(names)]
    fresh = [(name, member) for name, member in members if id(member) not in told]
    told.update(id(member) for _, member in fresh)
    if not fresh:
        return
    yield f"## {dotted}"
    yield inspect.getdoc(module) or ""
    for name, member in fresh:
        if not inspect.ismodule(member):
            yield from _member(name, member)


def _own_names(module: Any) -> list[str]:
    return [
        name
        for name, member in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(member) or inspect.isfunction(member))
        and member.__module__ == module.__name__
    ]


def _member(name: str, member: Any) -> Iterator[str]:
    yield f"### {name}"
    if inspect.isclass(member):
        yield from _class(name, member)
    elif callable(member):
        yield f"`{name}{_signature(member)}`"
        yield inspect.getdoc(member) or ""


def _class(name: str, kind: type) -> Iterator[str]:
    if issubclass(kind, Enum):
        yield ", ".join(f"`{name}.{each.name}`" for each in kind)
    elif is_dataclass(kind) or "__init__" in vars(kind):
        yield f"`{name}{_signature(kind)}`"
    own = vars(kind).get("__doc__") or ""
    # A dataclass without a docstring of its own is given its signature as one.
    if own and not own.startswith(f"{name}("):
        yield inspect.cleandoc(own)
    lines = list(_methods(kind))
    if lines:
        yield "\n".join(lines)


def _methods(kind: type) -> Iterator[str]:
    for name, member in vars(kind).items():
        plain = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        text = inspect.getdoc(plain) if not isinstance(plain, property) else plain.__doc__
        if name.startswith("_") or not text:
            continue
        told = " ".join(inspect.cleandoc(text).split())
        if isinstance(plain, property):
            yield f"- `{name}`: {told}"
        elif inspect.isfunction(plain):
            yield f"- `{name}{_signature(plain)}`: {told}"


def _signature(member: Any) -> str:
    try:
        found = inspect.signature(member)
    except (TypeError, ValueError):
        return "(…)"
    shown = [
        each.replace(annotation=inspect.Parameter.empty, default=_plain(each.default))
        for each in found.parameters.values()
        if each.name not in ("self", "cls") and not each.name.startswith("_")
    ]
    return str(inspect.Signature(shown))


def _plain(default: Any) -> Any:
    """A default as it reads the same in every run."""
    simple = default is inspect.Parameter.empty or isinstance(
        default, (str, int, float, bool, tuple, type(None))
    )
    return default if simple and not isinstance(default, Enum) else _Shown(default)


class _Shown:
    """Stands for a default whose own text says too much."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        return str(self._value) if isinstance(self._value, Enum) else "…"


def main() -> None:
    for name in PAGES:
        (FOLDER / f"{name}.md").write_text(page(name))


if __name__ == "__main__":
    sys.path.insert(0, str(FOLDER.parents[1]))
    main()
