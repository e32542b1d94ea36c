"""What a mod may ask an event about: the text so far, and whose each token is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mods.runtime.compile import Traits
from mods.runtime.decisions import SessionSpec
from mods.runtime.output import SAMPLED, Output
from mods.runtime.record import Record
from mods.runtime.seat import LoadedMod, Seat
from mods.runtime.transcript import Transcript
from mods.sdk.actions import ActionBuilder
from mods.sdk.events import Added, Event, Finished, ForwardPass, Prefilled, StaleEventError
from mods.sdk.testing import (
    ByteTokenizer,
    HashModel,
    Oracle,
    ScriptedEngine,
    TextModel,
    Trouble,
    spec_for,
)
from mods.sdk.testing.look import PlainLook
from mods.sdk.testing.script import Script
from mods.sdk.testing.tokenizer import SPECIAL
from tests.mods.runtime.test_machine_properties import chains, many, models, specs, troubles

Seen = list[tuple[object, ...]]


def looker(seen: Seen, every: int) -> LoadedMod:
    """Looks at some events: at what is there, and at how it is sliced."""
    calls = count()

    def look(event: Event, actions: ActionBuilder, tokenizer: Any) -> None:
        if next(calls) % every:
            return
        tokens = event.tokens
        assert list(tokens[-3:]) == list(tokens)[-3:]
        seen.append((event.name, event.text, [(int(token), token.mod) for token in tokens]))

    return LoadedMod(look, Traits("looker", reach=0, logits=False))


@settings(many, max_examples=40)
@given(specs(), chains, models, troubles, st.integers(1, 5))
def test_a_look_shows_what_the_reference_shows_whatever_was_taken_back(
    spec: SessionSpec, chain: list[Script], model: HashModel, trouble: Trouble, every: int
) -> None:
    def mods(seen: Seen) -> list[LoadedMod]:
        return [*(script.mod() for script in chain), looker(seen, every)]

    ours: Seen = []
    theirs: Seen = []
    ScriptedEngine(model, trouble=trouble).run(spec, mods(ours))
    wanted = Oracle(spec, mods(theirs), model).run()
    assert ours[: len(theirs) - 1] == theirs[: len(ours) - 1]
    if not wanted.failed:
        assert ours == theirs


def run(*handlers: Callable[..., Any], text: str = "abcdefgh", **request: Any) -> None:
    chain = [
        LoadedMod(handler, Traits(handler.__name__, reach=None, logits=False))
        for handler in handlers
    ]
    outcome = ScriptedEngine(TextModel(text, 1)).run(spec_for("p", **request), chain)
    assert not outcome.failed, outcome.message


def test_each_token_says_who_put_it_there() -> None:
    told: list[list[str | None]] = []

    def one(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, ForwardPass) and event.position == 1:
            return actions.force_tokens("XY")
        return None

    def two(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, ForwardPass) and event.position == 3:
            return actions.force_tokens("Z")
        if isinstance(event, Finished):
            told.append([token.mod for token in event.tokens])  # type: ignore[attr-defined]
            assert event.tokens == (*b"aXYZe",)
            assert tokenizer.decode(event.tokens) == event.text == "aXYZe"
        return None

    run(one, two, max_tokens=5)
    assert told == [[None, "one", "one", "two", None]]


def test_what_was_given_stays_as_it_was() -> None:
    kept: list[tuple[str, Sequence[int]]] = []

    def takes(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, Added) and event.step in (2, 3):
            kept.append((event.text, event.tokens))
        if isinstance(event, Added) and event.step == 2 and not event.forced:
            return actions.backtrack(2, "XYZ")
        return None

    run(takes, max_tokens=8)
    told = [(text, bytes(tokens).decode()) for text, tokens in kept]
    assert told == [("abc", "abc"), ("aXYZ", "aXYZ"), ("aXYZe", "aXYZe")]


def test_an_event_that_is_over_says_so() -> None:
    kept: list[Event] = []

    def keeps(event: Event, actions: ActionBuilder, tokenizer: Any) -> None:
        kept.append(event)

    run(keeps, max_tokens=2)
    for event in kept[:-1]:
        with pytest.raises(StaleEventError, match=f"this {event.name} is over"):
            _ = event.text
        with pytest.raises(StaleEventError):
            _ = event.tokens
    last = kept[-1]
    assert isinstance(last, Finished)
    assert last.tokens == (*b"ab",)
    with pytest.raises(StaleEventError):
        _ = last.cost
    assert isinstance(kept[0], Prefilled)


def test_a_handler_that_waits_may_look_before_and_after() -> None:
    async def waits(event: Event, actions: ActionBuilder, tokenizer: Any) -> None:
        before = event.text
        await asyncio.sleep(0.1)
        assert event.text == before
        assert len(event.tokens) == event.position

    run(waits, max_tokens=4)


def test_the_end_tells_what_it_came_to() -> None:
    def costs(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        if isinstance(event, Added) and event.step == 2 and not event.forced:
            return actions.backtrack(2, "XYZ")
        if isinstance(event, Finished):
            cost = event.cost
            assert (cost.sampled, cost.forced, cost.erased) == (2, 3, 2)
            assert cost.forwarded == 4 + 3 + 1  # drawn, forced, and one for a new segment
            assert cost.calls == 1 + 3 * 4 + 1  # without this one
            assert 0 < cost.seconds < 1
            ended.append(cost)
        return None

    ended: list[object] = []
    run(costs, max_tokens=5)
    assert ended


# The text, token by token.


class Counting(ByteTokenizer):
    """Counts what it decodes."""

    decoded = 0

    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str:
        self.decoded += len(ids)
        return super().decode(ids, skip_special_tokens)


def transcript(output: Output, tokenizer: ByteTokenizer, **request: Any) -> Transcript:
    seats = [Seat(LoadedMod(lambda e, a, t: None, Traits("mod")), 0)]
    return Transcript(output, seats, spec_for("p", **request), tokenizer, Record())


def test_each_token_is_decoded_a_few_times_however_often_one_looks() -> None:
    output, tokenizer = Output(), Counting()
    seen = transcript(output, tokenizer)
    for number in range(2000):
        output.add(97 + number % 26, SAMPLED)
        assert len(seen.text) == number + 1
    assert tokenizer.decoded < 2000 * 20


def test_part_of_a_character_is_not_shown() -> None:
    output = Output()
    seen = transcript(output, ByteTokenizer())
    shown = []
    for token in "a€b".encode():
        output.add(token, SAMPLED)
        shown.append(seen.text)
    assert shown == ["a", "a", "a", "a€", "a€b"]


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.binary(max_size=5)) | st.just((0, b"\xe2\x82")), max_size=30
    ),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_the_text_is_that_of_all_tokens_whatever_was_cut(
    changes: list[tuple[int, bytes]], skip: bool
) -> None:
    output, tokenizer = Output(), ByteTokenizer()
    seen = transcript(output, tokenizer, skip_special_tokens=skip)
    for cut, more in changes:
        output.cut(max(0, len(output) - cut))
        for token in more:
            output.add(SPECIAL if token == 7 else token, SAMPLED)
        wanted = tokenizer.decode(output.tokens, skip_special_tokens=skip).rstrip("\ufffd")
        assert seen.text == wanted
        assert list(seen.tokens) == output.tokens
        plain = PlainLook(output.tokens, [None] * len(output), tokenizer, skip)
        for at in (0, len(wanted) // 2, max(0, len(wanted) - 2), len(wanted), len(wanted) + 1):
            assert seen.cut(at) == plain.cut(at)


def test_a_cut_leaves_whole_tokens_and_whole_characters() -> None:
    output = Output()
    seen = transcript(output, ByteTokenizer())
    for token in "aé€b".encode():
        output.add(token, SAMPLED)
    assert [seen.cut(at) for at in range(5)] == [(7, 0), (6, 1), (4, 2), (1, 3), (0, 4)]
    for token in "é".encode()[:1]:
        output.add(token, SAMPLED)
    assert seen.cut(4) == (1, 4)
    assert seen.cut(9) == (1, 4)


@pytest.mark.parametrize(
    ("request_", "ended"),
    [({"max_tokens": 3}, 3), ({"stop": ["cd"]}, 4), ({"stop_token_ids": [101]}, 5), ({}, 7)],
)
def test_an_event_says_whether_its_newest_token_ends_the_output(
    request_: dict[str, Any], ended: int
) -> None:
    told: list[tuple[int, bool]] = []

    def notes(event: Event, actions: ActionBuilder, tokenizer: Any) -> None:
        if isinstance(event, Added):
            told.append((event.position, event.ends))

    mod = LoadedMod(notes, Traits("notes", reach=0, logits=False))
    ScriptedEngine(TextModel("abcdef", 1)).run(spec_for("p", **request_), [mod])
    assert told == [(at, at == ended) for at in range(1, ended + 1)]


def test_the_demo_models_tokenizer_gives_the_same_text_piece_by_piece() -> None:
    from mods.sdk.tokenizer import load_tokenizer
    from server.demo import MODEL_PATH

    tokenizer = load_tokenizer(MODEL_PATH)
    text = "  Héllo, “world” 👩‍👩‍👧 — naïve\n\n\tcafé 日本語 <|im_end|> 1234  "
    output = Output()
    seen = Transcript(output, [], spec_for("p"), tokenizer, Record())
    ids = tokenizer.encode(text, add_special_tokens=False)
    for token in ids:
        output.add(token, SAMPLED)
        wanted = tokenizer.decode(output.tokens, skip_special_tokens=True).rstrip("\ufffd")
        assert seen.text == wanted
