"""Recognises texts of an EBNF grammar, character by character, as Earley's algorithm does.

It shares nothing with what masks are made from but the reading of the grammar, and it has no
terminals that are matched as far as they go: it says what the grammar itself says.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache

import regex

from mods.runtime.grammar.ebnf import ROOT, checked_rules
from mods.runtime.grammar.ebnf_reading import (
    Class,
    Either,
    Name,
    Node,
    Repeat,
    Sequence,
    Special,
    Text,
)

Symbol = str | Class
"""A rule's name, or a set of characters. A rule's alternatives are tuples of them."""

Item = tuple[str, int, int, int]
"""Rule, alternative, how many of its symbols are done, and where it began."""


class Recognizer:
    """One grammar. Raises `ConstraintError` for one that is no grammar."""

    def __init__(self, grammar: str) -> None:
        self._rules: dict[str, list[tuple[Symbol, ...]]] = {}
        self._made = itertools.count()
        for name, node in checked_rules(grammar).items():
            self._rules[name] = [tuple(way) for way in self._ways(node)]
        self._empty = self._nullable()

    def ends(self, text: str, start: int = 0) -> tuple[set[int], int]:
        """Where texts of the grammar that begin at `start` end, and how far any of them fits."""
        ends: set[int] = set()
        charts: list[set[Item]] = [self._first()]
        waiting: list[dict[str, list[Item]]] = []
        for offset in itertools.count():
            awaited: dict[str, list[Item]] = {}
            waiting.append(awaited)
            self._close(charts[offset], offset, awaited, waiting)
            if any(self._is_whole(item) for item in charts[offset]):
                ends.add(start + offset)
            at = start + offset
            following = self._scanned(charts[offset], text[at]) if at < len(text) else set()
            if not following:
                return ends, at
            charts.append(following)
        raise AssertionError("unreachable")

    def _first(self) -> set[Item]:
        return {(ROOT, number, 0, 0) for number in range(len(self._rules[ROOT]))}

    def _close(
        self,
        items: set[Item],
        offset: int,
        awaited: dict[str, list[Item]],
        waiting: list[dict[str, list[Item]]],
    ) -> None:
        """Predict and complete until nothing is new."""
        todo = list(items)
        while todo:
            item = todo.pop()
            for new in self._consequences(item, offset, awaited, waiting):
                if new not in items:
                    items.add(new)
                    todo.append(new)

    def _consequences(
        self,
        item: Item,
        offset: int,
        awaited: dict[str, list[Item]],
        waiting: list[dict[str, list[Item]]],
    ) -> Iterator[Item]:
        rule, number, done, began = item
        way = self._rules[rule][number]
        if done == len(way):
            for rule_, number_, done_, began_ in list(waiting[began].get(rule, ())):
                yield rule_, number_, done_ + 1, began_
            return
        symbol = way[done]
        if isinstance(symbol, str):
            awaited.setdefault(symbol, []).append(item)
            yield from ((symbol, way_, 0, offset) for way_ in range(len(self._rules[symbol])))
            if symbol in self._empty:
                yield rule, number, done + 1, began

    def _scanned(self, items: set[Item], character: str) -> set[Item]:
        following = set()
        for rule, number, done, began in items:
            symbol = next(iter(self._rules[rule][number][done:]), None)
            if isinstance(symbol, Class) and _holds(symbol.pattern, character):
                following.add((rule, number, done + 1, began))
        return following

    def _is_whole(self, item: Item) -> bool:
        rule, number, done, began = item
        return rule == ROOT and began == 0 and done == len(self._rules[rule][number])

    def _ways(self, node: Node) -> Iterator[list[Symbol]]:
        """A node as alternatives of a rule."""
        if isinstance(node, Either):
            for item in node.items:
                yield from self._ways(item)
        else:
            yield self._symbols(node)

    def _symbols(self, node: Node) -> list[Symbol]:
        match node:
            case Text():
                return [Class(f"\\x{{{ord(letter):x}}}") for letter in node.text]
            case Class():
                return [node]
            case Name():
                return [node.name]
            case Sequence():
                return [symbol for item in node.items for symbol in self._symbols(item)]
            case Repeat():
                return self._repeated(node)
            case Special():
                raise ValueError("special tokens are no text")
        return [self._rule(list(self._ways(node)))]

    def _repeated(self, node: Repeat) -> list[Symbol]:
        """Left recursion for any number, nested optional rules for a bounded one."""
        one = self._rule([self._symbols(node.item)])
        least: list[Symbol] = [one] * node.least
        if node.most is None:
            many = self._name()
            self._rules[many] = [(), (many, one)]
            return [*least, many]
        rest: str | None = None
        for _ in range(node.most - node.least):
            rest = self._rule([[], [one] if rest is None else [one, rest]])
        return least if rest is None else [*least, rest]

    def _rule(self, ways: list[list[Symbol]]) -> str:
        name = self._name()
        self._rules[name] = [tuple(way) for way in ways]
        return name

    def _name(self) -> str:
        return f"#{next(self._made)}"

    def _nullable(self) -> set[str]:
        found: set[str] = set()
        while True:
            more = {
                name
                for name, ways in self._rules.items()
                if name not in found and any(all(s in found for s in way) for way in ways)
            }
            if not more:
                return found
            found |= more


@cache
def _compiled(pattern: str) -> regex.Pattern[str]:
    return regex.compile(_for_python(pattern), regex.DOTALL)


def _holds(pattern: str, character: str) -> bool:
    return _compiled(pattern).fullmatch(character) is not None


def _for_python(pattern: str) -> str:
    """`\\x{41}` is Rust's way to write a code point."""
    written: str = regex.sub(
        r"\\x\{([0-9a-f]+)\}", lambda found: f"\\U{int(found.group(1), 16):08x}", pattern
    )
    return written
