"""What is read off one stream and off a block of them."""

from __future__ import annotations

import pytest

from bench.answer import Answer, Ask, Block, Event, cost, speed, tpot, tpot_without_mods


def answer(times: list[float], tokens: int, mod: str | None = None) -> Answer:
    events = [Event(time) for time in times]
    return Answer(Ask([5, 6], tokens, mod), events, {"completion_tokens": tokens}, times[-1])


def test_tpot_leaves_the_first_token_out_and_believes_the_server_s_count() -> None:
    # Two of five tokens came in one event: a client that counts events would say four.
    assert answer([1.0, 1.1, 1.2, 1.4], tokens=5).tpot == pytest.approx(0.1)


def test_a_block_s_tpot_is_the_mean_over_its_requests() -> None:
    block = Block([answer([0, 1], 2), answer([0, 9], 4)], wall=9, cores=1)
    assert tpot(block) == pytest.approx(2000)


def test_the_tpot_of_neighbours_leaves_requests_with_mods_out() -> None:
    block = Block([answer([0, 1], 2), answer([0, 9], 2, "slow")], wall=9, cores=1)
    assert tpot_without_mods(block) == pytest.approx(1000)
    assert tpot(block) == pytest.approx(5000)


def test_blocks_add_up_and_their_values_are_per_token_returned() -> None:
    one, other = answer([0, 1], 100), answer([0, 1], 300)
    both = Block([one], 0.5, 0.25, 3, 1) + Block([other], 1.5, 0.5, 4, 0)
    assert both == Block([one, other], 2.0, 0.75, 7, 1)
    assert speed(both) == 200
    assert cost(both) == pytest.approx(1875)


def test_tokens_that_were_taken_back_are_not_among_those_that_stayed() -> None:
    events = [Event(0, [1, 2, 3]), Event(1, [4]), Event(2, [8, 9], removed=3)]
    found = Answer(Ask([5], 3, watched=True), events, {"completion_tokens": 3}, 2)
    assert found.ids == [1, 8, 9]
    assert [gap for gap, event in found.gaps if event.removed] == [1]


def test_a_request_names_its_mod_and_asks_for_a_fixed_length() -> None:
    body = Ask([5, 6], 7, "calm").body("base")
    assert body["model"] == "base/calm"
    assert (body["prompt"], body["max_tokens"], body["ignore_eos"]) == ([5, 6], 7, True)
    assert "stream_removed" not in body


def test_only_a_watched_request_with_a_mod_is_told_of_removals() -> None:
    assert "stream_removed" not in Ask([5], 7, watched=True).body("base")
    watched = Ask([5], 7, "calm", watched=True).body("base")
    assert watched["stream_removed"] is True
    assert watched["return_token_ids"] is True


def test_messages_go_to_the_chat_route() -> None:
    ask = Ask([{"role": "user", "content": "hi"}], 3)
    assert ask.is_chat
    assert ask.body("base")["messages"] == [{"role": "user", "content": "hi"}]
