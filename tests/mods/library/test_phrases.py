"""replace_phrase and ban_phrases: their effect in the text, however the phrase is split."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mods.runtime.seat import LoadedMod
from mods.sdk.phrases import Found, Phrases
from mods.sdk.testing import Trouble
from tests.mods.library.writing import SEEDS, stock, upload, written

REPLACE = """
from mods.library.replace_phrase import ReplacePhrase
from mods.sdk import create_mod

mine = create_mod(ReplacePhrase({phrases!r}, ignore_case={folds}), reach=0)
"""
BAN = """
from mods.library.ban_phrases import BanPhrases
from mods.sdk import create_mod

mine = create_mod(BanPhrases({phrases!r}, ignore_case={folds}), reach=0)
"""


def replaces(phrases: dict[str, str], folds: bool = False) -> LoadedMod:
    return upload(REPLACE.format(phrases=phrases, folds=folds))


def bans(*phrases: str, folds: bool = True) -> LoadedMod:
    return upload(BAN.format(phrases=phrases, folds=folds))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("Yes: we utilize it. Fine.", "Yes: we use it. Fine."),
        ("utilize it", "use it"),
        ("we utilize", "we use"),
        ("utilize", "use"),
        ("utilutilize it", "utiluse it"),
        ("é: utilize—日本", "é: use—日本"),
    ],
)
def test_a_phrase_is_replaced_wherever_it_stands(text: str, becomes: str, seed: int | None) -> None:
    came = written(stock("replace_phrase"), text, becomes, seed=seed)
    assert came.text == becomes
    assert not any("utilize" in shown for shown in came.shown)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_of_several_phrases_is_replaced_and_the_rest_streams(seed: int | None) -> None:
    plans = ("As an AI language model, I utilize numbers.", "I utilize numbers.", "I use numbers.")
    long = tuple(f"{plan} They are good. They are useful." for plan in plans)
    came = written(stock("replace_phrase"), *long, seed=seed)
    assert came.text == long[-1]
    assert came.streamed


@pytest.mark.parametrize("seed", SEEDS)
def test_the_first_and_then_the_longest_phrase_counts(seed: int | None) -> None:
    mine = replaces({"New": "Old", "New York": "Paris"})
    assert written(mine, "In New York now", "In Paris now", seed=seed).text == "In Paris now"
    assert written(mine, "In New Yorn", "In Old Yorn", seed=seed).text == "In Old Yorn"
    assert written(mine, "In New", "In Old", seed=seed).text == "In Old"


@pytest.mark.parametrize("seed", SEEDS)
def test_case_is_ignored_where_that_is_asked_for(seed: int | None) -> None:
    mine = replaces({"the end": "The Beginning"}, folds=True)
    text, becomes = "It is THE END, truly", "It is The Beginning, truly"
    assert written(mine, text, becomes, seed=seed).text == becomes
    assert written(replaces({"the end": "x"}), text, seed=seed).text == text
    strange = "İ\u017fK THE ENd"
    assert written(mine, strange, "İ\u017fK The Beginning", seed=seed).text == (
        "İ\u017fK The Beginning"
    )


def test_a_replacement_that_holds_its_own_phrase_is_replaced_once() -> None:
    came = written(replaces({"a": "aa"}), "bab", "baab")
    assert came.text == "baab"


@pytest.mark.parametrize("cut", range(1, 14))
@pytest.mark.parametrize("seed", [None, 2])
def test_max_tokens_may_cut_anywhere(cut: int, seed: int | None) -> None:
    for mod in (stock("replace_phrase"), stock("ban_phrases")):
        texts = ("I utilize. I'm sorry", "I use. I'm sorry", "I use. Fine, then.")
        came = written(mod, *texts, seed=seed, max_tokens=cut)
        assert len(came.outcome.tokens) <= cut
        assert any(text.startswith(came.text) for text in texts)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("I'm sorry, but no.", "Sure, here it is."),
        ("Well, i'M SORRY about that.", "Well, never mind that."),
        ("No. I'm sorry", "No. Never mind"),
        ("Né. I'm sorry, 日本", "Né. 日本 it is"),
    ],
)
def test_a_banned_phrase_is_taken_back_and_its_start_forbidden(
    text: str, instead: str, seed: int | None
) -> None:
    came = written(stock("ban_phrases"), text, instead, seed=seed)
    assert came.text == instead
    assert came.outcome.usage is not None
    assert came.outcome.usage.erased > 0
    assert came.outcome.usage.forced == 0
    assert not any("sorry" in shown.lower() for shown in came.shown)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_ban_holds_at_its_place_and_no_further(seed: int | None) -> None:
    came = written(bans("one two"), "one two, one one.", "six, one one.", seed=seed)
    assert came.text == "six, one one."
    again = written(bans("bad"), "a bad bad day", "a good bad day", "a good old day", seed=seed)
    assert again.text == "a good old day"


def test_a_stock_mod_with_other_settings_holds_all_text_unless_it_declares_its_reach() -> None:
    source = BAN.format(phrases=("bad",), folds=True)
    assert upload(source).traits.reach == 0
    assert upload(source.replace(", reach=0", "")).traits.reach is None


def test_both_in_one_chain_each_do_their_part() -> None:
    chain = [stock("replace_phrase"), stock("ban_phrases")]
    texts = (
        "I'm sorry. We utilize it.",
        "Well. We utilize it.",
        "Well. We use it.",
    )
    for seed in SEEDS:
        assert written(chain, *texts, seed=seed).text == texts[-1]


def test_trouble_in_the_engine_changes_nothing() -> None:
    texts = ("We utilize. I'm sorry.", "We use. I'm sorry.", "We use. No.")
    late = Trouble(late=frozenset({2, 5, 9, 14}), lost=frozenset({3, 11}))
    chain = [stock("replace_phrase"), stock("ban_phrases")]
    assert written(chain, *texts, trouble=late).text == texts[-1]


words = st.text(alphabet="ab", min_size=1, max_size=4)


@given(phrases=st.lists(words, min_size=1, max_size=4), text=st.text(alphabet="abc", max_size=16))
@settings(max_examples=150, deadline=None)
def test_what_is_found_while_a_text_grows_is_what_is_found_in_the_whole(
    phrases: list[str], text: str
) -> None:
    def plainly(start: int) -> Found | None:
        for at in range(start, len(text)):
            there = [phrase for phrase in phrases if text.startswith(phrase, at)]
            if there:
                longest = max(there, key=len)
                return Found(at, at + len(longest), longest)
        return None

    looker, settled, found = Phrases(phrases), 0, None
    for end in range(1, len(text) + 1):
        found, now = looker.find(text[:end], settled, ended=end == len(text))
        assert now >= settled
        settled = now
        if found is not None:
            break
    assert found == plainly(0)


def test_phrases_of_nothing_are_refused() -> None:
    for wrong in ([], [""], ["a", ""]):
        with pytest.raises(ValueError, match="phrases are texts that are not empty"):
            Phrases(wrong)
