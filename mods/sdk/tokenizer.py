"""A light façade over `tokenizers` that looks like a Hugging Face tokenizer.

A host process needs text to ids and back, at once and in little memory; importing transformers
for that would cost it seconds. Decoding never cleans up spaces: ids that were split over two
calls must give the same text as in one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

_NAMED = tuple(f"{name}_token" for name in ("bos", "eos", "pad", "unk", "sep", "cls", "mask"))
_LISTED = ("extra_special_tokens", "additional_special_tokens")


class Tokenizer:
    """Text to token ids and back.

    special: special tokens by name, such as {"eos_token": "</s>"}. extra: more special tokens.
    """

    def __init__(
        self, backend: Backend, special: Mapping[str, str] | None = None, extra: Sequence[str] = ()
    ) -> None:
        self._backend = backend
        self._special = dict(special or {})
        self._extra = list(extra)
        tokens = [*self._special.values(), *self._extra]
        backend.add_special_tokens(
            [AddedToken(token, special=True, normalized=False) for token in tokens]
        )

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """The text's token ids."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    def decode(
        self, ids: Iterable[int] | int, skip_special_tokens: bool = False, **_unused: object
    ) -> str:
        """The ids' text, spaces as they are. numpy integers and arrays are ids too.

        Other keywords that Hugging Face tokenizers know are accepted and change nothing.
        """
        text: str = self._backend.decode(_integers(ids), skip_special_tokens=skip_special_tokens)
        return text

    @overload
    def convert_ids_to_tokens(self, ids: int) -> str | None: ...
    @overload
    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str | None]: ...
    def convert_ids_to_tokens(self, ids: Iterable[int] | int) -> str | list[str | None] | None:
        """The vocabulary's entry of one id or of several; None for an id that has none."""
        tokens = [self._backend.id_to_token(index) for index in _integers(ids)]
        return tokens if isinstance(ids, Iterable) else tokens[0]

    def convert_tokens_to_ids(self, tokens: Iterable[str] | str) -> int | list[int | None] | None:
        """The id of one vocabulary entry or of several; the unknown token's where there is none."""
        if isinstance(tokens, str):
            return self._id_or_unknown(tokens)
        return [self._id_or_unknown(token) for token in tokens]

    def get_vocab(self) -> dict[str, int]:
        """All entries with their ids, added tokens among them."""
        vocabulary: dict[str, int] = self._backend.get_vocab(with_added_tokens=True)
        return vocabulary

    @property
    def vocab_size(self) -> int:
        """Entries without the added tokens; `len()` counts those too."""
        return int(self._backend.get_vocab_size(with_added_tokens=False))

    def __len__(self) -> int:
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens that have a name or were listed, each once."""
        return list(dict.fromkeys([*self._special.values(), *self._extra]))

    @property
    def all_special_ids(self) -> list[int]:
        found = (self._backend.token_to_id(token) for token in self.all_special_tokens)
        return [index for index in found if index is not None]

    @property
    def bos_token(self) -> str | None:
        return self._special.get("bos_token")

    @property
    def eos_token(self) -> str | None:
        return self._special.get("eos_token")

    @property
    def pad_token(self) -> str | None:
        return self._special.get("pad_token")

    @property
    def unk_token(self) -> str | None:
        return self._special.get("unk_token")

    @property
    def bos_token_id(self) -> int | None:
        return self._id_of("bos_token")

    @property
    def eos_token_id(self) -> int | None:
        return self._id_of("eos_token")

    @property
    def pad_token_id(self) -> int | None:
        return self._id_of("pad_token")

    @property
    def unk_token_id(self) -> int | None:
        return self._id_of("unk_token")

    def _id_or_unknown(self, token: str) -> int | None:
        index: int | None = self._backend.token_to_id(token)
        return self.unk_token_id if index is None else index

    def _id_of(self, name: str) -> int | None:
        token = self._special.get(name)
        return None if token is None else self._backend.token_to_id(token)


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer of a model's folder: `tokenizer.json`, and `tokenizer_config.json` if there.

    Raises FileNotFoundError without a `tokenizer.json`, ValueError for one that is malformed.
    """
    file = Path(folder) / "tokenizer.json"
    if not file.is_file():
        raise FileNotFoundError(
            f"no tokenizer.json in {folder}: mods need a model with a fast tokenizer;"
            " save one with `AutoTokenizer.from_pretrained(…).save_pretrained(folder)`"
        )
    try:
        backend = Backend.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"{file} is no tokenizer that can be read: {error}") from error
    backend.no_truncation()
    backend.no_padding()
    return Tokenizer(backend, *_special_tokens(file.with_name("tokenizer_config.json")))


def tokenize(text: str, tokenizer: Any, *, add_special_tokens: bool = False) -> list[int]:
    """The text's ids, without special tokens unless asked for. Any tokenizer with `encode` does."""
    return [int(i) for i in tokenizer.encode(text, add_special_tokens=add_special_tokens)]


def _special_tokens(config: Path) -> tuple[dict[str, str], list[str]]:
    """Named and listed special tokens; each is a string, or a dict with its `content`."""
    if not config.is_file():
        return {}, []
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{config} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{config} must hold a JSON object, got {type(values).__name__}")
    named = {name: _content(values[name]) for name in _NAMED if values.get(name)}
    extra = [_content(token) for key in _LISTED for token in _entries(values.get(key))]
    return named, list(dict.fromkeys(extra))


def _entries(listed: Any) -> Iterable[Any]:
    """Extra special tokens come as a list, or as a dict by name."""
    return listed.values() if isinstance(listed, dict) else listed or ()


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)


def _integers(ids: Any) -> list[int]:
    """Plain integers from one id, a sequence, or an array of any shape."""
    if hasattr(ids, "ravel"):
        ids = ids.ravel()
    return [int(i) for i in ids] if isinstance(ids, Iterable) else [int(ids)]
