"""Two traces, aligned token by token: where they agree, and what each has where they do not."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any, Literal

from msgspec import Struct

from server.traces.record import Request
from server.traces.story import NOBODY, SAMPLED, STAYED
from server.traces.trace import Trace

MAX_ALIGNED = 3_000
"""Tokens between what both begin and end with, up to which they are aligned one by one."""


class Block(Struct):
    """Tokens `a[0]` to before `a[1]` of the one, and `b[0]` to before `b[1]` of the other."""

    kind: Literal["equal", "replace", "delete", "insert"]
    a: tuple[int, int]
    b: tuple[int, int]


class Piece(Struct, omit_defaults=True):
    """A token of the final output. mod: who put it in. probability: of the draw."""

    token: int
    origin: Literal["prompt", "sampled", "forced"]
    mod: str = ""
    probability: float | None = None


class Diff(Struct):
    """same: how many tokens both begin with. Blocks cover both outputs, in order."""

    a: str
    b: str
    same: int
    tokens_a: list[Piece]
    tokens_b: list[Piece]
    blocks: list[Block]


def diff(a: Trace, b: Trace) -> Diff:
    """A branch's prompt ends with what it kept of its parent's output: that counts as output."""
    shared = _shared_prompt(a.request, b.request)
    pieces_a, pieces_b = _pieces(a, shared), _pieces(b, shared)
    tokens_a = [piece.token for piece in pieces_a]
    tokens_b = [piece.token for piece in pieces_b]
    blocks = align(tokens_a, tokens_b)
    same = blocks[0].a[1] if blocks and blocks[0].kind == "equal" else 0
    return Diff(a.request.request_id, b.request.request_id, same, pieces_a, pieces_b, blocks)


def align(a: Sequence[int], b: Sequence[int]) -> list[Block]:
    """How one becomes the other, in few blocks."""
    head = _common(a, b)
    tail = _common(a[head:][::-1], b[head:][::-1])
    end_a, end_b = len(a) - tail, len(b) - tail
    blocks = [Block("equal", (0, head), (0, head))] if head else []
    blocks += _middle(a[head:end_a], b[head:end_b], head)
    if tail:
        blocks.append(Block("equal", (end_a, len(a)), (end_b, len(b))))
    return blocks


def _middle(a: Sequence[int], b: Sequence[int], offset: int) -> list[Block]:
    if not a and not b:
        return []
    if not a or not b or max(len(a), len(b)) > MAX_ALIGNED:
        kind: Any = "insert" if not a else "delete" if not b else "replace"
        codes: list[Any] = [(kind, 0, len(a), 0, len(b))]
    else:
        codes = SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    return [
        Block(kind, (offset + i, offset + j), (offset + k, offset + n))
        for kind, i, j, k, n in codes
    ]


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    pairs = zip(a, b, strict=False)
    return next((n for n, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))


def _shared_prompt(a: Request, b: Request) -> int:
    """Tokens of both prompts that are prompt. Where the prompts differ, all of each is."""
    one, other = a.user_prompt_token_ids, b.user_prompt_token_ids
    short = min(len(one), len(other))
    return short if one[:short] == other[:short] else max(len(one), len(other))


def _pieces(trace: Trace, shared: int) -> list[Piece]:
    request, story = trace.request, trace.story
    names = [mod.name for mod in request.mods]
    pieces = [Piece(token, "prompt") for token in request.user_prompt_token_ids[shared:]]
    if not story.tokens:
        return pieces + [Piece(token, "sampled") for token in request.final_token_ids]
    for entry, token in enumerate(story.tokens):
        if story.erased[entry] != STAYED:
            continue
        mod = story.mods[entry]
        drawn = story.origins[entry] == SAMPLED
        pieces.append(
            Piece(
                token,
                "sampled" if drawn else "forced",
                "" if mod == NOBODY else names[mod],
                story.probabilities[entry],
            )
        )
    return pieces
