"""What a host may say, value by value."""

from __future__ import annotations

from typing import Any

import pytest

from mods.runtime.compile import Traits
from mods.runtime.decisions import (
    END_SEGMENT,
    LEAVE,
    Decision,
    Fail,
    Finish,
    Held,
    PassedEnd,
    Resume,
    Shape,
    Usage,
)
from mods.runtime.host.cells import MAX_CELLS, bound_cells
from mods.runtime.host.decoding import TooSlowError, decode
from mods.runtime.host.frames import frame
from mods.runtime.host.hearsay import Nonsense, check_reply, fit_load, fit_record, plain
from mods.runtime.host.protocol import FROM_HOST, Closed, Loaded, LoadFailed, Reply
from mods.sdk.constraints import Regex
from tests.mods.runtime.host.acting import NOOP, package, spec

SPEC = spec(1)
TESTED = [package(NOOP)]


@pytest.mark.parametrize(
    "answer",
    [
        Resume(1, 0, [], 0),
        Resume(3, 20, [1, 2, 63], 5, prompt=[1], max_tokens=50, erased=4),
        Finish(0, [5], "stop", Usage(1, 2, 3), stop_reason="end"),
        Finish(0, [5], "length", Usage(), stop_reason=63, passed_ends=[PassedEnd(0, "x")]),
        Finish(
            0,
            [],
            "tool_calls",
            Usage(),
            tool_calls=[
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        ),
        Fail(422, "mod_exception", "no"),
        Fail(424, "mod_host_error", "no", Usage()),
    ],
)
def test_what_a_machine_says_passes(answer: Any) -> None:
    check_reply(SPEC, Reply(1, answer, 3))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Resume(0, 0, [], 0), "segment 0"),
        (Resume(1, -1, [], 0), "to keep -1"),
        (Resume(1, 1001, [], 0), "to keep 1001"),
        (Resume(1, 0, [64], 0), "outside the vocabulary"),
        (Resume(1, 0, [1] * 1001, 0), "1001 tokens"),
        (Resume(1, 0, [], 0, prompt=[]), "empty prompt"),
        (Resume(1, 0, [], 0, max_tokens=-1), "-1 tokens at most"),
        (Resume(1, 0, [], 0, erased=-1), "erased"),
        (Resume(1, 0, [], 0, barred=[-1]), "barred tokens outside"),
        (Resume(1, 0, [], 0, reach=-1), "a reach of -1"),
        (Resume(1, 0, [], 0, held=[Held(Regex("a"), -2)]), "a constraint from -2 on"),
        (Resume(1, 0, [], 0, held=[Held(Regex("a"), 0)] * 65), "65 constraints"),
        (Resume(1, 0, [], 0, passed_ends=[PassedEnd(-2)]), "an end at -2"),
        (Finish(0, [], "abort", Usage()), "finish reason 'abort'"),
        (Finish(0, [], "stop", Usage(erased=-1)), "-1 tokens used"),
        (Finish(0, [], "stop", Usage(), stop_reason=99), "the token that ended it"),
        (Finish(0, [], "stop", Usage(), tool_calls=[{"function": {"name": 3}}]), "no strings"),
        (Finish(0, [], "stop", Usage(), tool_calls=[{}] * 129), "129 tool calls"),
        (Fail(500, "x", "no"), "status 500"),
        (Fail(422, "x y", "no"), "no type"),
    ],
)
def test_what_no_machine_says_does_not(answer: Any, words: str) -> None:
    with pytest.raises(Nonsense, match=words):
        check_reply(SPEC, Reply(1, answer, 3))


def test_a_slot_is_one_of_the_page_s() -> None:
    for slot in (-2, 16_384, 2**62):
        with pytest.raises(Nonsense, match="slot"):
            check_reply(SPEC, Reply(1, Resume(1, 0, [], 0), slot))


def test_a_failure_is_made_fit_for_a_page_and_a_terminal() -> None:
    fail = Fail(422, "mod_exception", "\x1b[2J" + "x" * 99_999)
    check_reply(SPEC, Reply(1, fail, 0))
    assert fail.message.startswith("\ufffd[2J")
    assert len(fail.message) == 16_384


@pytest.mark.parametrize(
    "traits",
    [
        [],
        [Traits("other")],
        [Traits("tested", events=frozenset({"Never"}))],
        [Traits("tested", reach=-1)],
        [Traits("tested", on_error="explode")],
        [Traits("tested", deadline=float("inf"))],
    ],
)
def test_traits_are_of_the_mods_that_were_loaded(traits: list[Traits]) -> None:
    with pytest.raises(Nonsense):
        fit_load(TESTED, Loaded(traits, []))


def test_a_load_s_prints_are_bounded_and_its_status_is_the_client_s() -> None:
    loaded = fit_load(TESTED, Loaded([Traits("tested")], ["x" * 99_999] * 500))
    assert len(loaded.prints) == 200
    assert len(loaded.prints[0]) == 16_384
    with pytest.raises(Nonsense, match="status 200"):
        fit_load(TESTED, LoadFailed(200, "fine", "all is well"))


@pytest.mark.parametrize(
    "record",
    [
        {"logs": 3},
        {"logs": [3]},
        {"logs": [{"mod": 3, "text": "x"}]},
        {"logs": [{}] * 10_001},
        {"failures": [{"mod": "x", "message": None}]},
    ],
)
def test_a_record_holds_prints_and_failures_as_they_are_written_down(record: Any) -> None:
    with pytest.raises(Nonsense):
        fit_record(record)


def test_prints_cannot_steer_a_terminal() -> None:
    record = fit_record({"logs": [{"mod": "m", "text": "a\rb\x1b[31m\tc"}], "more": [1]})
    assert record == {"logs": [{"mod": "m", "text": "a\ufffdb\ufffd[31m\tc"}], "more": [1]}
    assert plain("é 漢\n") == "é 漢\n"


def test_a_message_that_is_slow_to_read_is_refused_once_it_is_read() -> None:
    nests = bytearray(frame(Closed(1, {"x": [[]] * 2**21}))[4:])
    with pytest.raises(TooSlowError, match="ms to read"):
        decode(FROM_HOST, nests)
    assert decode(FROM_HOST, bytearray(frame(Closed(1, {}))[4:])) == Closed(1, {})


def test_rows_beyond_what_a_step_can_carry_wait_for_another_one() -> None:
    half = Shape(ban=list(range(MAX_CELLS // 2)))
    whole = Shape(bias=dict.fromkeys(range(2 * MAX_CELLS), 1.0))
    light = Shape(temperature=0.5)
    decisions: list[Decision] = [LEAVE, half, light, half, half, light]
    bound_cells(decisions)
    assert decisions == [LEAVE, half, light, half, END_SEGMENT, light]
    decisions = [whole, half, light]
    bound_cells(decisions)
    assert decisions == [whole, END_SEGMENT, light]
