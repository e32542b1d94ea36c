"""The V2 adapter over vLLM's own interface classes, with contexts built by hand on the CPU.

The device is played by a runner that keeps slots and tokens as vLLM's does, that orders rows
anew in every step, and that writes a step's sampled tokens only when somebody waits for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vllm import SamplingParams
from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext, LogitsProcRequestState

from mods.runtime.decisions import END_SEGMENT, LEAVE, Decision, Force
from mods.runtime.host.protocol import FeedRow
from processors.batch import Batch
from processors.rows import Penalties
from processors.runner_v2 import ModsProcessor
from tests.processors.fakes import SENTINEL, VOCABULARY, FakeFeeds, segment

SLOTS, LONGEST = 4, 64


class LateEvent:
    """A CUDA event: what the device had still to do at `record` is done by `synchronize`."""

    device: Device

    def record(self) -> None:
        self.due = list(self.device.queue)

    def synchronize(self) -> None:
        self.device.waits += 1
        for work in self.due:
            work()
            self.device.queue.remove(work)
        self.due = []


@dataclass(eq=False)
class Device:
    """Work that was given to the device and that nobody has waited for."""

    type: str = "cuda"
    queue: list[Callable[[], None]] = field(default_factory=list)
    waits: int = 0


@dataclass
class Request:
    session: int
    prompt: list[int]
    output: list[int] = field(default_factory=list)
    slot: int = -1
    computed: int = 0
    added_with: int = 0
    """Tokens that it was last added with: all of them are prefilled."""

    @property
    def tokens(self) -> list[int]:
        return self.prompt + self.output


class Runner:
    """Slots and steps as Model Runner V2 has them. `pinned` as on GPUs, or plain tensors."""

    def __init__(self, decide: Callable[[FeedRow], Decision] = lambda fed: LEAVE) -> None:
        self.device = Device()
        event = type("Event", (LateEvent,), {"device": self.device})
        self.buffer = np.full((SLOTS, LONGEST), -9, dtype=np.int32)
        self.prompt_len = np.zeros(SLOTS, dtype=np.int32)
        self.prefill_len = np.zeros(SLOTS, dtype=np.int32)
        state = LogitsProcRequestState(
            device=self.device,  # type: ignore[arg-type]
            max_num_reqs=SLOTS,
            vocab_size=VOCABULARY,
            all_token_ids=SimpleNamespace(_uva_buf=SimpleNamespace(np=self.buffer)),  # type: ignore[arg-type]
            prompt_len=SimpleNamespace(np=self.prompt_len),  # type: ignore[arg-type]
            prefill_len=SimpleNamespace(np=self.prefill_len),  # type: ignore[arg-type]
            total_len=None,  # type: ignore[arg-type]
        )
        self.feeds = FakeFeeds(decide)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(torch.cuda, "Event", event)
            self.processor = ModsProcessor(SimpleNamespace(speculative_config=None), state)  # type: ignore[arg-type]
        self.processor.batch = Batch(self.feeds)  # type: ignore[arg-type]
        self.free = list(range(SLOTS))
        self.logits = torch.zeros(0, VOCABULARY)

    def add(self, request: Request, **more: Any) -> None:
        """A new request, or one that was preempted."""
        request.slot = self.free.pop()
        request.computed, request.added_with = 0, len(request.tokens)
        self.prompt_len[request.slot] = len(request.prompt)
        self.prefill_len[request.slot] = request.added_with
        slot, tokens = request.slot, request.tokens
        self.device.queue.append(lambda: self._write(slot, 0, tokens))
        extra = segment(request.session, **more).to_extra_args() if request.session else None
        params = SamplingParams(extra_args=extra)
        assert self.processor.add_request(slot, params) == bool(request.session)

    def remove(self, request: Request) -> None:
        self.free.append(request.slot)
        request.slot = -1

    def step(self, rows: list[tuple[Request, int]], sampled: int = 5) -> list[int]:
        """Compute so many tokens of each; returns what each row would draw greedily.

        A row draws `sampled` where its logits are left alone.
        """
        self.processor.apply_staged_writes()
        lengths = [request.computed + new for request, new in rows]
        slots = np.array([request.slot for request, _ in rows], dtype=np.intp)
        self.logits = torch.zeros(len(rows), VOCABULARY)
        self.logits[:, sampled] = 1.0
        drawn = self.processor.apply(self.logits, context(slots, lengths)).argmax(1).tolist()
        for (request, _), length, token in zip(rows, lengths, drawn, strict=True):
            request.computed = length
            if length >= request.added_with:
                slot, at = request.slot, len(request.tokens)
                request.output.append(token)
                self.device.queue.append(
                    lambda slot=slot, at=at, token=token: self._write(slot, at, [token])  # type: ignore[misc]
                )
        return [int(token) for token in drawn]

    def _write(self, slot: int, start: int, tokens: list[int]) -> None:
        self.buffer[slot, start : start + len(tokens)] = tokens

    def left(self, request: Request) -> int:
        return len(request.tokens) - request.computed


def context(slots: np.ndarray, lengths: list[int]) -> LogitsContext:
    """As vLLM builds it; the host's lengths are padded as they are for a full graph."""
    on_device = torch.from_numpy(slots)
    return LogitsContext(
        expanded_idx_mapping=on_device,
        idx_mapping=on_device,
        idx_mapping_np=slots,
        expanded_local_pos=torch.zeros(len(slots), dtype=torch.int32),
        input_ids=torch.zeros(len(slots), dtype=torch.int32),
        pos=torch.tensor(lengths) - 1,
        seq_lens_upper_bound_np=np.array([*lengths, 0, 0], dtype=np.int32),
    )


