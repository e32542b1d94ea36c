"""Dry runs and confidence on the real engine: what is told is what requests get."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.engine.live import Live

QUESTION = "What is the capital of France?"

REWRITE = """
from mods.sdk import Added, ForwardPass, mod
runs = set()

@mod(reach=8)
def rewrite(event, actions, tokenizer):
    runs.add(event.request_id)
    if isinstance(event, ForwardPass) and event.position == 0:
        print("run", len(runs))
        return actions.force_tokens("Ahoy! ")
    if isinstance(event, Added) and not event.forced and event.text.endswith("Paris"):
        return actions.backtrack(len(event.added_tokens), "Rome")
"""
BROKEN = """
from mods.sdk import Added, mod

@mod
def broken(event, actions, tokenizer):
    if isinstance(event, Added) and event.position == 3:
        raise KeyError("lost")
"""
SURE = """
from mods.sdk import ForwardPass, mod

@mod
def sure(event, actions, tokenizer):
    if isinstance(event, ForwardPass):
        c = event.confidence
        print(event.position, repr(c.entropy), repr(c.margin), *c.top(2)[0], *c.top(2)[1])
"""
PLAIN = """
from mods.sdk import ForwardPass, mod

@mod
def plain(event, actions, tokenizer):
    if isinstance(event, ForwardPass):
        import numpy as np
        row = event.logits.to_numpy()[0].astype(np.float64)
        share = np.exp(row - row.max()); share /= share.sum()
        one, two = np.argsort(-share, kind="stable")[:2]
        entropy = -(share[share > 0] * np.log(share[share > 0])).sum()
        print(event.position, repr(float(entropy)), repr(float(share[one] - share[two])),
              one, share[one], two, share[two])
"""
DOUBTS = """
from mods.sdk import ForwardPass, mod

@mod
def doubts(event, actions, tokenizer):
    if isinstance(event, ForwardPass) and event.confidence.margin < 0.5:
        return actions.force_tokens([event.confidence.top(2)[1][0]])
"""


def dry_run(live: Live, source: str, **asked: Any) -> Any:
    body = {"source": source, "prompt": QUESTION, "max_tokens": 48, **asked}
    answer = live.post("/v1/mods/dry-run", body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_dry_run_says_what_a_request_would(live: Live) -> None:
    came = dry_run(live, REWRITE)
    name = live.upload(REWRITE)
    assert came["text"] == live.say(QUESTION, name)
    assert came["text"].startswith("Ahoy! ")
    assert "".join(token["text"] for token in came["tokens"]) == came["text"]
    assert {token["mod"] for token in came["tokens"]} == {None, name}
    usage = live.chat(QUESTION, name).json()["usage"]
    assert came["usage"] == {kind: usage[kind] for kind in came["usage"]}
    names = [event["event"] for event in came["events"]]
    assert (names[0], names[-1]) == ("Prefilled", "Finished")
    assert names.count("Sampled") >= came["usage"]["sampled_tokens"]


def test_nothing_is_left_behind(live: Live) -> None:
    before = httpx.get(f"{live.url}/v1/mods").json()["data"]
    for _ in range(3):
        assert dry_run(live, REWRITE)["prints"] == [{"mod": "rewrite", "text": "run 1"}]
    assert httpx.get(f"{live.url}/v1/mods").json()["data"] == before
    assert live.metric("concordance_sessions_running") == 0


def test_a_stream_is_told_piece_by_piece_and_ends_in_the_same_text(live: Live) -> None:
    whole, streamed = dry_run(live, REWRITE), dry_run(live, REWRITE, stream=True)
    assert streamed["text"] == "".join(streamed["shown"]) == whole["text"]
    assert len(streamed["shown"]) > 2


def test_a_mod_that_fails_is_told_up_to_where_it_did(live: Live) -> None:
    came = dry_run(live, BROKEN)
    assert (came["status"], came["finish_reason"]) == (422, "error")
    assert "KeyError" in came["message"]
    assert "Traceback" in came["failures"][0]["traceback"]
    assert came["events"][-1]["reason"] == "error"
    assert len(came["tokens"]) == 3


def test_a_raw_prompt_is_gone_on_with(live: Live) -> None:
    came = dry_run(live, REWRITE, prompt="one, two, three,", raw=True, max_tokens=12)
    assert (came["status"], came["usage"]["forced_tokens"] > 0) == (200, True)


def test_many_dry_runs_at_once_are_each_their_own(live: Live) -> None:
    with ThreadPoolExecutor(8) as pool:
        came = list(pool.map(lambda _: dry_run(live, REWRITE), range(8)))
    assert len({each["text"] for each in came}) == 1
    assert all(each["prints"] == [{"mod": "rewrite", "text": "run 1"}] for each in came)


def numbers(came: Any) -> list[list[float]]:
    return [[float(word) for word in line["text"].split()] for line in came["prints"]]


def test_confidence_is_that_of_the_model_s_own_row(live: Live) -> None:
    told, computed = numbers(dry_run(live, SURE)), numbers(dry_run(live, PLAIN))
    assert len(told) == len(computed) > 4
    for mine, theirs in zip(told, computed, strict=True):
        for value, wanted in zip(mine, theirs, strict=True):
            assert math.isclose(value, wanted, rel_tol=1e-3, abs_tol=1e-4)


def test_confidence_costs_no_rows_and_changes_nothing(live: Live) -> None:
    name = live.upload(SURE)
    traits = httpx.get(f"{live.url}/v1/mods/{name}").json()
    assert (traits["confidence"], traits["logits"]) == (True, False)
    with ThreadPoolExecutor(32) as pool:
        said = list(pool.map(lambda _: live.say(QUESTION, name), range(32)))
    assert set(said) == {live.say(QUESTION)}


def test_a_mod_that_acts_on_confidence_does_the_same_alone_and_among_many(live: Live) -> None:
    alone = dry_run(live, DOUBTS, prompt="Tell me about cats.")
    name = live.upload(DOUBTS)
    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(lambda _: live.say("Tell me about cats.", name), range(16)))
    assert set(said) == {alone["text"]}
