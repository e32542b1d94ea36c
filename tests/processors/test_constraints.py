"""Matchers by row: advanced by tokens, rebuilt by replay, and their masks."""

from __future__ import annotations

import socket
from pathlib import Path

import msgspec
import numpy as np
import pytest
from llguidance import LLMatcher

from mods.runtime.grammar.grammar import Grammar
from mods.runtime.grammar.vocabulary import Vocabulary
from mods.runtime.host.frames import Frames, frame
from processors.constraints import Masks
from processors.grammars import SOCKET_NAME, Grammars, Prepare, Prepared
from processors.rows import Row, SegmentArgs
from server.demo import MODEL_PATH

DIGITS = Grammar("digits", (LLMatcher.grammar_from_regex("[0-9]{3}"),), ("digits",))
LETTERS = Grammar("letters", (LLMatcher.grammar_from_regex("[a-z0-9]{4}"),), ("letters",))
BROKEN = Grammar("broken", (LLMatcher.grammar_from_regex("["),), ("broken",))


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.from_text((MODEL_PATH / "tokenizer.json").read_text(), [0])


@pytest.fixture
def grammars(vocabulary: Vocabulary) -> Grammars:
    made = Grammars(lambda: vocabulary)
    assert made.prepare(DIGITS) is None
    assert made.prepare(LETTERS) is None
    return made


def row_of(
    *held: tuple[str, int, bool],
    kept: tuple[int, ...] = (),
    output: tuple[int, ...] = (),
    **more: object,
) -> Row:
    args = SegmentArgs("host", 1, 1, len(kept), 0, 1, False, 0.0, 0, held=held, **more)  # type: ignore[arg-type]
    return Row(args, [5, 6, *kept], list(output))


def allowed(masks: Masks, row: Row, vocabulary: Vocabulary) -> set[str] | None:
    masks.begin({3: row})
    words = masks.collect().get(3)
    if words is None:
        return None
    return {vocabulary.tokens.decode_str([t]) for t in vocabulary.allowed(np.array(words))}


def test_a_row_may_draw_only_what_its_constraint_allows(
    grammars: Grammars, vocabulary: Vocabulary
) -> None:
    found = allowed(Masks(grammars), row_of(("digits", 0, True)), vocabulary)
    assert found is not None
    assert "7" in found
    assert all(piece.isdigit() and len(piece) <= 3 for piece in found)


def test_kept_tokens_are_replayed(grammars: Grammars, vocabulary: Vocabulary) -> None:
    kept = tuple(vocabulary.encode("12"))
    found = allowed(Masks(grammars), row_of(("digits", 0, True), kept=kept), vocabulary)
    assert found is not None
    assert {len(piece) for piece in found} == {1}


def test_a_constraint_holds_from_its_start(grammars: Grammars, vocabulary: Vocabulary) -> None:
    kept = tuple(vocabulary.encode("no"))
    row = row_of(("digits", len(kept), False), kept=kept)
    found = allowed(Masks(grammars), row, vocabulary)
    assert found is not None
    assert "7" in found


def test_a_row_that_grows_is_advanced_by_its_new_tokens(
    grammars: Grammars, vocabulary: Vocabulary
) -> None:
    masks, row = Masks(grammars), row_of(("digits", 0, True))
    allowed(masks, row, vocabulary)
    row.output = vocabulary.encode("123")
    found = allowed(masks, row, vocabulary)
    assert found == {vocabulary.tokens.decode_str([0])}


def test_a_mods_constraint_is_lifted_when_it_is_complete(
    grammars: Grammars, vocabulary: Vocabulary
) -> None:
    masks, row = Masks(grammars), row_of(("digits", 0, False), quiet=True)
    allowed(masks, row, vocabulary)
    assert not row.asked
    row.output = vocabulary.encode("123")
    assert allowed(masks, row, vocabulary) is None
    assert row.asked
    assert row.feed().earlier == vocabulary.encode("123")[:-1]


def test_several_constraints_hold_together(grammars: Grammars, vocabulary: Vocabulary) -> None:
    row = row_of(("digits", 0, True), ("letters", 0, False))
    found = allowed(Masks(grammars), row, vocabulary)
    assert found is not None
    assert "7" in found
    assert "a" not in found


def test_a_token_against_the_constraint_leaves_nothing(
    grammars: Grammars, vocabulary: Vocabulary
) -> None:
    row = row_of(("digits", 0, True), output=tuple(vocabulary.encode("x")))
    assert allowed(Masks(grammars), row, vocabulary) == set()


def test_a_grammar_that_is_not_there_leaves_nothing(
    grammars: Grammars, vocabulary: Vocabulary
) -> None:
    assert allowed(Masks(grammars), row_of(("other", 0, True)), vocabulary) == set()


def test_before_the_reasoning_ends_nothing_is_forbidden(
    grammars: Grammars, vocabulary: Vocabulary
) -> None:
    masks, row = Masks(grammars), row_of(("digits", -1, True), reasoning_end=9)
    assert allowed(masks, row, vocabulary) is None
    row.output = [8, 9]
    found = allowed(masks, row, vocabulary)
    assert found is not None
    assert all(piece.isdigit() for piece in found)


def test_the_worker_compiles_what_it_is_sent_and_says_what_is_wrong(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    grammars = Grammars(lambda: vocabulary)
    grammars.listen(tmp_path)
    frames, decoder = Frames(), msgspec.msgpack.Decoder(Prepared)
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(10)
        stream.connect(str(tmp_path / SOCKET_NAME))
        answers: list[Prepared] = []
        stream.sendall(frame(Prepare(1, DIGITS)) + frame(Prepare(2, BROKEN)))
        while len(answers) < 2:
            answers += [decoder.decode(body) for body in frames.add(stream.recv(2**16))]
    assert answers[0] == Prepared(1)
    assert answers[1].error
    assert grammars.matcher("digits") is not None
    assert grammars.matcher("broken") is None