def test_the_newest_token_is_read_after_the_device_has_written_it() -> None:
    runner = Runner()
    request = Request(1, [11, 12, 13])
    runner.add(request)
    runner.step([(request, 3)], sampled=7)
    runner.step([(request, 1)], sampled=8)
    runner.step([(request, 1)])
    fed = [step["host-1"] for step in runner.feeds.fed]
    assert fed == [[FeedRow(1, 1, 0, -1)], [FeedRow(1, 1, 1, 7)], [FeedRow(1, 1, 2, 8)]]
    assert runner.buffer[request.slot, :5].tolist() == [11, 12, 13, 7, 8]


def test_what_was_queued_after_the_mark_is_not_waited_for() -> None:
    runner = Runner()
    request = Request(1, [11])
    runner.add(request)
    runner.processor.apply_staged_writes()
    forward = pytest.fail
    runner.device.queue.append(forward)
    runner.processor.apply(
        torch.zeros(1, VOCABULARY), context(np.array([request.slot], dtype=np.intp), [1])
    )
    assert runner.device.queue == [forward]


def test_rows_that_no_mod_watches_wait_for_nothing_and_keep_every_bit() -> None:
    runner = Runner(lambda fed: Force(9))
    plain, modded = Request(0, [11, 12]), Request(2, [13])
    runner.add(plain)
    runner.step([(plain, 2)])
    assert runner.device.waits == 0
    assert not runner.feeds.fed
    runner.add(modded)
    logits = torch.randn(2, VOCABULARY)
    before = logits.clone()
    runner.processor.apply_staged_writes()
    slots = np.array([plain.slot, modded.slot], dtype=np.intp)
    runner.processor.apply(logits, context(slots, [3, 1]))
    assert torch.equal(logits[0], before[0])
    assert logits[1].argmax() == 9
    runner.step([(plain, 1)])
    assert runner.device.waits == 1


def test_rows_are_ordered_anew_and_requests_are_not_mixed_up() -> None:
    runner = Runner(lambda fed: Force(fed.session))
    requests = [Request(session, [10 + session]) for session in (1, 2, 3)]
    for request in requests:
        runner.add(request)
    assert runner.step([(request, 1) for request in requests]) == [1, 2, 3]
    assert runner.step([(requests[2], 1), (requests[0], 1)]) == [3, 1]
    assert runner.step([(requests[1], 1), (requests[2], 1), (requests[0], 1)]) == [2, 3, 1]
    assert sorted(runner.feeds.fed[-1]["host-1"], key=lambda fed: fed.session) == [
        FeedRow(1, 1, 2, 1),
        FeedRow(2, 1, 1, 2),
        FeedRow(3, 1, 2, 3),
    ]


