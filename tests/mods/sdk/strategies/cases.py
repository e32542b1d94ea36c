"""Strategies, each with its definition said a second time, in plain Python over whole texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from mods.sdk.strategies import CharsMode, CharsStrat, ChoicesStrat, ListStrat, UntilEndType
from mods.sdk.strategies import UntilStrat as Until

Judge = Callable[[str], bool]


@dataclass(frozen=True)
class Case:
    """A strategy. fits: its definition. alphabet: what texts near it are made of."""

    name: str
    strategy: Any
    fits: Judge
    alphabet: str
    examples: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


def near(case: Case) -> st.SearchStrategy[str]:
    """Texts of the case's own characters, and its examples with a few changes."""
    free = st.text(st.sampled_from(case.alphabet), max_size=12)
    changed = st.builds(
        lambda text, place, more, cut: (
            text[: place % (len(text) + 1)] + more + text[place % (len(text) + 1) + cut :]
        ),
        st.sampled_from(case.examples),
        st.integers(0, 40),
        st.text(st.sampled_from(case.alphabet), max_size=2),
        st.integers(0, 2),
    )
    return st.one_of(st.sampled_from(case.examples), free, changed, st.text(max_size=8))


def until_tag(start: str, end: str) -> Judge:
    def fits(text: str) -> bool:
        return text.startswith(start) and text.find(end, len(start)) == len(text) - len(end) >= len(
            start
        )

    return fits


def until_any(start: str, ends: str) -> Judge:
    def fits(text: str) -> bool:
        rest = text[len(start) :]
        places = [place for place, character in enumerate(rest) if character in ends]
        return text.startswith(start) and places[:1] == [len(rest) - 1]

    return fits


def units(text: str) -> Iterator[str]:
    """A text's characters; a backslash and what it takes with it are one."""
    place = 0
    while place < len(text):
        size = 2 if text[place] == "\\" else 1
        yield text[place : place + size]
        place += size


def is_string(text: str) -> bool:
    parts = list(units(text))
    return '"' not in parts and "\\" not in parts


def is_number(text: str) -> bool:
    return all(character in "0123456789" for character in text)


def is_alpha(text: str) -> bool:
    return all(map(str.isalpha, text))


def is_either(text: str) -> bool:
    return all(is_alpha(character) or is_number(character) for character in text)


def counted(kind: Judge, low: int, high: int) -> Judge:
    return lambda text: kind(text) and low <= len(list(units(text))) <= high


def stopped(kind: Judge, low: int, stop: str) -> Judge:
    """Whether the text is characters and the first stop with enough of them before it."""

    def fits(text: str) -> bool:
        if not text.endswith(stop):
            return False
        ends = [
            place
            for place in range(len(text))
            if kind(text[:place])
            and len(list(units(text[:place]))) >= low
            and text.startswith(stop, place)
        ]
        return ends[:1] == [len(text) - len(stop)]

    return fits


def matched(pattern: str) -> Judge:
    compiled = re.compile(pattern, re.DOTALL)
    return lambda text: compiled.fullmatch(text) is not None


NUMBER = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?"
DIGITS = CharsStrat(CharsMode.NUMERIC, stop=3, min=1)
PAIR = ListStrat([ChoicesStrat(["a", "ab"]), DIGITS], sep="=", wrap="'")

