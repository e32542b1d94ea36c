"""Every request of a real server can be read back: through engine, hosts, spool and Postgres."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.engine.live import MODEL, Live, serving
from tests.engine.mods import NOOP

pytestmark = pytest.mark.engine

TAKES_BACK = """
from mods.sdk import Added, mod

done = set()

@mod(reach=8)
def takes_back(event, actions, tokenizer):
    if isinstance(event, Added) and event.position == 4 and event.request_id not in done:
        done.add(event.request_id)
        print("back")
        return actions.backtrack(2, " well,")
"""
BROKEN = """
from mods.sdk import Added, mod

@mod
def broken(event, actions, tokenizer):
    if isinstance(event, Added):
        raise KeyError("lost")
"""
QUESTION = "What is the capital of France?"


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    """With a home that the account of the embedded Postgres may enter."""
    home = Path(tempfile.mkdtemp(prefix="concordance-traces-"))
    home.chmod(0o755)
    with serving(home, CONCORDANCE_EMBEDDED_POSTGRES="true", CONCORDANCE_TRACE="tokens") as live:
        yield live
    shutil.rmtree(home, ignore_errors=True)


def trace(server: Live, request_id: str) -> dict[str, Any]:
    """The stored trace, as soon as it is there."""
    for _ in range(300):
        answer = httpx.get(f"{server.url}/logs/{request_id}", timeout=30)
        if answer.status_code == 200:
            found: dict[str, Any] = answer.json()
            return found
        time.sleep(0.1)
    raise AssertionError(answer.text)


def kinds(record: dict[str, Any]) -> list[str]:
    return [event["event_type"] for event in record["events"]]


@pytest.mark.parametrize("mods", [(), (NOOP,)])
def test_a_trace_has_what_the_client_got(server: Live, mods: tuple[str, ...]) -> None:
    names = [server.upload(source) for source in mods]
    answer = server.chat(QUESTION, *names, return_token_ids=True).json()
    record = trace(server, answer["id"])
    request, (choice,) = record["request"], answer["choices"]
    assert request["final_text"] == choice["message"]["content"]
    assert request["final_token_ids"] == choice["token_ids"]
    assert request["finish_reason"] == choice["finish_reason"]
    assert request["messages"][0]["content"] == QUESTION
    assert request["usage"]["sampled"] == answer["usage"]["completion_tokens"]
    assert [mod["name"] for mod in request.get("mods", [])] == names
    assert kinds(record)[:4] == ["Prefilled", "ForwardPass", "Sampled", "Added"]
    assert kinds(record)[-1] == "Finished"


def test_what_a_mod_did_is_told_token_by_token(server: Live) -> None:
    name = server.upload(TAKES_BACK)
    answer = server.chat(QUESTION, name, mod_record=True).json()
    record = trace(server, answer["id"])
    (action,) = [each for each in record["actions"] if each["action_type"] == "backtrack"]
    assert (action["backtrack_steps"], len(action["before"])) == (2, 2)
    event = record["events"][
        record["mod_calls"][action["mod_call_sequence"]]["event_sequence_order"]
    ]
    assert event["removed_tokens"] == action["before"]
    assert record["mod_logs"][0]["log_message"] == "back"
    told = answer["mod_record"][0]["tokens"]
    assert record["request"]["final_token_ids"] == [token["id"] for token in told]


def test_full_has_candidates_that_the_client_does_not_see(server: Live) -> None:
    for names in ((), (server.upload(NOOP),)):
        answer = server.chat(QUESTION, *names, trace="full").json()
        assert answer["choices"][0]["logprobs"] is None
        record = trace(server, answer["id"])
        draws = [event for event in record["events"] if event["event_type"] == "ForwardPass"]
        best = [[one["token"] for one in event["top_tokens"]] for event in draws]
        assert all(len(tokens) == 5 for tokens in best)
        assert [tokens[0] for tokens in best] == record["request"]["final_token_ids"]
        assert all(event["entropy"] >= 0 for event in draws)


def test_streams_failures_and_clients_that_leave_are_traced_too(server: Live) -> None:
    name = server.upload(BROKEN)
    body = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 2000, "stream": True}
    ids = []
    for model in (MODEL, f"{MODEL}/{server.upload(NOOP)}"):
        asked = {**body, "model": model, "ignore_eos": True}
        url = f"{server.url}/v1/chat/completions"
        with httpx.stream("POST", url, json=asked, timeout=60) as answer:
            events = (line for line in answer.iter_lines() if line.startswith("data: {"))
            for _ in range(5):
                ids.append(json.loads(next(events)[6:])["id"])
    for request_id in set(ids):
        record = trace(server, request_id)
        assert record["request"]["finish_reason"] == "abort"
        assert len(record["request"]["final_token_ids"]) >= 2
    refused = server.chat(QUESTION, name)
    assert refused.status_code == 422
    failed = server_list(server, status="failed", mod=name)
    record = trace(server, failed[0]["request_id"])
    assert record["request"]["error"]["status"] == 422
    assert any("lost" in call.get("exception_message", "") for call in record["mod_calls"])


def server_list(server: Live, **query: Any) -> list[dict[str, Any]]:
    for _ in range(100):
        found = httpx.get(f"{server.url}/logs", params=query, timeout=30).json()["data"]
        if found:
            return list(found)
        time.sleep(0.1)
    raise AssertionError(f"nothing is listed for {query}")


def test_a_greedy_replay_says_the_same_and_a_branch_goes_its_own_way(server: Live) -> None:
    answer = server.chat(QUESTION, return_token_ids=True).json()
    original = trace(server, answer["id"])
    again = server.post(f"/logs/{answer['id']}/replay", {})
    assert again.status_code == 201, again.text
    assert again.json()["token_ids"] == answer["choices"][0]["token_ids"]
    name = server.upload(TAKES_BACK)
    branch = server.post(f"/logs/{answer['id']}/replay", {"step": 3, "mods": [name]}).json()
    assert trace(server, branch["request_id"])["request"]["parent_id"] == answer["id"]
    diff = httpx.get(f"{server.url}/logs/{answer['id']}/diff/{branch['request_id']}").json()
    assert diff["same"] >= 3
    assert diff["tokens_a"][0]["token"] == original["request"]["final_token_ids"][0]


def test_a_replay_of_a_later_choice_draws_what_that_choice_drew(server: Live) -> None:
    asked = {"n": 3, "seed": 100, "temperature": 2.0, "return_token_ids": True}
    for names in ((), (server.upload(NOOP),)):
        answer = server.chat(QUESTION, *names, **asked).json()
        choices = {choice["index"]: choice["token_ids"] for choice in answer["choices"]}
        last = f"{answer['id']}.2"
        assert trace(server, last)["request"]["final_token_ids"] == choices[2] != choices[0]
        assert server.post(f"/logs/{last}/replay", {}).json()["token_ids"] == choices[2]


def test_a_trace_from_outside_sets_nothing_that_is_vllm_s_own(server: Live) -> None:
    sampling = {"_bad_words_token_ids": [[]], "_all_stop_token_ids": [10**9], "min_tokens": 5}
    request = {"request_id": "odd", "user_prompt_token_ids": [1, 2], "sampling": sampling}
    assert server.post("/v1/ingest", {"request": request}).status_code == 201
    trace(server, "odd")
    assert len(server.post("/logs/odd/replay", {}).json()["token_ids"]) >= 5


def test_health_and_metrics_tell_how_traces_fare(server: Live) -> None:
    told = httpx.get(f"{server.url}/health").json()["traces"]
    assert (told["level"], told["postgres"]) == ("tokens", "ok")
    assert told["writer"]["state"] == "running"
    assert server.metric("concordance_traces_total") > 0
    assert server.metric("concordance_traces_dropped_total") == 0
