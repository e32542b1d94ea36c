"""The V1 adapter over vLLM's own interface classes: rows follow the batch, nothing escapes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, MoveDirectionality

from mods.runtime.decisions import LEAVE, Decision, Force
from mods.runtime.host.protocol import FeedRow
from processors.batch import Batch
from processors.runner_v1 import ModsProcessor
from tests.processors.fakes import SENTINEL, VOCABULARY, FakeFeeds, segment

SLOTS = 6


def params(session: int, **more: Any) -> SamplingParams:
    """Of a request that mods watch, or of one that they do not (session 0)."""
    extra = segment(session, **more).to_extra_args() if session else {"other": 1}
    return SamplingParams(extra_args=extra)


def processor(feeds: FakeFeeds) -> ModsProcessor:
    made = ModsProcessor(None, torch.device("cpu"), False)  # type: ignore[arg-type]
    made.batch = Batch(feeds)  # type: ignore[arg-type]
    return made


def update(
    removed: list[int] | None = None,
    added: list[tuple[int, SamplingParams, list[int] | None, list[int]]] | None = None,
    moved: list[tuple[int, int, MoveDirectionality]] | None = None,
) -> BatchUpdate:
    return BatchUpdate(SLOTS, removed or [], added or [], moved or [])


# A sequence of changes: each is carried out on a naive batch (one session or 0 for every slot,
# None where it is empty) and told to the processor in vLLM's words.
changes = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, SLOTS - 1), st.booleans()),
        st.tuples(st.just("remove"), st.integers(0, SLOTS - 1), st.just(False)),
        st.tuples(st.just("move"), st.integers(0, SLOTS - 1), st.integers(0, SLOTS - 1)),
        st.tuples(st.just("swap"), st.integers(0, SLOTS - 1), st.integers(0, SLOTS - 1)),
    ),
    max_size=30,
)


@given(changes, st.booleans())
@settings(deadline=None)
def test_rows_follow_the_batch_through_any_sequence_of_changes(
    sequence: list[tuple[str, int, int]], one_step: bool
) -> None:
    """One change a step, or removals, additions and moves together in one, as vLLM orders them."""
    feeds = FakeFeeds()
    tested = processor(feeds)
    naive: list[int | None] = [None] * SLOTS
    if one_step:
        order = {"remove": 0, "add": 1, "move": 2, "swap": 2}
        sequence = sorted(sequence, key=lambda change: order[change[0]])
    pending = update()
    for number, (kind, one, other) in enumerate(sequence, 1):
        if kind == "add":
            naive[one] = number if other else 0
            pending.added.append((one, params(number if other else 0), [1, 2], []))  # type: ignore[attr-defined]
        elif kind == "remove":
            naive[one] = None
            pending.removed.append(one)  # type: ignore[attr-defined]
        elif one != other:
            swaps = kind == "swap"
            naive[one], naive[other] = naive[other] if swaps else None, naive[one]
            direction = MoveDirectionality.SWAP if swaps else MoveDirectionality.UNIDIRECTIONAL
            pending.moved.append((one, other, direction))  # type: ignore[attr-defined]
        if not one_step:
            tested.update_state(pending)
            pending = update()
            check(tested, naive)
    tested.update_state(pending)
    check(tested, naive)


def check(tested: ModsProcessor, naive: list[int | None]) -> None:
    expected = {index: session for index, session in enumerate(naive) if session}
    assert {i: row.args.session for i, row in tested.batch.rows.items()} == expected
    tested.apply(torch.zeros(SLOTS, VOCABULARY))


def test_the_runners_live_list_of_output_is_fed() -> None:
    feeds = FakeFeeds()
    tested = processor(feeds)
    output: list[int] = []
    tested.update_state(update(added=[(2, params(5, kept=1), [1, 9], output)]))
    tested.apply(torch.zeros(SLOTS, VOCABULARY))
    output.append(7)
    tested.update_state(None)
    tested.apply(torch.zeros(SLOTS, VOCABULARY))
    fed = [step["host-1"] for step in feeds.fed]
    assert fed == [[FeedRow(5, 1, 1, -1)], [FeedRow(5, 1, 2, 7)]]


def test_a_prompt_of_embeddings_has_no_tokens() -> None:
    tested = processor(FakeFeeds())
    tested.update_state(update(added=[(0, params(5), None, [])]))
    assert len(tested.batch.rows[0].prompt) == 0


def test_rows_of_unfinished_prompts_are_not_fed_logits() -> None:
    feeds = FakeFeeds()
    tested = processor(feeds)
    mask = np.array([True, False, False])
    tested.runner = SimpleNamespace(
        discard_request_mask=SimpleNamespace(np=mask),
        input_batch=SimpleNamespace(num_reqs=2, generators={}),
    )
    added = [(i, params(i + 1, reads_logits=True), [1], []) for i in range(2)]
    tested.update_state(update(added=added))  # type: ignore[arg-type]
    logits = torch.randn(2, VOCABULARY)
    before = logits.clone()
    tested.apply(logits)
    assert feeds.sessions() == [2]
    assert torch.equal(logits[0], before[0])


def test_a_row_without_mods_keeps_every_bit() -> None:
    tested = processor(FakeFeeds(lambda fed: Force(4)))
    tested.update_state(update(added=[(0, params(0), [1], []), (1, params(1), [1], [])]))
    logits = torch.randn(2, VOCABULARY)
    before = logits.clone()
    assert tested.apply(logits)[1].argmax() == 4
    assert torch.equal(logits[0], before[0])


def test_an_exception_inside_ends_segments_and_never_leaves() -> None:
    def decide(fed: FeedRow) -> Decision:
        raise RuntimeError("unforeseen")

    tested = processor(FakeFeeds(decide))
    tested.update_state(update(added=[(0, params(1), [1], []), (1, params(0), [1], [])]))
    logits = torch.randn(2, VOCABULARY)
    before = logits.clone()
    assert tested.apply(logits)[0].argmax() == SENTINEL
    assert torch.equal(logits[1], before[1])


def test_arguments_that_cannot_be_read_cost_nobody_else_anything(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tested = processor(FakeFeeds(lambda fed: LEAVE))
    broken = SamplingParams(extra_args={"concordance": {"session": 1}})
    tested.update_state(update(added=[(0, broken, [1], []), (1, params(2), [1], [])]))
    assert [row.args.session for row in tested.batch.rows.values()] == [2]
    assert "cannot be read" in caplog.text


def test_the_segments_arguments_survive_the_way_through_sampling_parameters() -> None:
    sent = segment(4, kept=3, bad_words=[[1, 2], [3]], reads_logits=True, held=[], barred=[])
    tested = processor(FakeFeeds())
    asked = SamplingParams(extra_args={"theirs": 1, **sent.to_extra_args()})
    tested.update_state(update(added=[(0, asked, [1], [])]))
    assert tested.batch.rows[0].args == sent
