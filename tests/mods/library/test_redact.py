"""redact: personal data never leaves, however it is split and wherever it ends."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mods.runtime.seat import LoadedMod
from mods.sdk.testing import Trouble
from tests.mods.library.writing import SEEDS, stock, upload, written

CARD = "4111 1111 1111 1111"
IBAN = "DE89 3704 0044 0532 0130 00"
DATA = {
    "ann@example.org": "[e-mail]",
    "j.o-hn+x@mail.example.co.uk": "[e-mail]",
    "é.l@exämple.org": "[e-mail]",
    CARD: "[card]",
    CARD.replace(" ", ""): "[card]",
    CARD.replace(" ", "-"): "[card]",
    "3782 822463 10005": "[card]",
    IBAN: "[iban]",
    IBAN.replace(" ", ""): "[iban]",
    "GB82 WEST 1234 5698 7654 32": "[iban]",
    "+49 30 1234 5678": "[phone]",
    "+14155552671": "[phone]",
    "(415) 555-2671": "[phone]",
    "415-555-2671": "[phone]",
    "555-0100": "[phone]",
    "030/1234567": "[phone]",
}
NO_DATA = (
    "4111 1111 1111 1112",
    "GB00 WEST TEST ABCD EFGH IJ",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14",
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10.",
    "2 + 3 = 5",
    "3.14159265358979",
    "a @ b",
    "2024-05-17",
    "12:30",
    "8 500 people",
)


@pytest.mark.parametrize("around", ["My data: {}, and more.", "{} it is", "It is {}", "{}"])
@pytest.mark.parametrize("datum", DATA)
def test_each_kind_is_replaced_wherever_it_stands(datum: str, around: str) -> None:
    for seed in SEEDS:
        text, clean = around.format(datum), around.format(DATA[datum])
        came = written(stock("redact"), text, clean, seed=seed)
        assert came.text == clean
        assert not any(datum[:4] in shown for shown in came.shown)


@pytest.mark.parametrize("text", NO_DATA)
@pytest.mark.parametrize("seed", [None, 1])
def test_what_only_looks_like_it_is_left_alone(text: str, seed: int | None) -> None:
    for sentence in (text, f"It says {text} there."):
        assert written(stock("redact"), sentence, seed=seed).text == sentence


@pytest.mark.parametrize("seed", SEEDS)
def test_several_in_one_text_are_all_replaced_and_the_rest_streams(seed: int | None) -> None:
    parts = ["Write to ", "ann@example.org", ", or call ", "555-0100", " about ", CARD, ". Thanks"]
    plans = []
    for done in range(4):
        said = [DATA[p] if p in DATA and i < 2 * done else p for i, p in enumerate(parts)]
        plans.append("".join(said) + " a lot, and see you soon.")
    came = written(stock("redact"), *plans, seed=seed)
    assert came.text == plans[-1]
    assert came.streamed


@pytest.mark.parametrize("cut", range(1, 36))
def test_max_tokens_may_cut_it_anywhere(cut: int) -> None:
    for text, clean in (
        ("Ask ann@example.org now", "Ask [e-mail] now"),
        (f"Pay {IBAN} now", "Pay [iban] now"),
        ("Call 415-555-2671 now", "Call [phone] now"),
        (f"Card {CARD} now", "Card [card] now"),
    ):
        said = written(stock("redact"), text, clean, max_tokens=cut).text
        assert "@" not in said
        assert len(re.findall(r"\d", said)) < 8, said


@pytest.mark.parametrize("stop", ["org", "example", "\n", "@"])
def test_a_stop_string_may_end_it(stop: str) -> None:
    said = written(stock("redact"), "To ann@example.org\nBye", "To [e-mail]", stop=[stop]).text
    assert "@" not in said
    assert "example" not in said


def test_trouble_in_the_engine_changes_nothing() -> None:
    trouble = Trouble(late=frozenset({2, 5, 9, 14}), lost=frozenset({3, 11}))
    text, clean = "Ask ann@example.org now, please.", "Ask [e-mail] now, please."
    assert written(stock("redact"), text, clean, trouble=trouble).text == clean


def forces(words: str, at: int) -> LoadedMod:
    return upload(
        f"""
from mods.sdk import Added, mod

@mod(reach=0)
def forces(event, actions, tokenizer):
    if isinstance(event, Added) and event.position == {at} and not event.forced:
        return actions.force_tokens({words!r})
""",
        "forces",
    )


@pytest.mark.parametrize("first", [True, False])
def test_what_another_mod_says_is_replaced_too(first: bool) -> None:
    speaks = forces("ann@example.org, 555-0100 or bob@example.org, ", 4)
    chain = [speaks, stock("redact")] if first else [stock("redact"), speaks]
    came = written(chain, "Ask ann@example.org, 555-0100 or bob@example.org, now.")
    assert came.text.startswith("Ask [e-mail], [phone] or [e-mail], ")
    assert not any("@" in shown for shown in came.shown)


def test_only_the_kinds_with_a_mark_go() -> None:
    mine = upload(
        "from mods.library.redact import Redact\nfrom mods.sdk import create_mod\n"
        "mine = create_mod(Redact({'email': '***'}), reach=0)\n"
    )
    text = "Ask ann@example.org or 555-0100 now"
    assert written(mine, text, text.replace("ann@example.org", "***")).text == (
        "Ask *** or 555-0100 now"
    )


@given(
    parts=st.lists(
        st.sampled_from([*DATA, " and ", ", ", "two words ", "\n", "(", "é "]), max_size=6
    )
)
@settings(max_examples=40, deadline=None)
def test_nothing_that_a_stream_showed_is_ever_taken_back_or_personal(parts: list[str]) -> None:
    text = " ".join(parts) + " ."
    came = written(stock("redact"), text, max_tokens=200)
    for shown in [*came.shown, came.text]:
        assert not re.search(r"\w@\w", shown)
        assert "411111111111" not in re.sub(r"\D", "", shown)
