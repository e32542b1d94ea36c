"""Two real vocabularies: the demo model's, and one of 131,072 entries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import mistral_common
from llguidance import LLTokenizer, TokenizerWrapper
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from mods.runtime.grammar.vocabulary import Vocabulary
from mods.sdk.tokenizer import load_tokenizer

ROOT = Path(__file__).parents[4]
TEKKEN = Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"


class Large:
    """A tokenizer over mistral_common's vocabulary, with what strategies and llguidance need."""

    def __init__(self) -> None:
        self._inner = Tekkenizer.from_file(str(TEKKEN))
        self.special_token_ids = list(range(self._inner.num_special_tokens))
        self.eos_token_id, self.bos_token_id = self._inner.eos_id, self._inner.bos_id
        self.tokens = [
            f"<|{token}|>".encode()
            if token in self.special_token_ids
            else self._inner.id_to_byte_piece(token)
            for token in range(self._inner.n_words)
        ]

    def __call__(self, text: str | bytes) -> list[int]:
        return self.encode(text if isinstance(text, str) else text.decode())

    def __len__(self) -> int:
        return len(self.tokens)

    def token_bytes(self, token: int) -> bytes | None:
        return None if token in self.special_token_ids else self.tokens[token]

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return list(self._inner.encode(text, False, False))


class Words:
    """A tokenizer of a few words, which has an end and knows no other text."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.eos_token_id = len(words)

    def __len__(self) -> int:
        return len(self.words) + 1

    def token_bytes(self, token: int) -> bytes | None:
        return self.words[token].encode() if token < len(self.words) else None


@cache
def tokenizer(name: str) -> Any:
    return load_tokenizer(ROOT / "server/demo/model") if name == "demo" else Large()


@cache
def vocabulary(name: str) -> Vocabulary:
    if name == "demo":
        return Vocabulary.from_tokenizer(tokenizer(name))
    large = tokenizer(name)
    return Vocabulary(LLTokenizer(TokenizerWrapper(large)), [large.eos_token_id])


def split_anyhow(text: str, pieces: Sequence[tuple[int, bytes]], choose: Any) -> list[int]:
    """Some way to spell a text, whatever the tokenizer's own is."""
    data, found = text.encode(), []
    while data:
        fitting = [(token, piece) for token, piece in pieces if data.startswith(piece)]
        token, piece = fitting[choose(len(fitting))]
        found.append(token)
        data = data[len(piece) :]
    return found