def test_a_slot_that_was_given_to_another_request_has_forgotten_the_last_one() -> None:
    runner = Runner(lambda fed: Force(fed.session))
    first = Request(1, [11])
    runner.add(first)
    runner.step([(first, 1)])
    slot = first.slot
    runner.remove(first)
    plain = Request(0, [12])
    runner.add(plain)
    assert plain.slot == slot
    assert runner.step([(plain, 1)]) == [5]
    runner.remove(plain)
    other = Request(3, [13, 14])
    runner.add(other, segment=2)
    assert other.slot == slot
    assert runner.step([(other, 2)]) == [3]
    assert runner.feeds.fed[-1] == {"host-1": [FeedRow(3, 2, 0, -1)]}


def test_the_row_of_an_unfinished_prompt_is_neither_fed_nor_edited() -> None:
    runner = Runner(lambda fed: Force(9))
    long, short = Request(1, list(range(10, 17))), Request(2, [11])
    runner.add(long)
    runner.add(short)
    assert runner.step([(long, 3), (short, 1)]) == [5, 9]
    assert runner.feeds.sessions() == [2]
    assert runner.step([(short, 1), (long, 3)]) == [9, 5]
    assert runner.step([(long, 1), (short, 1)]) == [9, 9]
    assert runner.feeds.sessions() == [1, 2]


def test_a_resumed_request_goes_on_where_it_was_preempted() -> None:
    runner = Runner()
    request = Request(1, [11, 12], slot=-1)
    runner.add(request, kept=1)
    runner.step([(request, 2)], sampled=7)
    runner.step([(request, 1)], sampled=8)
    runner.remove(request)
    other = Request(0, [3])
    runner.add(other)
    runner.add(request, kept=1)
    assert request.slot != other.slot
    assert runner.prefill_len[request.slot] > runner.prompt_len[request.slot]
    runner.step([(request, 3), (other, 1)])
    assert len(runner.feeds.fed) == 2, "not all of its output has been prefilled"
    runner.step([(request, 1)])
    assert runner.feeds.fed[-1] == {"host-1": [FeedRow(1, 1, 3, 8)]}
    runner.step([(request, 1)])
    assert runner.feeds.fed[-1] == {"host-1": [FeedRow(1, 1, 4, 5)]}


def test_a_segment_that_ended_is_not_fed_in_the_step_that_was_planned_ahead() -> None:
    runner = Runner(lambda fed: END_SEGMENT if fed.position else LEAVE)
    request, other = Request(1, [11]), Request(2, [12])
    runner.add(request)
    runner.step([(request, 1)])
    assert runner.step([(request, 1)]) == [SENTINEL]
    runner.add(other)
    assert runner.step([(request, 1), (other, 1)]) == [5, 5]
    assert runner.feeds.sessions() == [2]


def test_penalties_count_the_sessions_tokens() -> None:
    runner = Runner()
    request = Request(1, [11, 12, 13])
    runner.add(request, kept=1, penalties=Penalties(presence=0.0, frequency=0.25))
    runner.step([(request, 3)], sampled=7)
    runner.step([(request, 1)], sampled=7)
    runner.step([(request, 1)], sampled=7)
    row = runner.logits[0]
    assert (row[7], row[13], row[12], row[11]) == (0.5, -0.25, 0.0, 0.0)


def test_warm_up_with_dummy_parameters_is_let_through() -> None:
    runner = Runner(lambda fed: pytest.fail("a dummy was fed"))
    processor = runner.processor
    assert processor.add_request(0, SamplingParams.for_sampler_warmup()) is False
    assert processor.add_request(1, object()) is False  # type: ignore[arg-type]
    processor.apply_staged_writes()
    logits = torch.randn(SLOTS, VOCABULARY)
    before = logits.clone()
    slots = np.arange(SLOTS, dtype=np.intp)
    assert torch.equal(processor.apply(logits, context(slots, [1] * SLOTS)), before)


