"""The bytes of a tokenizer's tokens, side by side: what the token form of a strategy walks over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

_BROKEN = "�"
_BYTE_TOKENS = tuple(f"<0x{byte:02X}>" for byte in range(256))


class Pieces:
    """Tokens that are text, with their bytes; added tokens and unknown ones are not among them.

    ids: shape [tokens]. flat: all bytes, one token behind the other. starts: where each begins.
    lengths: bytes of each, 1 or more.
    """

    def __init__(self, pieces: Mapping[int, bytes]) -> None:
        known = {token: piece for token, piece in pieces.items() if piece}
        self.ids = np.fromiter(known, dtype=np.int32, count=len(known))
        self.lengths = np.fromiter(map(len, known.values()), dtype=np.int32, count=len(known))
        self.flat = np.frombuffer(b"".join(known.values()), dtype=np.uint8)
        self.starts = np.cumsum(self.lengths, dtype=np.int64) - self.lengths
        self._of = known

    def of(self, token: int) -> bytes | None:
        """One token's bytes; None if it is no text."""
        return self._of.get(token)

    def column(self, at: int, among: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Byte number `at` of the tokens at these places."""
        column: NDArray[np.uint8] = self.flat[self.starts[among] + at]
        return column

    @property
    def spell_all(self) -> bool:
        """Whether every byte is a token by itself, so that every text can be spelled."""
        single = self.flat[self.starts[self.lengths == 1]]
        return len(np.unique(single)) == 256


_known: WeakKeyDictionary[Any, Pieces] = WeakKeyDictionary()


def pieces_of(tokenizer: Any) -> Pieces:
    """A tokenizer's pieces, worked out once: up to half a second for 131k entries.

    The tokenizer may say them itself, by a method `token_bytes(id)`. Else they are read from its
    vocabulary, in the spelling of byte-level BPE or of SentencePiece, or decoded one by one.
    """
    try:
        return _known[tokenizer]
    except (KeyError, TypeError):
        made = Pieces(_read(tokenizer))
    with suppress(TypeError):  # it can be neither hashed nor referred to weakly
        _known[tokenizer] = made
    return made


def _read(tokenizer: Any) -> dict[int, bytes]:
    said: Callable[[int], bytes | None] | None = getattr(tokenizer, "token_bytes", None)
    if said is not None:
        return {token: said(token) or b"" for token in range(len(tokenizer))}
    special = _special(tokenizer)
    entries: dict[str, int] = getattr(tokenizer, "get_vocab", dict)()
    spelling = _spelling(entries)
    if spelling is None:
        ordinary = (token for token in range(len(tokenizer)) if token not in special)
        return {token: _decoded(tokenizer, token) for token in ordinary}
    return {token: spelling(entry) for entry, token in entries.items() if token not in special}


def _spelling(entries: Mapping[str, int]) -> Callable[[str], bytes] | None:
    """How a vocabulary spells bytes; None if it is neither of the two that are known."""
    if all(character in entries for character in _byte_level()):
        return _from_byte_level
    if all(entry in entries for entry in _BYTE_TOKENS):
        return _from_sentence_piece
    return None


def _special(tokenizer: Any) -> set[int | None]:
    """Tokens that stand for more than their text: all that were added to the vocabulary."""
    backend = getattr(tokenizer, "_backend", None) or getattr(tokenizer, "backend_tokenizer", None)
    added: dict[int, Any] = getattr(backend, "get_added_tokens_decoder", dict)()
    listed = getattr(tokenizer, "all_special_ids", ())
    return {*listed, *added, getattr(tokenizer, "eos_token_id", None)}


@cache
def _byte_level() -> dict[str, int]:
    """The characters by which byte-level BPE writes bytes: printable ones stand for themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + place): byte for place, byte in enumerate(others)
    }


def _from_byte_level(entry: str) -> bytes:
    table = _byte_level()
    if any(character not in table for character in entry):
        return entry.encode()
    return bytes(table[character] for character in entry)


def _from_sentence_piece(entry: str) -> bytes:
    if entry in _BYTE_TOKENS:
        return bytes((int(entry[3:5], 16),))
    return entry.replace("▁", " ").encode()


def _decoded(tokenizer: Any, token: int) -> bytes:
    text: str = tokenizer.decode([token])
    return b"" if _BROKEN in text else text.encode()
