"""A vocabulary is the same from whatever tokenizer it is made."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer as Backend

from mods.runtime.grammar.compile import compile_constraint
from mods.runtime.grammar.matcher import Matcher
from mods.runtime.grammar.source import VocabularySource
from mods.runtime.grammar.vocabulary import Vocabulary
from mods.sdk.constraints import Regex
from mods.sdk.tokenizer import load_tokenizer
from tests.mods.runtime.grammar.conftest import TOKENIZER


def test_it_comes_from_a_text_from_the_sdks_tokenizer_and_from_transformers_own() -> None:
    text = TOKENIZER.read_text()
    backend = Backend.from_str(text)
    backend.enable_truncation(4)
    backend.enable_padding(length=4)
    transformers = SimpleNamespace(backend_tokenizer=backend, eos_token_id=1)
    for vocabulary in (
        Vocabulary.from_text(text, [1], 2112),
        Vocabulary.from_tokenizer(load_tokenizer(TOKENIZER.parent), 2112),
        Vocabulary.from_tokenizer(transformers, 2112, eos=[1]),
        VocabularySource.of(transformers, 2112).vocabulary(),
    ):
        assert vocabulary.width == 2112
        assert vocabulary.words == 66
        assert vocabulary.eos == (1,)
        assert vocabulary.text(vocabulary.encode("some longer text")) == "some longer text"
    assert backend.truncation is not None


def test_several_tokens_may_end_an_output() -> None:
    vocabulary = Vocabulary.from_tokenizer(load_tokenizer(TOKENIZER.parent), eos=[2, 1])
    assert vocabulary.eos == (1, 2)
    matcher = Matcher(compile_constraint(Regex("a*")), vocabulary)
    row = vocabulary.row()
    matcher.fill(row)
    assert {1, 2} <= set(vocabulary.allowed(row))
    for end in (1, 2):
        copy = matcher.copy()
        assert copy.consume([end]) == 1
        assert copy.stopped


def test_a_width_below_the_tokenizers_is_raised() -> None:
    assert Vocabulary.from_text(TOKENIZER.read_text(), [1], 100).width == 2048


def test_padding_is_special_and_has_no_name() -> None:
    vocabulary = Vocabulary.from_text(TOKENIZER.read_text(), [1], 2112)
    names = dict(vocabulary.specials)
    assert names["<|user|>"] == 4
    assert all(token < 2048 for token in names.values())
    plain = set(vocabulary.allowed(vocabulary.plain))
    assert not plain & set(names.values())
    assert max(plain) < 2048
    assert 1 in plain


@pytest.mark.parametrize("text", ["", "{}", "[]", json.dumps({"model": {}})])
def test_what_is_no_tokenizer_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no tokenizer\.json"):
        Vocabulary.from_text(text, [1])


def test_a_tokenizer_without_an_end_or_without_a_text_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        Vocabulary.from_text(TOKENIZER.read_text(), [])
    with pytest.raises(ValueError, match="fast tokenizer"):
        Vocabulary.from_tokenizer(SimpleNamespace(eos_token_id=1))
    with pytest.raises(ValueError, match="SentencePiece"):
        Vocabulary.from_tokenizer(SimpleNamespace(eos_token_id=1, is_tekken=False))


def test_mistrals_own_vocabulary_of_131072_tokens() -> None:
    from importlib.resources import files

    path = files("mistral_common") / "data/tekken_240911.json"
    vocabulary = VocabularySource((2,), tekken=str(path)).vocabulary()
    assert vocabulary.width == 131_072
    matcher = Matcher(compile_constraint(Regex("[a-z ]+")), vocabulary)
    tokens = vocabulary.encode("hello world")
    assert matcher.consume(tokens) == len(tokens)
