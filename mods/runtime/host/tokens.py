"""What of the model's vocabulary its tokenizer does not say, and hosts need for constraints."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mods.runtime.grammar.options import Options
from mods.runtime.matchers import GrammarMatchers


class ModelTokens(msgspec.Struct, frozen=True):
    """width: entries in a row of logits. ends: the ids that end a generation. options: what the
    server decided about all constraints.
    """

    width: int
    ends: tuple[int, ...]
    options: Options = Options()


def matchers_of(folder: Path, tokens: ModelTokens) -> GrammarMatchers | None:
    """Matchers for the tokenizer in this folder, None if it has none that grammars can use."""
    from mods.runtime.grammar.vocabulary import Vocabulary

    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    try:
        vocabulary = Vocabulary.from_text(text, tokens.ends, tokens.width)
    except ValueError:
        return None
    return GrammarMatchers(vocabulary, tokens.options)
