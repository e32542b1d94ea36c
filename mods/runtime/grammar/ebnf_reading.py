"""Grammars in EBNF and GBNF (`name ::= …`) as trees of what their rules are made of.

What is read: strings in either quotes, sets of characters, `#x41`, groups, `* + ? {2,5}`, special
tokens as `<|name|>` or `<[id]>`, names bare or in angle brackets, and comments of every kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mods.runtime.grammar.lark import line_of, quoted
from mods.runtime.grammar.limits import MAX_DEPTH
from mods.sdk.errors import ConstraintError

_SCANNER = re.compile(
    r"""
    (?P<space>\s+|\#(?!x[0-9A-Fa-f])[^\n]*|//[^\n]*|\(\*.*?\*\))
    | (?P<define>::=)
    | (?P<name>[A-Za-z_][A-Za-z0-9_.-]*)
    | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    | (?P<set>\[(?:\\.|[^\]\\])*\])
    | (?P<code>\#x[0-9A-Fa-f]{1,6})
    | (?P<special><\[[0-9,^*\s-]+\]>|<\|[^<>\s]+\|>)
    | (?P<angled><[A-Za-z_][A-Za-z0-9_.\s-]*>)
    | (?P<count>\{\s*\d+\s*(?:,\s*\d*\s*)?\})
    | (?P<mark>[()|*+?.;,])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "b": "\b", "0": "\0"}
_HEXADECIMAL = re.compile("#x([0-9A-Fa-f]{1,6})")
_CODED = {"x": 2, "u": 4, "U": 8}


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    at: int


@dataclass(frozen=True)
class Text:
    """Exactly this text."""

    text: str

    def lark(self, names: dict[str, str]) -> str:
        return quoted(self.text)


@dataclass(frozen=True)
class Class:
    """One character. pattern: a regular expression's."""

    pattern: str

    def lark(self, names: dict[str, str]) -> str:
        return f"/{self.pattern}/"


@dataclass(frozen=True)
class Special:
    """A special token, by name or number."""

    name: str

    def lark(self, names: dict[str, str]) -> str:
        return self.name


@dataclass(frozen=True)
class Name:
    """Another rule. at: where in the text it is named."""

    name: str
    at: int

    def lark(self, names: dict[str, str]) -> str:
        return names[self.name]


@dataclass(frozen=True)
class Repeat:
    """most: None for any number."""

    item: Node
    least: int
    most: int | None

    def lark(self, names: dict[str, str]) -> str:
        most = "" if self.most is None else self.most
        return f"({self.item.lark(names)}){{{self.least},{most}}}"


@dataclass(frozen=True)
class Sequence:
    items: tuple[Node, ...]

    def lark(self, names: dict[str, str]) -> str:
        return " ".join(f"({item.lark(names)})" for item in self.items) or '""'


@dataclass(frozen=True)
class Either:
    items: tuple[Node, ...]

    def lark(self, names: dict[str, str]) -> str:
        return " | ".join(item.lark(names) for item in self.items)


Node = Text | Class | Special | Name | Repeat | Sequence | Either


def read_rules(text: str) -> dict[str, Node]:
    """The rules in order. Raises `ConstraintError` with the line of what is wrong."""
    return _Parser(text).rules()


