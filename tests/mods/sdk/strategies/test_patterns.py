"""The algebra under the strategies says of bytes what Python says of texts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mods.sdk.strategies.characters import ANY, CharacterSet, begun, letters
from mods.sdk.strategies.patterns import (
    EMPTY,
    NOTHING,
    Pattern,
    accepts,
    after,
    chars,
    either,
    literal,
    nullable,
    repeat,
    sequence,
    shortest,
)

QUICK = settings(max_examples=150, deadline=None, database=None)


def patterns() -> st.SearchStrategy[tuple[Pattern, str]]:
    """Patterns over a, b and é, each beside the same as a regular expression."""
    leaves = st.one_of(
        st.text("abé", max_size=2).map(lambda text: (literal(text), text)),
        st.text("abé", min_size=1, max_size=3).map(
            lambda text: (chars(CharacterSet.of(text)), f"[{text}]")
        ),
    )

    def grown(
        inner: st.SearchStrategy[tuple[Pattern, str]],
    ) -> st.SearchStrategy[tuple[Pattern, str]]:
        return st.one_of(
            st.tuples(inner, inner).map(
                lambda two: (sequence(two[0][0], two[1][0]), f"{two[0][1]}{two[1][1]}")
            ),
            st.tuples(inner, inner).map(
                lambda two: (either((two[0][0], two[1][0])), f"(?:{two[0][1]}|{two[1][1]})")
            ),
            st.tuples(inner, st.integers(0, 2), st.integers(0, 2) | st.none()).map(
                lambda three: (
                    repeat(three[0][0], three[1], None if three[2] is None else sum(three[1:])),
                    f"(?:{three[0][1]}){{{three[1]},{'' if three[2] is None else sum(three[1:])}}}",
                )
            ),
        )

    return st.recursive(leaves, grown, max_leaves=5)


@QUICK
@given(patterns(), st.text("abé", max_size=6))
def test_a_pattern_accepts_what_the_regular_expression_does(
    both: tuple[Pattern, str], text: str
) -> None:
    pattern, expression = both
    assert accepts(pattern, text.encode()) == bool(re.fullmatch(expression, text))


@QUICK
@given(patterns(), st.text("abé", max_size=6))
def test_the_shortest_of_a_pattern_begins_with_no_other_of_its_texts(
    both: tuple[Pattern, str], text: str
) -> None:
    pattern, expression = both
    whole = [end for end in range(len(text) + 1) if re.fullmatch(expression, text[:end])]
    assert accepts(shortest(pattern), text.encode()) == (whole[:1] == [len(text)])


@QUICK
@given(patterns(), st.binary(max_size=6))
def test_what_may_follow_is_nothing_exactly_where_no_text_does(
    both: tuple[Pattern, str], data: bytes
) -> None:
    left = after(both[0], data)
    if left == NOTHING:
        assert not nullable(left)
    else:
        assert accepts(both[0], data + some(left))


def some(pattern: Pattern) -> bytes:
    """A text of a pattern that is not empty: the search must end, or the pattern is broken."""
    waiting = [(pattern, b"")]
    while waiting:
        now, text = waiting.pop(0)
        if nullable(now):
            return text
        follow = ((after(now, bytes((byte,))), text + bytes((byte,))) for byte in b"ab\xc3\xa9")
        waiting += [(then, more) for then, more in follow if then != NOTHING]
    raise AssertionError("no text, but not NOTHING")


@settings(max_examples=300, deadline=None, database=None)
@given(st.characters(exclude_categories=["Cs"]), st.characters(exclude_categories=["Cs"]))
def test_a_set_of_characters_is_told_by_its_bytes(one: str, other: str) -> None:
    known = chars(CharacterSet.of(one))
    assert accepts(known, one.encode())
    assert accepts(known, other.encode()) == (one == other)
    assert accepts(chars(ANY), other.encode())
    assert accepts(chars(letters()), other.encode()) == other.isalpha()
    assert (other in letters()) == other.isalpha()


@pytest.mark.parametrize(
    "broken",
    [b"\x80", b"\xc0\xaf", b"\xc3\xc3", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"],
)
def test_bytes_that_are_no_character_are_none(broken: bytes) -> None:
    assert after(chars(ANY), broken) == NOTHING


def test_a_character_that_has_begun_may_be_any_that_begins_so() -> None:
    assert begun(b"a") == (97, 97, 0)
    assert begun(b"\xc3") == (0xC0, 0xFF, 1)
    assert begun(b"\xe2\x82") == (0x2080, 0x20BF, 1)
    assert begun(b"\xf0") == (0x10000, 0x3FFFF, 3)


def test_sets_can_be_joined_and_taken_apart() -> None:
    some, other = CharacterSet.of("abcxyz"), CharacterSet.of("bcy")
    assert (some - other).ranges == CharacterSet.of("axz").ranges
    assert (some | CharacterSet.of("d")).ranges == ((97, 100), (120, 122))
    assert not (some - some)
    assert not (ANY - ANY)


def test_terms_are_kept_simple() -> None:
    assert sequence(literal("a"), literal("b"), EMPTY) == literal("ab")
    assert sequence(literal("a"), NOTHING) == NOTHING
    assert repeat(literal("a"), 1, 1) == literal("a")
    assert repeat(NOTHING, 0, 3) == EMPTY
    assert either((literal("a"), literal("a"))) == literal("a")
    assert hash(sequence(literal("a"), chars(ANY))) == hash(sequence(literal("a"), chars(ANY)))
