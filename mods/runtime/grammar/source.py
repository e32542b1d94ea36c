"""Where a vocabulary comes from, as data that another process can make it from again."""

from __future__ import annotations

from typing import Any

import msgspec
from llguidance import LLTokenizer, TokenizerWrapper

from mods.runtime.grammar.vocabulary import Vocabulary, is_tekken, text_of


class VocabularySource(msgspec.Struct, frozen=True):
    """One of: the text of a `tokenizer.json`, or the path of a Tekken file of Mistral's.

    width: entries in a row of logits, the tokenizer's own size if None. eos: what ends an output.
    """

    eos: tuple[int, ...]
    width: int | None = None
    tokenizer: str | None = None
    tekken: str | None = None

    @classmethod
    def of(
        cls, tokenizer: Any, width: int | None = None, eos: tuple[int, ...] = ()
    ) -> VocabularySource:
        """From a tokenizer as `Vocabulary.from_tokenizer` takes it. Raises ValueError."""
        ends = tuple(int(end) for end in (tokenizer.eos_token_id, *eos) if end is not None)
        if is_tekken(tokenizer):
            return cls(ends, tekken=str(tokenizer.tokenizer.file_path))
        return cls(ends, width, tokenizer=text_of(tokenizer))

    def vocabulary(self) -> Vocabulary:
        """Built anew. Raises ValueError for a tokenizer that cannot be read."""
        if self.tokenizer is not None:
            return Vocabulary.from_text(self.tokenizer, self.eos, self.width)
        assert self.tekken is not None, "a source has one of the two"
        from mistral_common.guidance.tokenizer import MistralLLGTokenizer
        from mistral_common.tokens.tokenizers.tekken import Tekkenizer

        wrapped = TokenizerWrapper(MistralLLGTokenizer(Tekkenizer.from_file(self.tekken)))
        return Vocabulary(LLTokenizer(wrapped), self.eos)
