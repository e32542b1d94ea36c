"""Where texts of a Lark grammar end: by `lark` if it knows all that is used, else by llguidance."""

from __future__ import annotations

import json
import re

import lark
from lark.exceptions import LarkError, UnexpectedCharacters, UnexpectedEOF, UnexpectedInput
from llguidance import LLMatcher

from mods.runtime.grammar.limits import parser_limits
from mods.runtime.grammar.sequence import bytes_tokenizer

_LONGEST = 2000
"""Characters that `lark` is asked to read; its time grows faster than its text."""

_EXTENSIONS = re.compile(r"%(json|regex|llguidance|import)\b|[&@]|~(?!\s*\d)|^\s*\w+\s*\[|\{", re.M)
"""What only llguidance knows. A mark inside a string counts too: then llguidance judges."""


class LarkJudge:
    """One grammar, in Lark or in llguidance's JSON. name: who judged last."""

    def __init__(self, grammar: str) -> None:
        self._grammar = grammar
        self._parser = None if _EXTENSIONS.search(grammar) else _parser(grammar)
        self.name = "llguidance"

    def ends(self, text: str, start: int, whole: bool) -> tuple[set[int], int]:
        """Where texts of the grammar that begin at `start` end, and how far any of them fits."""
        if self._parser is not None and whole and len(text) - start <= _LONGEST:
            self.name = "lark"
            reached = _reached(self._parser, text[start:])
            return ({len(text)}, len(text)) if reached is None else (set(), start + reached)
        self.name = "llguidance"
        return self._by_bytes(text, start)

    def _by_bytes(self, text: str, start: int) -> tuple[set[int], int]:
        matcher = LLMatcher(bytes_tokenizer(), self._grammar, log_level=0, limits=parser_limits())
        ends = {start} if matcher.is_accepting() else set()
        for at in range(start, len(text)):
            piece = list(text[at].encode("utf-8", "replace"))
            if matcher.is_stopped() or matcher.try_consume_tokens(piece) < len(piece):
                return ends, at
            if matcher.is_accepting():
                ends.add(at + 1)
        return ends, len(text)


def _parser(grammar: str) -> lark.Lark | None:
    """None for a grammar that `lark` does not read."""
    try:
        return lark.Lark(grammar, parser="earley", lexer="dynamic_complete", regex=True)
    except (LarkError, re.error, json.JSONDecodeError, RecursionError):
        return None


def _reached(parser: lark.Lark, text: str) -> int | None:
    """None if the text is one of the grammar's, else how far it fits."""
    try:
        parser.parse(text)
    except UnexpectedCharacters as error:
        return int(error.pos_in_stream or 0)
    except UnexpectedEOF:
        return len(text)
    except UnexpectedInput as error:
        return int(error.pos_in_stream or 0)
    return None
