"""Between text and tokens, with any tokenizer that looks like Hugging Face's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def ids_of(text: str | Sequence[int], tokenizer: Any) -> list[int]:
    """Token ids of a text, or the ids themselves."""
    if isinstance(text, str):
        return [int(i) for i in tokenizer.encode(text, add_special_tokens=False)] if text else []
    return [int(token) for token in text]


def ends_of(tokenizer: Any) -> frozenset[int]:
    """Tokens that are no text: the end of sequence, and all other special ones."""
    eos = getattr(tokenizer, "eos_token_id", None)
    special = getattr(tokenizer, "all_special_ids", ())
    return frozenset((*special, *(() if eos is None else (eos,))))


def text_after(before: Sequence[int], tokens: Sequence[int], tokenizer: Any) -> str:
    """The text that these tokens add to the ones before: some tokenizers drop a first space."""
    text: str = tokenizer.decode([*before, *tokens])
    return text[len(tokenizer.decode(list(before))) :]
