"""One step over hosts that answer, are late, fail or lie: who ends, and who never notices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mods.runtime.decisions import END_SEGMENT, LEAVE, Decision, Force, Shape, Sureness
from mods.runtime.host.protocol import FeedRow
from processors.batch import Batch
from processors.confidence import sureness
from processors.rows import Row
from tests.processors.fakes import SENTINEL, VOCABULARY, FakeFeeds, row


def batch_of(feeds: FakeFeeds, *rows: Row) -> Batch:
    batch = Batch(feeds)  # type: ignore[arg-type]
    batch.rows = dict(enumerate(rows))
    return batch


def step(batch: Batch, logits: torch.Tensor | None = None, skip: tuple[int, ...] = ()) -> list[int]:
    """One whole step. Returns the token that each row would draw greedily."""
    batch.begin()
    given = torch.zeros(len(batch.rows), VOCABULARY) if logits is None else logits
    if logits is None:
        given[:, 0] = 1.0
    return [int(token) for token in batch.apply(given, skip).argmax(1)]


def force_position(fed: FeedRow) -> Decision:
    return Force(10 + fed.position)


def test_every_host_is_fed_its_own_rows_and_decides_them() -> None:
    feeds = FakeFeeds(force_position)
    batch = batch_of(
        feeds,
        row(1, output=[5], host="one"),
        row(2, host="two"),
        row(3, [8, 9], [6, 7], kept=1, host="one", segment=4),
    )
    assert step(batch) == [11, 10, 13]
    assert feeds.fed == [
        {"one": [FeedRow(1, 1, 1, 5), FeedRow(3, 4, 3, 7)], "two": [FeedRow(2, 1, 0, -1)]}
    ]
    assert batch.forced == {0, 1, 2}


def test_a_late_host_costs_its_own_rows_their_segment() -> None:
    feeds = FakeFeeds()
    feeds.late = {"slow"}
    batch = batch_of(feeds, row(1, host="slow"), row(2, host="fast"), row(3, host="slow"))
    assert step(batch) == [SENTINEL, 0, SENTINEL]
    assert batch.forced == {0, 2}
    assert batch.late == 2


def test_a_host_that_cannot_be_fed_costs_its_own_rows_their_segment() -> None:
    feeds = FakeFeeds()
    feeds.failing = {"gone"}
    batch = batch_of(feeds, row(1, host="fine"), row(2, host="gone"), row(3, host="other"))
    assert step(batch) == [0, SENTINEL, 0]


def test_too_many_or_too_few_decisions_are_none() -> None:
    class Miscounting(FakeFeeds):
        def collect(self, deadline: float) -> dict[str, list[Decision]]:
            answers = super().collect(deadline)
            return {host: [*decisions, LEAVE] for host, decisions in answers.items()}

    batch = batch_of(Miscounting(), row(1), row(2))
    assert step(batch) == [SENTINEL, SENTINEL]


def test_nonsense_ends_its_row_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    feeds = FakeFeeds(lambda fed: Force(10**6) if fed.session == 2 else LEAVE)
    batch = batch_of(feeds, row(1), row(2), row(3))
    assert step(batch) == [0, SENTINEL, 0]
    assert batch.forced == {1}
    assert batch.refused == 1
    assert "session 2" in caplog.text


def test_mods_that_read_logits_get_their_rows_after_the_forward_pass() -> None:
    feeds = FakeFeeds()
    reading = [row(i, host="reads", reads_logits=True) for i in (1, 3)]
    batch = batch_of(feeds, reading[0], row(2, host="blind"), reading[1])
    batch.begin()
    assert not feeds.logits
    logits = torch.randn(3, VOCABULARY)
    before = logits.clone()
    batch.apply(logits)
    np.testing.assert_array_equal(feeds.logits["reads"], before[[0, 2]].numpy())
    assert feeds.sessions() == [1, 2, 3]


def test_mods_that_ask_how_sure_the_model_is_are_told_without_the_row() -> None:
    feeds = FakeFeeds()
    asking = [row(i, host=f"asks-{i}", reads_confidence=True) for i in (1, 3)]
    both = row(4, host="both", reads_confidence=True, reads_logits=True)
    batch = batch_of(feeds, asking[0], row(2, host="blind"), asking[1], both)
    batch.begin()
    assert set(feeds._step) == {"blind"}
    logits = torch.randn(4, VOCABULARY)
    wanted = sureness(logits, [0, 2])
    batch.apply(logits)
    (step,) = feeds.fed
    assert [step[host][0].sureness for host in ("asks-1", "asks-3")] == wanted
    assert step["blind"][0].sureness is None
    assert step["both"][0].sureness is None, "with the row at hand, its host finds out by itself"
    assert set(feeds.logits) == {"both"}


def test_a_skipped_row_is_not_told_how_sure_the_model_is() -> None:
    feeds = FakeFeeds()
    batch = batch_of(feeds, *(row(i, reads_confidence=True) for i in (1, 2, 3)))
    assert step(batch, skip=(1,)) == [0, 0, 0]
    assert feeds.sessions() == [1, 3]


def test_a_whole_row_is_fetched_from_its_host() -> None:
    feeds = FakeFeeds(lambda fed: Shape(row=fed.session == 2))
    feeds.whole["host-1", 1] = np.eye(VOCABULARY, dtype=np.float32)[17]
    assert step(batch_of(feeds, row(1), row(2))) == [0, 17]


def test_a_skipped_row_is_neither_fed_logits_nor_ended() -> None:
    feeds = FakeFeeds()
    batch = batch_of(feeds, *(row(i, reads_logits=True) for i in (1, 2, 3)))
    assert step(batch, skip=(1,)) == [0, 0, 0]
    assert feeds.sessions() == [1, 3]
    assert not batch.forced


def test_a_row_that_nobody_decided_ends_instead_of_running_without_its_mods() -> None:
    feeds = FakeFeeds()
    batch = batch_of(feeds, row(1))
    batch.begin()
    batch.rows[1] = row(2)
    logits = torch.zeros(2, VOCABULARY)
    logits[:, 0] = 1.0
    assert batch.apply(logits).argmax(1).tolist() == [0, SENTINEL]
    assert batch.forced == {1}


def test_a_step_that_was_never_finished_does_not_spoil_the_next() -> None:
    feeds = FakeFeeds()
    batch = batch_of(feeds, row(1))
    batch.begin()
    assert step(batch) == [0]
    assert len(feeds.fed) == 2


def test_an_exception_ends_every_row_with_mods_and_goes_no_further() -> None:
    feeds = FakeFeeds(lambda fed: LEAVE)
    batch = batch_of(feeds, row(1), row(2))

    def explode() -> None:
        raise RuntimeError("unforeseen")

    feeds.before_collect = explode
    logits = torch.randn(3, VOCABULARY)
    before = logits.clone()
    batch.begin()
    batch.apply(logits)
    assert logits[:2].argmax(1).tolist() == [SENTINEL, SENTINEL]
    assert torch.equal(logits[2], before[2])
    assert batch.forced == {0, 1}
    feeds.before_collect = lambda: None
    assert step(batch) == [0, 0]


def test_an_exception_while_feeding_goes_no_further() -> None:
    class Broken(Row):
        def feed(self, sureness: Sureness | None = None) -> FeedRow:
            raise RuntimeError("unforeseen")

    whole = row(1)
    batch = batch_of(FakeFeeds(), Broken(whole.args), whole)
    assert step(batch) == [SENTINEL, SENTINEL]


def test_without_rows_nothing_is_asked() -> None:
    feeds = FakeFeeds(lambda fed: END_SEGMENT)
    batch = batch_of(feeds)
    logits = torch.randn(2, VOCABULARY)
    assert torch.equal(batch.apply(logits.clone()), logits)
    assert not feeds.fed
