"""How large a constraint may be, and how much work llguidance may put into one.

A grammar is written by a client and compiled by us, and each mask is computed while other
requests wait. So everything about it is bounded: first its size, by counting; then its cost, by
llguidance's own budgets and by measuring at admission.
"""

from __future__ import annotations

import msgspec
from llguidance import LLParserLimits

from mods.sdk.constraints import Choice, Constraint, parts_of
from mods.sdk.errors import ConstraintError

MAX_BYTES = 256 * 1024
"""Of one constraint, all its parts together."""

MAX_DEPTH = 64
"""How deep composites, schemas and groups nest."""

MAX_PARTS = 256
"""Parts of all composites in one constraint."""

MAX_OPTIONS = 10_000
"""Texts in one choice."""

MAX_OPTION = 8 * 1024
"""Bytes of one text in a choice: what is forced is looked through again at every token."""

MAX_COUNT = 10_000
"""Of items or properties that a schema may ask for or allow, where it gives a number."""

MAX_MASKS = 16
"""Masks that one step may have to unite and intersect."""


def check_size(constraint: Constraint) -> None:
    """Raises `ConstraintError` for what is too large to be looked at."""
    level, count = [constraint], 0
    for _ in range(MAX_DEPTH):
        level = [part for one in level for part in parts_of(one)]
        count += len(level)
        if count > MAX_PARTS:
            raise ConstraintError(f"a constraint may have {MAX_PARTS} parts at most")
        if not level:
            break
    else:
        raise ConstraintError(f"composites nest {MAX_DEPTH} levels deep at most")
    size = len(msgspec.msgpack.encode(constraint))
    if size > MAX_BYTES:
        raise ConstraintError(f"a constraint may have {MAX_BYTES} bytes at most, got {size}")


def check_choice(choice: Choice) -> None:
    """Raises `ConstraintError` for too many texts, for none, and for one that is too long."""
    if not choice.options:
        raise ConstraintError("a choice needs at least one option")
    if len(choice.options) > MAX_OPTIONS:
        raise ConstraintError(
            f"a choice may have {MAX_OPTIONS} options at most, got {len(choice.options)}"
        )
    longest = max(len(option.encode("utf-8", "replace")) for option in choice.options)
    if longest > MAX_OPTION:
        raise ConstraintError(f"an option may have {MAX_OPTION} bytes at most, got {longest}")


def parser_limits() -> LLParserLimits:
    """llguidance's budgets. Whatever goes past them is an error of the matcher."""
    return LLParserLimits(verbose_errors=False)