def test_a_dummy_run_over_a_slot_whose_request_has_gone_asks_nobody() -> None:
    runner = Runner()
    request = Request(1, [11, 12, 13])
    runner.add(request)
    runner.step([(request, 3)])
    runner.remove(request)
    slots = np.arange(SLOTS, dtype=np.intp)
    runner.processor.apply(torch.zeros(SLOTS, VOCABULARY), context(slots, [1] * SLOTS))
    assert len(runner.feeds.fed) == 1


def test_an_exception_inside_ends_segments_and_never_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("unforeseen")

    for name in ("wait", "tokens"):
        runner = Runner()
        request, plain = Request(1, [11]), Request(0, [12])
        runner.add(request)
        runner.add(plain)
        monkeypatch.setattr(runner.processor._history, name, explode)
        assert runner.step([(plain, 1), (request, 1)]) == [5, SENTINEL]
    runner = Runner()
    request = Request(1, [11])
    runner.add(request)
    runner.feeds.before_collect = explode
    assert runner.step([(request, 1)]) == [SENTINEL]


def test_arguments_that_cannot_be_read_leave_a_plain_request() -> None:
    runner = Runner()
    broken = SamplingParams(extra_args={"concordance": [1]})
    assert runner.processor.add_request(0, broken) is False


def test_speculation_is_refused_when_the_worker_starts() -> None:
    with pytest.raises(ValueError, match="speculative"):
        ModsProcessor(SimpleNamespace(speculative_config=object()), None)  # type: ignore[arg-type]


def test_tokens_on_a_device_without_pinned_memory_are_read_too() -> None:
    runner = Runner()
    request = Request(1, [11, 12])
    runner.add(request)
    runner.processor._history._tokens = None
    copied = SimpleNamespace(gpu=torch.from_numpy(runner.buffer))
    object.__setattr__(runner.processor._history._state, "all_token_ids", copied)
    runner.step([(request, 2)], sampled=7)
    runner.step([(request, 1)])
    assert runner.feeds.fed[-1] == {"host-1": [FeedRow(1, 1, 1, 7)]}


steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "add plain", "finish", "preempt", "resume", "step", "step"]),
        st.randoms(use_true_random=False),
    ),
    max_size=40,
)


@given(steps)
@settings(deadline=None)
def test_every_watched_draw_is_fed_once_with_the_right_token_whatever_happens(
    sequence: list[tuple[str, Any]],
) -> None:
    """Against the requests' own lists: slots reused, rows shuffled, chunks, preemption."""
    runner = Runner(lambda fed: Force(fed.position % 8) if fed.session % 2 else LEAVE)
    living: list[Request] = []
    waiting: list[Request] = []
    for number, (what, random) in enumerate(sequence, 1):
        if what.startswith("add") and runner.free:
            session = 0 if what == "add plain" else number
            living.append(Request(session, [random.randrange(8) for _ in range(1 + number % 5)]))
            runner.add(living[-1])
        elif what == "resume" and waiting and runner.free:
            living.append(waiting.pop())
            runner.add(living[-1])
        elif what in ("finish", "preempt") and living:
            gone = living.pop(random.randrange(len(living)))
            runner.remove(gone)
            if what == "preempt":
                waiting.append(gone)
        elif what == "step" and living:
            taken = random.sample(living, random.randint(1, len(living)))
            rows = [(request, random.randint(1, runner.left(request))) for request in taken]
            rows = [(r, n) for r, n in rows if len(r.tokens) < LONGEST]
            expected = sorted(
                (r.session, 1, len(r.output), r.output[-1] if r.output else -1)
                for r, n in rows
                if r.session and r.computed + n >= r.added_with
            )
            before = len(runner.feeds.fed)
            drawn = runner.step(rows) if rows else []
            fed = [f for step in runner.feeds.fed[before:] for f in step["host-1"]]
            assert sorted((f.session, f.segment, f.position, f.token) for f in fed) == expected
            for (request, _), token in zip(rows, drawn, strict=True):
                sampled = request.computed >= request.added_with
                forced = request.session % 2 == 1 and sampled
                assert token == ((len(request.output) - 1) % 8 if forced else 5)
