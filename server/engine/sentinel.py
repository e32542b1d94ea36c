"""The token id that ends a segment: forced by the processor, and never drawn otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def choose_sentinel(tokenizer: Any, vocabulary: int, ends: Sequence[int] = ()) -> int:
    """The id that no text would miss: padding beyond the tokenizer, then a special token.

    vocabulary: the width of a row of logits. ends: ids that end a generation by themselves. Only
    a model with neither gives up an ordinary id, its last one, for requests with mods.
    """
    known = max(tokenizer.get_vocab().values(), default=-1) + 1
    if known < vocabulary:
        return vocabulary - 1
    taken = {getattr(tokenizer, "eos_token_id", None), *ends}
    candidates = [
        getattr(tokenizer, "pad_token_id", None),
        getattr(tokenizer, "bos_token_id", None),
        getattr(tokenizer, "unk_token_id", None),
        *reversed(getattr(tokenizer, "all_special_ids", [])),
    ]
    for candidate in candidates:
        if candidate is not None and candidate not in taken and 0 <= candidate < vocabulary:
            return int(candidate)
    return vocabulary - 1
