"""llguidance's complaints, in one line and without the state of its parser."""

from __future__ import annotations

import re
from functools import lru_cache

from llguidance import LLMatcher

from mods.runtime.grammar.limits import parser_limits

_PLACE = re.compile(r"^at (\d+)\((\d+)\): ")
_QUOTED_LINES = re.compile(r"\n\s+(\d+ \||\^).*")


def told(message: str) -> str:
    """The message without what only llguidance's authors can use."""
    shown = message.split("<state>")[0].replace("<non-verbose/>", "")
    return " ".join(_QUOTED_LINES.sub("", shown).split())[:500]


def located(message: str) -> tuple[str | None, str]:
    """The place in the grammar, if the message names one, and the rest of it."""
    found = _PLACE.match(message)
    if found is None:
        return None, message
    return f"line {found.group(1)}, column {found.group(2)}", message[found.end() :]


@lru_cache(8)
def validation_error(text: str) -> str | None:
    """What is wrong with a grammar, as far as that shows without a vocabulary.

    It costs as much as beginning a matcher, and one compilation asks several times.
    """
    failed, messages = LLMatcher.validate_grammar_with_warnings(text, limits=parser_limits())
    return told(messages[0]) if failed else None
