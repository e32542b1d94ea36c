"""A model that writes a text of one's choice, split into tokens at random, and the stock mods."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from mods import library
from mods.runtime.grammar.vocabulary import Vocabulary
from mods.runtime.load import load_chain
from mods.runtime.matchers import GrammarMatchers
from mods.runtime.package import Package
from mods.runtime.seat import LoadedMod
from mods.sdk.strategies.pieces import pieces_of
from mods.sdk.testing import ByteTokenizer, Outcome, ScriptedEngine, Trouble, spec_for
from mods.sdk.testing.check import TROUBLES
from mods.sdk.testing.tokenizer import EOS
from mods.sdk.tokenizer import load_tokenizer
from server.demo import MODEL_PATH

LIBRARY = Path(library.__file__).parent
NAMES = sorted(path.stem for path in LIBRARY.glob("[a-z]*.py"))
DEMO = load_tokenizer(MODEL_PATH)
DEMO_WIDTH, DEMO_SENTINEL = 2048, 2047
DEMO_EOS = int(DEMO.eos_token_id or 0)


def stock(name: str) -> LoadedMod:
    """A stock mod, through the door by which uploads come."""
    (mod,) = load_chain([Package.from_folder(LIBRARY / f"{name}.py")], {})
    return mod


def upload(source: str, name: str = "mine") -> LoadedMod:
    (mod,) = load_chain([Package.from_source(source, name=name)], {})
    return mod


class Writes:
    """Writes the first of these texts that the output can still become, and then ends.

    A token that was forbidden is written otherwise, or else the next text is. seed: of how the
    text is split into tokens; None for one byte each.
    """

    def __init__(self, *texts: str, prompt: int, seed: int | None = None) -> None:
        self._texts = [text.encode() for text in texts]
        self._prompt, self._seed = prompt, seed
        self._eos = EOS if seed is None else DEMO_EOS
        self._pieces = pieces(seed is not None)

    def logits(self, context: Sequence[int]) -> NDArray[np.float32]:
        output = b"".join(self._pieces.get(token, b"") for token in context[self._prompt :])
        row = np.zeros(DEMO_WIDTH if self._seed is not None else EOS + 3, dtype=np.float32)
        chance = random.Random(crc32(repr(list(context)).encode(), self._seed or 0))
        for rank, text in enumerate(reversed(self._texts), 1):
            if text.startswith(output):
                rest = text[len(output) :]
                if not rest:
                    row[self._eos] = 30 * rank
                for token, piece in self._pieces.items():
                    if piece and rest.startswith(piece):
                        row[token] = 30 * rank + chance.random()
        row[self._eos] = max(row[self._eos], 1)
        return row


@cache
def pieces(demo: bool) -> dict[int, bytes]:
    """The bytes of every token that is text."""
    if not demo:
        return {byte: bytes([byte]) for byte in range(256)}
    found = {token: pieces_of(DEMO).of(token) or _added(token) for token in range(DEMO_SENTINEL)}
    return {token: piece for token, piece in found.items() if piece}


def _added(token: int) -> bytes:
    """The text of a token that was added to the vocabulary, such as a mark of thoughts."""
    return DEMO.decode([token], skip_special_tokens=True).encode()


@dataclass
class Written:
    """What came of a request. shown: what a stream had shown, each time it showed more."""

    outcome: Outcome
    text: str
    shown: list[str]

    @property
    def streamed(self) -> bool:
        """Whether some of the text was shown before all was there."""
        return len(set(self.shown)) > 2


def written(
    mods: LoadedMod | Sequence[LoadedMod],
    *texts: str,
    seed: int | None = None,
    prompt: str = "hi",
    trouble: Trouble = TROUBLES[0],
    **request: Any,
) -> Written:
    """What such a model's output becomes with these mods. seed: see `Writes`."""
    tokenizer: Any = ByteTokenizer() if seed is None else DEMO
    ids = tokenizer.encode(prompt, add_special_tokens=False)
    fields: dict[str, Any] = {"max_tokens": 400, **request, "prompt": ids}
    if seed is not None:
        demo = {"vocabulary": DEMO_WIDTH, "sentinel": DEMO_SENTINEL, "eos": [DEMO_EOS]}
        fields = {**demo, **fields}
    engine = ScriptedEngine(
        Writes(*texts, prompt=len(ids), seed=seed),
        trouble=trouble,
        tokenizer=tokenizer,
        matchers=None if seed is None else demo_matchers(),
    )
    outcome = engine.run(spec_for(**fields), [mods] if isinstance(mods, LoadedMod) else mods)
    assert not outcome.failed, outcome.message

    def said(tokens: Sequence[int]) -> str:
        return str(tokenizer.decode(list(tokens), skip_special_tokens=True)).rstrip("\ufffd")

    shown = [said(tokens) for tokens in outcome.shown]
    for earlier, later in pairwise(shown):
        assert later.startswith(earlier), (earlier, later)
    return Written(outcome, said(outcome.tokens), shown)


@cache
def demo_matchers() -> GrammarMatchers:
    text = (MODEL_PATH / "tokenizer.json").read_text()
    return GrammarMatchers(Vocabulary.from_text(text, [DEMO_EOS]))


SEEDS = (None, 0, 1, 2, 3)
"""One byte a token, and some ways of splitting the same text with the demo model's tokens."""
