"""The bytes of tokens are read as the engine's grammars read them."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend
from tokenizers.decoders import ByteFallback, Fuse, Replace, Strip
from tokenizers.decoders import Sequence as Decoders
from tokenizers.models import BPE

from mods.runtime.grammar.vocabulary import Vocabulary
from mods.sdk.strategies.pieces import Pieces, pieces_of
from mods.sdk.testing import ByteTokenizer
from mods.sdk.tokenizer import Tokenizer
from tests.mods.sdk.strategies.vocabularies import tokenizer, vocabulary


def sentence_pieces() -> Tokenizer:
    """A small vocabulary as SentencePiece writes it, with bytes to fall back on."""
    entries = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    entries += ["▁", "a", "▁a", "é", "▁▁", "a▁a"]
    model = BPE(
        {entry: number for number, entry in enumerate(entries)},
        [],
        unk_token="<unk>",
        fuse_unk=True,
        byte_fallback=True,
    )
    backend = Backend(model)
    backend.decoder = Decoders([Replace("▁", " "), ByteFallback(), Fuse(), Strip(" ", 1, 0)])
    backend.add_tokens([AddedToken("<tool>", special=False)])
    return Tokenizer(backend, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})


def compared(ours: Pieces, theirs: Vocabulary, size: int) -> None:
    for token in range(size):
        special = theirs.tokens.is_special_token(token) or token in theirs.eos
        expected = None if special else theirs.tokens.decode_bytes([token]) or None
        if ours.of(token) != b"\xff":  # no text has it, and llguidance marks special tokens by it
            assert ours.of(token) == expected, token


def test_byte_level_pieces_are_those_of_the_demo_model_s_grammars() -> None:
    compared(pieces_of(tokenizer("demo")), vocabulary("demo"), len(tokenizer("demo")))


def test_the_pieces_of_131k_entries_are_those_of_its_grammars() -> None:
    ours, theirs = pieces_of(tokenizer("large")), vocabulary("large")
    for token in range(0, len(tokenizer("large")), 97):
        special = token in tokenizer("large").special_token_ids
        assert ours.of(token) == (None if special else theirs.tokens.decode_bytes([token]))


def test_pieces_of_sentence_piece_have_spaces_and_bytes() -> None:
    made = sentence_pieces()
    known = pieces_of(made)
    vocab = made.get_vocab()
    assert known.of(vocab["▁a"]) == b" a"
    assert known.of(vocab["a▁a"]) == b"a a"
    assert known.of(vocab["<0xC3>"]) == b"\xc3"
    assert known.of(vocab["</s>"]) is None
    assert known.of(vocab["<tool>"]) is None
    assert known.spell_all


def test_a_tokenizer_without_a_vocabulary_is_decoded_token_by_token() -> None:
    known = pieces_of(ByteTokenizer())
    assert known.of(ord("a")) == b"a"
    assert known.of(0xC3) is None
    assert known.of(256) is None
    assert not known.spell_all


def test_a_tokenizer_s_pieces_are_worked_out_once() -> None:
    made = sentence_pieces()
    assert pieces_of(made) is pieces_of(made)


class Unhashable(ByteTokenizer):
    __hash__: Any = None


@pytest.mark.parametrize("kind", [Unhashable])
def test_a_tokenizer_that_cannot_be_kept_is_read_each_time(kind: Any) -> None:
    assert pieces_of(kind()).of(ord("a")) == b"a"