CASES = [
    Case("one of", ChoicesStrat(["yes", "no"]), matched("yes|no"), "yesno ", ("yes", "no")),
    Case(
        "prefixes",
        ChoicesStrat(["a", "ab", "abc", "é", "ab "]),
        matched("a|ab|abc|é|ab "),
        "abcé ",
        ("a", "ab", "abc", "é", "ab "),
    ),
    Case("or nothing", ChoicesStrat(["", "so"]), matched("(so)?"), "so", ("", "so")),
    Case(
        "tag",
        Until("<a>", UntilEndType.TAG, "</a>"),
        until_tag("<a>", "</a>"),
        "<a/>é\n",
        ("<a></a>", "<a>é</a", "<a><</a>", "<a>aé\n</</a>"),
    ),
    Case("tag aa", Until("", UntilEndType.TAG, "aab"), until_tag("", "aab"), "ab", ("aaab", "aab")),
    Case(
        "any of",
        Until("é", UntilEndType.ANYCHAR, ".!→"),
        until_any("é", ".!→"),
        "é.!→x ",
        ("é.", "éx →", "éxx!"),
    ),
    Case(
        "line",
        Until(None, UntilEndType.NEWLINE),
        until_any("", "\n"),
        "ab\n\r €",
        ("\n", "a b\r\n", "€\n"),
    ),
    Case(
        "letters",
        CharsStrat(CharsMode.ALPHA, stop=4, min=2),
        counted(is_alpha, 2, 4),
        "abéЖ李1 _",
        ("ab", "éЖ", "李李李李"),
    ),
    Case(
        "digits",
        CharsStrat(CharsMode.NUMERIC, stop=4, min=4),
        counted(is_number, 4, 4),
        "0123456789²٣a",
        ("2024", "0000"),
    ),
    Case(
        "either",
        CharsStrat(CharsMode.ALPHANUMERIC, stop=6),
        counted(is_either, 0, 6),
        "abz019éЖ²_ ",
        ("a1", "", "éЖ0"),
    ),
    Case(
        "letters to a stop",
        CharsStrat(CharsMode.ALPHA, stop=". ", min=1),
        stopped(is_alpha, 1, ". "),
        "ab. é",
        ("a. ", "éb. "),
    ),
    Case(
        "letters to letters",
        CharsStrat(CharsMode.ALPHA, stop="aba", min=1),
        stopped(is_alpha, 1, "aba"),
        "ab",
        ("xaba".replace("x", "b"), "ababa", "aabba" + "ba"),
    ),
    Case(
        "string to a quote",
        CharsStrat(CharsMode.STRING, stop='"', min=1),
        stopped(is_string, 1, '"'),
        'ab"\\\n€',
        ('a"', '\\""', "\\\\" + '"', '€\n"'),
    ),
    Case(
        "string to a blank line",
        CharsStrat(CharsMode.STRING, stop="\n\n"),
        stopped(is_string, 0, "\n\n"),
        'a\n"\\',
        ("\n\n", "a\n\n", "\\\n\n\n", "a\na\n\n"),
    ),
    Case(
        "short string",
        CharsStrat(CharsMode.STRING, stop=3),
        counted(is_string, 0, 3),
        'a"\\é',
        ("", "a\\" + '"', "\\\\\\\\é"),
    ),
    Case(
        "number",
        CharsStrat(CharsMode.JS_FLOAT, stop="\n", min=1),
        matched(NUMBER + "\n"),
        "-0123.eE+\n",
        ("0\n", "-1.50e+3\n", "12\n"),
    ),
    Case(
        "list",
        ListStrat(DIGITS, open="[", close="]", max=3),
        matched(r"\[(\d{1,3}(, \d{1,3}){0,2})?\]"),
        "[]012, ",
        ("[]", "[1]", "[12, 345, 6]"),
    ),
    Case(
        "bare list",
        ListStrat(ChoicesStrat(["a", "ab"]), sep="b", min=1),
        matched("(a|ab)(b(a|ab))*"),
        "ab",
        ("a", "ab", "aba", "abba", "abbab"),
    ),
    Case(
        "wrapped list",
        ListStrat(
            CharsStrat(CharsMode.STRING, stop='"'), open="[", close="]", wrap='"', end_with=";\n"
        ),
        matched(r'\[("([^"\\]|\\.)*"(, "([^"\\]|\\.)*")*)?\];' + "\n"),
        '[]",\\ a;\n',
        ("[];\n", '["a", ""];\n', '["\\""];\n'),
    ),
    Case(
        "list of tags",
        ListStrat(Until("", UntilEndType.TAG, "aab"), open="[", close="]", sep=",", min=1, max=2),
        matched(r"\[(?:(?!aab).)*aab(,(?:(?!aab).)*aab)?\]"),
        "[a,b]",
        ("[aab]", "[aaab,b,aab]", "[,aab,]aab]"),
    ),
    Case(
        "fixed list",
        ListStrat([["x", "yy"], DIGITS, "z"], sep=""),
        matched(r"(x|yy)\d{1,3}z"),
        "xyz01",
        ("x0z", "yy111z"),
    ),
    Case(
        "nested list",
        ListStrat(
            ListStrat(PAIR, open="{", close="}", sep=",", min=1),
            open="[",
            close="]",
            sep=", ",
            max=2,
        ),
        matched(
            r"\[(\{('ab?'='\d{1,3}')(,'ab?'='\d{1,3}')*\}"
            r"(, \{('ab?'='\d{1,3}')(,'ab?'='\d{1,3}')*\})?)?\]"
        ),
        "[]{}'ab=01, ",
        ("[]", "[{'a'='1'}]", "[{'ab'='12','a'='0'}, {'a'='7'}]"),
    ),
]
