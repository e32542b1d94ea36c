"""Grammars in EBNF and GBNF written again in Lark.

A rule that refers to no rule that refers back to it describes a regular language; such a rule
becomes one terminal, which llguidance matches as a whole and fast. The others stay rules.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from mods.runtime.grammar.ebnf_reading import (
    Either,
    Name,
    Node,
    Repeat,
    Sequence,
    Special,
    Text,
    children,
    mentions,
    read_rules,
)
from mods.runtime.grammar.lark import line_of
from mods.sdk.errors import ConstraintError

ROOT = "root"


def to_lark(text: str) -> str:
    """The same grammar in Lark. Raises `ConstraintError` with the line of what is wrong."""
    return _written(checked_rules(text))


def checked_rules(text: str) -> dict[str, Node]:
    """The rules that `root` reaches, in order, all defined. Raises `ConstraintError`."""
    rules = read_rules(text)
    if ROOT not in rules:
        raise ConstraintError(
            f"the grammar has no rule {ROOT!r} to begin with; it has {', '.join(rules) or 'none'}"
        )
    for node in rules.values():
        for name in mentions(node):
            if name.name not in rules:
                raise ConstraintError(
                    f"the rule {name.name!r} is used and not defined",
                    position=line_of(text, name.at),
                )
    reached = _reached(rules)
    _refuse_endless(rules, reached)
    return {name: rules[name] for name in rules if name in reached}


def _has_special(node: Node) -> bool:
    return isinstance(node, Special) or any(_has_special(child) for child in children(node))


def _reached(rules: dict[str, Node]) -> set[str]:
    found, waiting = {ROOT}, [ROOT]
    while waiting:
        for name in mentions(rules[waiting.pop()]):
            if name.name not in found:
                found.add(name.name)
                waiting.append(name.name)
    return found


def _refuse_endless(rules: dict[str, Node], reached: set[str]) -> None:
    """A rule from which every way leads back to rules of its kind has no text at all."""
    ending = _growing(rules, _can_end)
    endless = [name for name in rules if name in reached - ending]
    if endless:
        raise ConstraintError(
            f"the rule {endless[0]!r} never ends: every way through it leads back to it"
        )


def _can_end(node: Node, ending: set[str]) -> bool:
    match node:
        case Name():
            return node.name in ending
        case Repeat():
            return node.least == 0 or _can_end(node.item, ending)
        case Sequence():
            return all(_can_end(item, ending) for item in node.items)
        case Either():
            return any(_can_end(item, ending) for item in node.items)
    return True


def _written(rules: dict[str, Node]) -> str:
    regular = _regular(rules)
    names = {
        name: f"T{number}" if name in regular else f"r{number}" for number, name in enumerate(rules)
    }
    writer = _Writer(names, regular)
    lines = [f"start: {names[ROOT]}"]
    lines += [f"{names[name]}: {writer.write(name, node)}" for name, node in rules.items()]
    return "\n".join([*lines, *writer.terminals]) + "\n"


class _Writer:
    """Writes rules, and a terminal for each regular stretch that stands inside one."""

    def __init__(self, names: dict[str, str], regular: set[str]) -> None:
        self._names, self._regular = names, regular
        self.terminals: list[str] = []

    def write(self, name: str, node: Node) -> str:
        return node.lark(self._names) if name in self._regular else self._rule(node)

    def _rule(self, node: Node) -> str:
        if self._is_regular(node):
            return self._terminal(node)
        match node:
            case Repeat():
                most = "" if node.most is None else node.most
                return f"({self._rule(node.item)}){{{node.least},{most}}}"
            case Either():
                return " | ".join(self._rule(item) for item in node.items)
            case Sequence():
                return " ".join(f"({self._rule(run)})" for run in self._runs(node.items))
        return node.lark(self._names)

    def _runs(self, items: tuple[Node, ...]) -> Iterator[Node]:
        """Neighbours that are regular, each run as one."""
        for regular, run in itertools.groupby(items, self._is_regular):
            if regular:
                yield Sequence(tuple(run))
            else:
                yield from run

    def _terminal(self, node: Node) -> str:
        if isinstance(node, (Text, Name)):
            return node.lark(self._names)
        if isinstance(node, Sequence) and len(node.items) == 1:
            return self._terminal(node.items[0])
        name = f"U{len(self.terminals)}"
        self.terminals.append(f"{name}: {node.lark(self._names)}")
        return name

    def _is_regular(self, node: Node) -> bool:
        return not _has_special(node) and all(
            mention.name in self._regular for mention in mentions(node)
        )


def _regular(rules: dict[str, Node]) -> set[str]:
    """Rules that mention only rules like themselves, and never one in a circle."""
    return _growing(
        rules,
        lambda node, found: (
            not _has_special(node) and all(mention.name in found for mention in mentions(node))
        ),
    )


def _growing(rules: dict[str, Node], holds: Callable[[Node, set[str]], bool]) -> set[str]:
    """The rules of which something holds, given those of which it holds already."""
    users: dict[str, list[str]] = {}
    for name, node in rules.items():
        for mention in mentions(node):
            users.setdefault(mention.name, []).append(name)
    found: set[str] = set()
    waiting = list(rules)
    while waiting:
        name = waiting.pop()
        if name not in found and holds(rules[name], found):
            found.add(name)
            waiting += users.get(name, ())
    return found
