"""A model's vocabulary as grammars see it: the bytes of each token, and how wide a row is.

Building one reads the whole tokenizer and costs up to a second, so a process builds it once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
from llguidance import LLTokenizer
from numpy.typing import NDArray

BITS = 32
"""Tokens in one word of a mask."""


class Vocabulary:
    """Tokens, ends and width of one model.

    tokens: llguidance's view of the tokenizer. width: entries in a row of logits; ids past the
    tokenizer's own are never allowed. eos: the ids that end an output.
    """

    def __init__(self, tokens: LLTokenizer, eos: Sequence[int]) -> None:
        self.tokens = tokens
        self.width: int = tokens.vocab_size
        self.eos = tuple(dict.fromkeys(int(token) for token in eos))
        if not all(0 <= token < self.width for token in self.eos):
            raise ValueError(f"ends of output must lie in 0 to {self.width - 1}, got {self.eos}")

    @classmethod
    def from_text(cls, tokenizer: str, eos: Sequence[int], width: int | None = None) -> Vocabulary:
        """From the text of a `tokenizer.json`. A width below the tokenizer's own size is raised.

        Raises ValueError for a text that is no tokenizer, or without an end of output.
        """
        return cls(_built(tokenizer, width, list(eos)), eos)

    @classmethod
    def from_tokenizer(
        cls, tokenizer: Any, width: int | None = None, eos: Sequence[int] = ()
    ) -> Vocabulary:
        """From a fast Hugging Face tokenizer, vLLM's, its Mistral one, or the SDK's.

        eos: what ends an output besides the tokenizer's own end. Raises ValueError for any other
        tokenizer.
        """
        ends = [int(token) for token in (tokenizer.eos_token_id, *eos) if token is not None]
        if is_tekken(tokenizer):
            return cls(tokenizer.llg_tokenizer, ends)
        return cls.from_text(text_of(tokenizer), ends, width)

    @property
    def words(self) -> int:
        """32-bit words in one row of a mask."""
        return (self.width + BITS - 1) // BITS

    def row(self) -> NDArray[np.int32]:
        """A mask that allows nothing. Shape: [words], int32."""
        return np.zeros(self.words, np.int32)

    def allowed(self, row: NDArray[np.int32]) -> list[int]:
        """The ids that a mask allows, ascending."""
        bits = np.unpackbits(row.view(np.uint8), bitorder="little")[: self.width]
        return [int(token) for token in bits.nonzero()[0]]

    @cached_property
    def plain(self) -> NDArray[np.int32]:
        """A mask of the tokens that are text, and of the ends. Shape: [words], int32."""
        bits = np.zeros(self.words * BITS, np.uint8)
        special = self.tokens.is_special_token
        text = [token for token in range(self.width) if not special(token)]
        bits[[*text, *self.eos]] = 1
        return np.packbits(bits, bitorder="little").view(np.int32)

    @cached_property
    def specials(self) -> tuple[tuple[str, int], ...]:
        """Special tokens, name and id, without the ends of output and the ids that mean nothing."""
        found = []
        for token in range(self.width):
            if self.tokens.is_special_token(token) and token not in self.eos:
                name = self.tokens.decode_str([token])
                if name and name != f"<[{token}]>":
                    found.append((name, token))
        return tuple(found)

    def encode(self, text: str) -> list[int]:
        """The text's ids as the tokenizer splits it, without special tokens."""
        ids: list[int] = self.tokens.tokenize_str(text)
        return ids

    def text(self, tokens: Sequence[int]) -> str:
        """The tokens' text, for messages; bytes that are no UTF-8 become replacement marks."""
        known = [token for token in tokens if 0 <= token < self.width and token not in self.eos]
        told: str = self.tokens.decode_str(known)
        return told


def _built(text: str, width: int | None, eos: list[int]) -> LLTokenizer:
    """Raises ValueError for a text that is no tokenizer."""
    size = _size(text)
    if not eos:
        raise ValueError("a vocabulary needs at least one token that ends an output, got none")
    return LLTokenizer(text, n_vocab=max(width or 0, size), eos_token=eos)


def _size(text: str) -> int:
    """Ids that the tokenizer knows, added tokens among them."""
    try:
        content = json.loads(text)
        listed = content["model"]["vocab"]
        added = [token["id"] for token in content.get("added_tokens") or ()]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"this is no tokenizer.json: {error!r:.200}") from error
    own = max(listed.values()) if isinstance(listed, dict) else len(listed) - 1
    return int(max([own, *added])) + 1


def is_tekken(tokenizer: Any) -> bool:
    """Whether it is vLLM's tokenizer for Mistral's Tekken files. Raises ValueError for the other,

    older kind of Mistral's, which cannot carry constraints.
    """
    mistral = getattr(tokenizer, "is_tekken", None)
    if mistral is False:
        raise ValueError("constraints need a fast tokenizer, got a SentencePiece Mistral one")
    return bool(mistral)


def text_of(tokenizer: Any) -> str:
    """The `tokenizer.json` of a fast tokenizer, without padding and truncation.

    Raises ValueError for a tokenizer that has none.
    """
    backend: Any = getattr(tokenizer, "backend_tokenizer", getattr(tokenizer, "_backend", None))
    if not hasattr(backend, "to_str"):
        raise ValueError(f"constraints need a fast tokenizer, got {type(tokenizer).__name__}")
    own = copy(backend)
    own.no_padding()
    own.no_truncation()
    text: str = own.to_str()
    return text