class _Parser:
    """Recursive descent over tokens; a rule ends where the next `name ::=` begins."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._next = 0
        self._depth = 0

    def rules(self) -> dict[str, Node]:
        rules: dict[str, Node] = {}
        while (token := self._peek()) is not None:
            name = _rule_name(token)
            if name is None or not self._defines(self._next):
                raise self._error(f"expected `name ::=`, got {token.text!r:.40}", token)
            if name in rules:
                raise self._error(f"the rule {name!r} is defined twice", token)
            self._next += 2
            rules[name] = self._either()
            if self._is(";"):
                self._next += 1
        return rules

    def _either(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"groups nest too deep: {MAX_DEPTH} levels at most", self._peek())
        items = [self._sequence()]
        while self._is("|"):
            self._next += 1
            items.append(self._sequence())
        self._depth -= 1
        return items[0] if len(items) == 1 else Either(tuple(items))

    def _sequence(self) -> Node:
        items: list[Node] = []
        while (token := self._peek()) is not None and not self._ends(token):
            if token.text == ",":
                self._next += 1
                continue
            items.append(self._repeated(self._item(token)))
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _ends(self, token: Token) -> bool:
        return (token.kind == "mark" and token.text in "|);") or self._defines(self._next)

    def _item(self, token: Token) -> Node:
        self._next += 1
        match token.kind:
            case "string":
                return Text(_unescaped(token.text[1:-1], token.at, self._text))
            case "set":
                return Class(_class(token, self._text))
            case "code":
                return Text(_character(int(token.text[2:], 16), token.at, self._text))
            case "special":
                return Special(token.text)
            case "name" | "angled":
                return Name(str(_rule_name(token)), token.at)
        if token.text == ".":
            return Class(r"[^\n]")
        if token.text == "(":
            inner = self._either()
            if not self._is(")"):
                raise self._error("a group is not closed", token)
            self._next += 1
            return inner
        raise self._error(f"{token.text!r:.40} cannot stand here", token)

    def _repeated(self, item: Node) -> Node:
        while (token := self._peek()) is not None:
            counts = _counts(token)
            if counts is None:
                return item
            least, most = counts
            if most is not None and most < least:
                raise self._error(f"{token.text} ends below its beginning", token)
            self._next += 1
            item = Repeat(item, least, most)
        return item

    def _defines(self, index: int) -> bool:
        """Whether a rule begins at this token."""
        if index + 1 >= len(self._tokens) or self._tokens[index].kind not in ("name", "angled"):
            return False
        return self._tokens[index + 1].kind == "define"

    def _peek(self) -> Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _is(self, mark: str) -> bool:
        token = self._peek()
        return token is not None and token.kind == "mark" and token.text == mark

    def _error(self, reason: str, token: Token | None) -> ConstraintError:
        at = len(self._text) if token is None else token.at
        return ConstraintError(reason, position=line_of(self._text, at))


def _tokens(text: str) -> Iterator[Token]:
    position = 0
    while position < len(text):
        found = _SCANNER.match(text, position)
        if found is None:
            raise ConstraintError(
                f"{text[position : position + 20]!r} is no part of a grammar",
                position=line_of(text, position),
            )
        if found.lastgroup != "space":
            yield Token(str(found.lastgroup), found.group(), position)
        position = found.end()


def _rule_name(token: Token) -> str | None:
    """Names may stand in angle brackets, as in BNF."""
    if token.kind == "name":
        return token.text
    return token.text[1:-1].strip() if token.kind == "angled" else None


def _counts(token: Token) -> tuple[int, int | None] | None:
    if token.kind == "mark":
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(token.text)
    if token.kind != "count":
        return None
    least, comma, most = token.text.strip("{}").partition(",")
    if not comma:
        return int(least), int(least)
    return int(least), int(most) if most.strip() else None


def _unescaped(body: str, at: int, text: str) -> str:
    return "".join(chr(code) for code, _ in _characters(body, at, text))


def _class(token: Token, text: str) -> str:
    """A set of characters as a regular expression."""
    body = token.text[1:-1]
    negated = body.startswith("^")
    codes = list(_characters(body[1:] if negated else body, token.at, text))
    parts, index = [], 0
    while index < len(codes):
        code = codes[index][0]
        if index + 2 < len(codes) and codes[index + 1] == (ord("-"), False):
            last = codes[index + 2][0]
            if last < code:
                raise ConstraintError(
                    f"the range {token.text!r:.60} runs backwards", position=line_of(text, token.at)
                )
            parts.append(f"\\x{{{code:x}}}-\\x{{{last:x}}}")
            index += 3
        else:
            parts.append(f"\\x{{{code:x}}}")
            index += 1
    if not parts:
        return r"(?s:.)" if negated else r"[^\s\S]"
    return f"[{'^' if negated else ''}{''.join(parts)}]"


def _characters(body: str, at: int, text: str) -> Iterator[tuple[int, bool]]:
    """Code points, each with whether it was written as an escape."""
    index = 0
    while index < len(body):
        coded = _HEXADECIMAL.match(body, index)
        if coded:
            yield ord(_character(int(coded.group(1), 16), at, text)), True
            index = coded.end()
        elif body[index] != "\\":
            yield ord(body[index]), False
            index += 1
        else:
            code, length = _escape(body[index + 1 :], at, text)
            yield code, True
            index += 1 + length


def _escape(rest: str, at: int, text: str) -> tuple[int, int]:
    """The code point of what follows a backslash, and how long it is written."""
    mark = rest[:1]
    digits = _CODED.get(mark)
    if digits is None:
        if mark.isalnum() and mark not in _ESCAPES:
            raise ConstraintError(f"unknown escape '\\{mark}'", position=line_of(text, at))
        return ord(_ESCAPES.get(mark, mark)), 1
    number = rest[1 : 1 + digits]
    if len(number) < digits or not re.fullmatch("[0-9A-Fa-f]+", number):
        raise ConstraintError(
            f"'\\{mark}' needs {digits} hexadecimal digits, got {number!r}",
            position=line_of(text, at),
        )
    return ord(_character(int(number, 16), at, text)), 1 + digits


def _character(code: int, at: int, text: str) -> str:
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ConstraintError(f"{code:#x} is no character", position=line_of(text, at))
    return chr(code)


def children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Repeat):
        return (node.item,)
    return node.items if isinstance(node, (Sequence, Either)) else ()


def mentions(node: Node) -> Iterator[Name]:
    """Every mention of a rule."""
    waiting = [node]
    while waiting:
        here = waiting.pop()
        if isinstance(here, Name):
            yield here
        waiting += reversed(children(here))
