"""A stream of the reference loop shows what nothing can take back, and ends its session once."""

from __future__ import annotations

from typing import Any

import pytest

from mods.runtime.seat import LoadedMod
from mods.sdk.events import Added, Event, Finished
from server.engine.reference.loop import BusyError, ReferenceLoop
from tests.server.engine.reference.asking import (
    COUNT,
    COUNTED,
    FRANCE,
    PARIS,
    begin,
    mod,
    once,
    say,
)


@pytest.mark.parametrize("reach", [0, 4, None])
def test_a_stream_shows_what_no_reach_touches(loop: ReferenceLoop, reach: int | None) -> None:
    session, stream = begin(loop, COUNT, mod(lambda *_: None, reach=reach))
    pieces = list(stream)
    assert "".join(piece.text for piece in pieces) == session.generation.text == COUNTED
    shown = [token for piece in pieces for token in piece.tokens]
    assert shown == session.generation.tokens
    if reach is None:
        assert len(pieces) == 1
    else:
        # The newest token waits for its verdict, and the ending one for the end.
        assert len(pieces) == len(shown) - reach - 1
        assert len(pieces[-1].tokens) == reach + 2


def test_nothing_that_was_shown_is_taken_back(loop: ReferenceLoop) -> None:
    taken = once(Added, lambda event, actions, _: actions.backtrack(3, "!"), position=12)
    session, stream = begin(loop, COUNT, mod(taken, reach=4))
    pieces = list(stream)
    assert len(pieces) > 5
    assert "".join(piece.text for piece in pieces) == session.generation.text
    assert "!" in session.generation.text

    far = once(Added, lambda event, actions, _: actions.backtrack(5), position=8)
    session, stream = begin(loop, COUNT, mod(far, reach=2))
    assert list(stream)
    failure = session.generation.failure
    assert failure is not None
    assert failure.type == "reach_exceeded"


def test_output_replaced_after_text_was_shown_must_extend_it(loop: ReferenceLoop) -> None:
    def swap(text: str) -> LoadedMod:
        act = once(Added, lambda event, actions, _: actions.force_output(text), position=6)
        return mod(act, reach=0)

    for text, fails in (("1, 2, 3, and so on", False), ("no", True)):
        session, stream = begin(loop, COUNT, swap(text))
        pieces = "".join(piece.text for piece in stream)
        made = session.generation
        assert (made.failure is not None) == fails
        assert pieces == text or (fails and COUNTED.startswith(pieces))


def test_a_stream_that_is_closed_ends_its_session_once(loop: ReferenceLoop) -> None:
    reasons: list[str] = []

    def note(event: Event, *_: Any) -> None:
        if isinstance(event, Finished):
            reasons.append(event.reason)

    session, stream = begin(loop, COUNT, mod(note, reach=0))
    first = next(stream)
    with pytest.raises(BusyError):
        say(loop, FRANCE)
    stream.close()  # type: ignore[attr-defined]
    assert reasons == ["aborted"]
    assert session.generation.finish_reason == "aborted"
    assert session.generation.tokens[: len(first.tokens)] == first.tokens

    session, stream = begin(loop, COUNT, mod(note, reach=0))
    next(stream)
    session.abort()
    assert not list(stream)
    assert reasons == ["aborted", "aborted"]
    assert say(loop, FRANCE).text == PARIS
