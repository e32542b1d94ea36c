"""The parts that need no process: frames, the page, what is heard of a print, plain answers."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from mods.runtime.decisions import Fail, Finish, Usage
from mods.runtime.host import page as pages
from mods.runtime.host.answers import answer_frame
from mods.runtime.host.arena import ArenaFile, ArenaMap
from mods.runtime.host.frames import MAX_FRAME, Frames, FrameTooLongError, frame
from mods.runtime.host.page import Page, PageReader
from mods.runtime.host.protocol import FROM_HOST, Closed, Reply
from mods.runtime.host.speech import MAX_LINE, Speech
from mods.runtime.record import Record, Speaker


def test_messages_come_out_whole_however_the_stream_was_cut() -> None:
    stream = frame(["one"]) + frame(["two", "x" * 300]) + frame([])
    for size in (1, 2, 3, 5, 64, len(stream)):
        frames = Frames()
        cuts = [stream[at : at + size] for at in range(0, len(stream), size)]
        bodies = [body for cut in cuts for body in frames.add(cut)]
        assert [msgspec.msgpack.decode(body) for body in bodies] == [
            ["one"],
            ["two", "x" * 300],
            [],
        ]


def test_a_length_that_no_message_may_have_is_refused() -> None:
    with pytest.raises(FrameTooLongError, match=str(MAX_FRAME + 1)):
        list(Frames().add((MAX_FRAME + 1).to_bytes(4, "little")))


def test_the_reader_sees_what_the_host_wrote_on_its_page(tmp_path: Path) -> None:
    page = Page(tmp_path / "page")
    reader = PageReader(tmp_path / "page")
    assert reader.running() == (0, 0, 0)
    before = time.monotonic_ns()
    page.call_begins(3)
    started, calls, seat = reader.running()
    assert before <= started <= time.monotonic_ns()
    assert (calls, seat) == (1, 3)
    page.call_ends()
    assert reader.running() == (0, 1, 3)
    slot = page.take_slot()
    assert slot is not None
    page.set_floor(slot, 41)
    assert reader.floor(slot) == 41
    page.give_slot(slot)
    assert page.take_slot() == slot
    assert reader.floor(slot) == 0


def test_a_page_that_was_cut_reads_as_zeros(tmp_path: Path) -> None:
    page = Page(tmp_path / "page")
    page.call_begins(1)
    reader = PageReader(tmp_path / "page")
    page.close()
    (tmp_path / "page").write_bytes(b"")
    assert reader.running() == (0, 0, 0)
    assert reader.floor(5) == 0
    reader.close()
    assert reader.floor(5) == 0


def test_slots_run_out_and_are_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "SLOTS", 2)
    page = Page(tmp_path / "page")
    assert [page.take_slot() for _ in range(3)] == [0, 1, None]
    page.give_slot(0)
    assert page.take_slot() == 0


def test_an_arena_can_neither_be_cut_nor_grown() -> None:
    arena = ArenaFile(3, 8)
    assert (arena.rows, arena.holds(4, 8), arena.holds(5, 8)) == (4, True, False)
    rows = np.arange(24, dtype=np.float32).reshape(3, 8)
    arena.write(rows)
    handed_over = os.dup(arena.descriptor)
    shared = ArenaMap(handed_over, arena.rows, arena.vocabulary)
    np.testing.assert_array_equal(shared.logits[:3], rows)
    for size in (0, 2**20):
        with pytest.raises(PermissionError):
            os.ftruncate(arena.descriptor, size)
    np.testing.assert_array_equal(arena.read(1), rows[1])
    arena.close()


def test_prints_are_heard_by_line_and_belong_to_who_speaks() -> None:
    by = Speaker()
    speech = Speech(by)
    print("early", file=speech)
    record = Record()
    by.voice.set((record, "loud"))
    print("one\ntwo", file=speech, end="")
    print(" and more", file=speech)
    print("x" * (MAX_LINE + 5), file=speech, end="")
    print("lone \udc80", file=speech, end="")
    speech.call_ends()
    texts = [entry["text"] for entry in record.logs]
    assert texts == ["one", "two and more", "x" * MAX_LINE, "lone ?"]
    assert {entry["mod"] for entry in record.logs} == {"loud"}
    by.voice.set(None)
    assert speech.unclaimed() == ["early"]
    assert speech.unclaimed() == []


def test_a_record_that_cannot_be_sent_is_made_plain() -> None:
    record = {"calls": 2**70, "logs": [{"text": "a\udc80", "of": object}]}
    answer = FROM_HOST.decode(answer_frame(Closed(1, record))[4:])
    assert isinstance(answer, Closed)
    assert answer.record["calls"] == 2**63 - 1
    assert answer.record["logs"][0]["text"] == "a?"


def test_a_record_that_is_too_long_keeps_what_came_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mods.runtime.host.answers.MAX_ANSWER", 1000)
    lines = [f"{number} {'x' * 90}" for number in range(40)]
    record = {"calls": 3, "logs": lines, "dropped": 2}
    answer = FROM_HOST.decode(answer_frame(Closed(1, record))[4:])
    assert isinstance(answer, Closed)
    assert answer.record["logs"] == lines[:10]
    assert answer.record["dropped"] == 2 + 30


def test_a_record_that_is_too_long_in_itself_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mods.runtime.host.answers.MAX_ANSWER", 1000)
    answer = FROM_HOST.decode(answer_frame(Closed(1, {"text": "x" * 2000}))[4:])
    assert isinstance(answer, Closed)
    assert "cannot be sent" in answer.record["failures"][0]["message"]


def test_what_cannot_be_sent_in_a_reply_fails_that_session() -> None:
    fail = Fail(400, "mod_emitted_error", "no \udc80", Usage(1, 2, 3))
    answer = FROM_HOST.decode(answer_frame(Reply(1, fail, 5))[4:])
    assert answer == Reply(1, Fail(400, "mod_emitted_error", "no ?", Usage(1, 2, 3)), 5)
    finish = Finish(0, [], "tool_calls", Usage(), tool_calls=[{"name": "\udc80"}])
    answer = FROM_HOST.decode(answer_frame(Reply(2, finish, 5))[4:])
    assert isinstance(answer, Reply)
    assert isinstance(answer.next, Fail)
    assert answer.next.status == 422
