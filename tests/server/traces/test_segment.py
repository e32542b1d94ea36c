"""Segments: whatever a crash or a bad disk leaves of one, what is whole is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.traces.segment import (
    MARK,
    OPEN,
    SEALED,
    SegmentReader,
    SegmentWriter,
    frame,
    parse,
    segments,
)
from tests.server.traces.records import patient

payloads = st.lists(
    st.binary(max_size=40) | st.sampled_from([MARK, MARK * 5, frame(b"inner")[:-1]]), max_size=6
)


@patient
@given(payloads)
def test_what_is_written_is_read(written: list[bytes]) -> None:
    data = b"".join(map(frame, written))
    assert parse(data, final=False) == (written, len(data), 0)


@patient
@given(payloads)
def test_a_tail_torn_at_any_byte_costs_one_frame_at_most(written: list[bytes]) -> None:
    data = b"".join(map(frame, written))
    ends = [sum(len(frame(p)) for p in written[:n]) for n in range(len(written) + 1)]
    for length in range(len(data)):
        whole = max(n for n, end in enumerate(ends) if end <= length)
        torn = length - ends[whole]
        final = parse(data[:length], final=True)
        assert final == (written[:whole], length, 1 if torn else 0)
        growing = parse(data[:length], final=False)
        assert growing == (written[:whole], ends[whole], 0), "an unfinished frame is left for later"


texts = st.lists(st.text(max_size=30).map(str.encode), max_size=6)


@patient
@given(texts, st.data())
def test_a_damaged_byte_costs_one_frame(written: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(map(frame, written))
    if not whole:
        return
    place = data.draw(st.integers(0, len(whole) - 1))
    change = data.draw(st.integers(1, 255))
    damaged = whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :]
    found, consumed, lost = parse(damaged, final=True)
    assert consumed == len(whole)
    assert lost == 1
    hit = next(
        n for n in range(len(written)) if place < sum(map(len, map(frame, written[: n + 1])))
    )
    assert found == [payload for n, payload in enumerate(written) if n != hit]


def test_a_limit_is_kept_to_after_the_first_frame() -> None:
    data = frame(b"x" * 50) + frame(b"y" * 50) + frame(b"z")
    assert parse(data, final=True, limit=10).payloads == [b"x" * 50]
    assert parse(data, final=True, limit=51).payloads == [b"x" * 50, b"y" * 50]


def test_a_growing_segment_is_read_as_it_grows(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    reader = SegmentReader(writer.path)
    assert reader.read(final=False) == []
    assert writer.append([frame(b"one"), frame(b"two")]) == 2
    assert reader.read(final=False) == [b"one", b"two"]
    assert reader.read(final=False) == []
    assert writer.append([frame(b"three")]) == 1
    assert reader.read(final=True) == [b"three"]
    assert reader.position == writer.length
    assert reader.damaged == 0
    reader.close()


def test_numbers_rise_and_a_seal_is_a_name(tmp_path: Path) -> None:
    first = SegmentWriter(tmp_path)
    first.seal()
    second = SegmentWriter(tmp_path)
    (one, sealed), (two, open_) = segments(tmp_path)
    assert one < two
    assert (sealed.suffix, open_.suffix) == (SEALED, OPEN)
    assert open_ == second.path


@pytest.mark.parametrize("name", ["spool.lock", "x.open", "12.txt", "refused"])
def test_other_files_of_the_folder_are_no_segments(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert segments(tmp_path) == []
