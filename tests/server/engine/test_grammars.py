"""Grammars on their way to the worker, over the real socket."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mods.runtime.grammar.compile import compile_constraint
from mods.runtime.grammar.grammar import Grammar
from mods.runtime.grammar.vocabulary import Vocabulary
from mods.sdk.constraints import choice
from mods.sdk.errors import ConstraintError
from mods.sdk.tokenizer import load_tokenizer
from processors.grammars import Grammars, Prepare, Prepared
from server.demo import MODEL_PATH
from server.engine.grammars import GrammarLink


class Counting(Grammars):
    """Counts what it is asked to prepare."""

    asked = 0

    def _answer(self, message: Prepare) -> Prepared:
        self.asked += 1
        return super()._answer(message)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.from_tokenizer(load_tokenizer(MODEL_PATH))


@pytest.fixture
def run_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:  # a socket's path must be short
        yield Path(folder)


def grammar(word: str) -> Grammar:
    return compile_constraint(choice([word]))


async def test_a_grammar_travels_once(vocabulary: Vocabulary, run_dir: Path) -> None:
    worker, link = Counting(lambda: vocabulary), GrammarLink(run_dir)
    worker.listen(run_dir)
    for word in ("yes", "yes", "no", "yes"):
        await link.prepare(grammar(word))
        assert worker.matcher(grammar(word).digest) is not None
    assert worker.asked == 2
    link.close()


async def test_one_that_cannot_be_compiled_is_refused_each_time(
    vocabulary: Vocabulary, run_dir: Path
) -> None:
    worker, link = Counting(lambda: vocabulary), GrammarLink(run_dir)
    worker.listen(run_dir)
    bad = Grammar(grammar("yes").digest[::-1], ("start: nothing",), ("",))
    for _ in range(2):
        with pytest.raises(ConstraintError):
            await link.prepare(bad)
    assert worker.asked == 2
    link.close()
