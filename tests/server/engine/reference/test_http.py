"""The huggingface backend behind the server's own HTTP: what the reference loop says, it says."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from vllm.sampling_params import SamplingParams

from mods.runtime.load import load_chain
from mods.runtime.package import Package
from server.engine.reference.generation import Generation
from server.engine.reference.loop import ReferenceLoop
from tests.engine.live import MODEL, Live, serving
from tests.engine.mods import NOOP, REWRITE
from tests.server.engine.reference.asking import COUNT, COUNTED, FRANCE, PARIS, ask
from tests.timing import in_time, since

OPTIONS = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")

REDRAW = """
from mods.sdk import Added, Sampled, mod
left = {}

@mod(reach=4)
def redraw(event, actions, tokenizer):
    tries = left.setdefault(event.request_id, [3])
    if isinstance(event, Sampled) and event.position == 2 and tries[0]:
        tries[0] -= 1
        return actions.backtrack(2)
    if isinstance(event, Added) and event.position == 6 and not event.forced:
        return actions.force_tokens(" and so on and so on and so on,")
"""
"""Takes draws back, and forces runs long and short."""
READS = """
from mods.sdk import ForwardPass, mod

@mod
def reads(event, actions, tokenizer):
    if isinstance(event, ForwardPass):
        row = event.logits.to_numpy()
        row[0, int(row.argmax())] -= 4.0
        return actions.adjust_logits(row)
"""
BROKEN = """
from mods.sdk import mod

@mod
def broken(event, actions, tokenizer):
    raise KeyError("lost")
"""
SLOW = """
import time
from mods.sdk import Added, mod

@mod(reach=0)
def slow(event, actions, tokenizer):
    if isinstance(event, Added) and event.position == 3:
        time.sleep(2)
"""
STUCK = (
    "from mods.sdk import *\n@mod\ndef stuck(event, actions, tokenizer):\n    while True: pass\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    settings = {"CONCORDANCE_BACKEND": "huggingface", "CONCORDANCE_HARD_DEADLINE_S": "4"}
    with serving(tmp_path_factory.mktemp("home"), *OPTIONS, **settings) as live:
        yield live


def oracle(loop: ReferenceLoop, question: str, *sources: str, **params: Any) -> Generation:
    """What the loop says to the question, with these mods, by default greedily."""
    packages = [Package.from_source(source, path=f"m{i}.py") for i, source in enumerate(sources)]
    wanted = SamplingParams(**{"temperature": 0, "max_tokens": 48, **params})
    return loop.generate(ask(loop, question), wanted, load_chain(packages, {}))


def test_health_says_which_backend_it_is_and_no_engine_runs_beside_it(server: Live) -> None:
    for path in ("/health", "/healthz"):
        answer = httpx.get(server.url + path).json()
        told = {"status": "ok", "backend": "huggingface", "models": [MODEL]}
        assert told.items() <= answer.items()
    assert server.engine_processes() == set()


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"stop": ["5"]},
        {"stop": ["5"], "include_stop_str_in_output": True},
        {"stop_token_ids": [29], "max_tokens": 20},
        {"repetition_penalty": 1.3, "presence_penalty": 0.4, "frequency_penalty": 0.2},
        {"bad_words": ["3", "of"]},
        {"logit_bias": {50: -100.0}},
        {"min_tokens": 40},
        {"ignore_eos": True, "max_tokens": 60},
        {"temperature": 1.1, "seed": 9, "top_p": 0.95, "top_k": 40, "min_p": 0.01},
        {"temperature": 1.5, "seed": 10, "repetition_penalty": 1.2},
    ],
)
@pytest.mark.parametrize("sources", [(), (NOOP,), (REWRITE,), (REDRAW, REWRITE), (READS,)])
def test_an_answer_is_the_reference_loop_s(
    server: Live, loop: ReferenceLoop, sources: tuple[str, ...], more: dict[str, Any]
) -> None:
    names = [server.upload(source) for source in sources]
    for question in (FRANCE, COUNT):
        made = oracle(loop, question, *sources, **more)
        answer = server.chat(question, *names, return_token_ids=True, **more)
        assert answer.status_code == 200, answer.text
        (choice,) = answer.json()["choices"]
        assert choice["token_ids"] == made.tokens
        assert choice["message"]["content"] == made.text
        assert (choice["finish_reason"], choice["stop_reason"]) == (
            made.finish_reason, made.stop_reason,
        )  # fmt: skip
        assert answer.json()["usage"]["completion_tokens"] == len(made.tokens)


def test_choices_have_seeds_of_their_own(server: Live, loop: ReferenceLoop) -> None:
    name = server.upload(REDRAW)
    for names, sources in (((), ()), ((name,), (REDRAW,))):
        answer = server.chat(COUNT, *names, temperature=1.4, seed=70, n=3)
        texts = [choice["message"]["content"] for choice in answer.json()["choices"]]
        params = [{"temperature": 1.4, "seed": 70 + i} for i in range(3)]
        assert texts == [oracle(loop, COUNT, *sources, **each).text for each in params]


def test_without_a_seed_draws_differ(server: Live) -> None:
    cats = "Tell me about cats."
    assert len({server.say(cats, temperature=2.0, max_tokens=12) for _ in range(6)}) > 1


def test_logprobs_are_those_of_the_model_s_own_row(server: Live, loop: ReferenceLoop) -> None:
    made = oracle(loop, COUNT, max_tokens=6)
    answer = server.chat(COUNT, max_tokens=6, logprobs=True, top_logprobs=3).json()
    scored = answer["choices"][0]["logprobs"]["content"]
    assert [entry["logprob"] for entry in scored] == pytest.approx(made.logprobs, abs=1e-4)
    for entry in scored:
        best = [other["logprob"] for other in entry["top_logprobs"]]
        assert len(best) == 3
        assert best == sorted(best, reverse=True)
        assert entry["logprob"] == best[0]


def streamed(server: Live, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    with httpx.stream("POST", server.url + path, json=body, timeout=60) as answer:
        assert answer.status_code == 200, answer.read()
        lines = [line[6:] for line in answer.iter_lines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("sources", [(), (NOOP,), (REDRAW,)])
def test_a_stream_adds_up_to_the_whole(
    server: Live, loop: ReferenceLoop, sources: tuple[str, ...]
) -> None:
    names = [server.upload(source) for source in sources]
    model = "/".join([MODEL, *names])
    body = {"model": model, "messages": [{"role": "user", "content": COUNT}], "stream": True}
    events = streamed(server, "/v1/chat/completions", {**body, "temperature": 0, "max_tokens": 48})
    texts = [event["choices"][0]["delta"].get("content") or "" for event in events]
    assert "".join(texts) == oracle(loop, COUNT, *sources).text
    assert len(texts) > 1  # how many, the load of the machine decides
    assert events[-1]["choices"][0]["finish_reason"] == "stop"


def test_every_route_that_generates_takes_mods(server: Live) -> None:
    model = f"{MODEL}/{server.upload(REWRITE)}"
    messages = [{"role": "user", "content": FRANCE}]
    base = {"model": model, "temperature": 0}
    text = "XYZ"
    whole = server.post("/v1/responses", {**base, "input": FRANCE, "max_output_tokens": 48})
    assert text in whole.json()["output"][0]["content"][0]["text"]
    told = server.post("/v1/messages", {**base, "messages": messages, "max_tokens": 48})
    assert text in told.json()["content"][0]["text"]
    asked = {"prompt": "Count to ten.", "max_tokens": 24, "ignore_eos": True}
    prompt = server.post("/v1/completions", {**base, **asked})
    assert "XYZ" in prompt.json()["choices"][0]["text"]
    said = server.post("/v1/chat/completions", {**base, "messages": messages, "max_tokens": 48})
    assert text in said.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("mods", [(), (NOOP,)])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"prompt_logprobs": 1}, "logprobs of the prompt"),
        ({"repetition_detection": {"max_pattern_size": 3, "min_count": 2}}, "repetition_detection"),
    ],
)
def test_what_it_does_not_have_is_refused_in_plain_words(
    server: Live, mods: tuple[str, ...], stream: bool, more: dict[str, Any], said: str
) -> None:
    names = [server.upload(source) for source in mods]
    if "prompt_logprobs" in more and stream:
        pytest.skip("vLLM itself refuses logprobs of the prompt in streams")
    answer = server.chat(FRANCE, *names, stream=stream, **more)
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert said in message
    assert "CONCORDANCE_BACKEND=vllm does" in message


def test_a_prompt_of_embeddings_is_refused(server: Live) -> None:
    answer = server.post("/v1/completions", {"model": MODEL, "prompt_embeds": "AAAA"})
    assert answer.status_code == 400


def test_what_goes_wrong_in_a_mod_is_that_request_s_error(server: Live) -> None:
    broken = server.chat(FRANCE, server.upload(BROKEN))
    assert (broken.status_code, broken.json()["error"]["type"]) == (422, "mod_exception")
    stuck = server.chat(FRANCE, server.upload(STUCK))
    assert stuck.status_code == 424
    assert server.chat(FRANCE, "nobody").status_code == 404
    assert server.say(FRANCE) == PARIS


def test_a_slow_mod_lets_others_go_first(server: Live) -> None:
    slow, late = server.upload(SLOW), "concordance_late_segments_total"
    before = server.metric(late)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.say, COUNT, slow)
        time.sleep(1)
        assert server.say(FRANCE) == PARIS
        assert not waiting.done()
        assert waiting.result() == COUNTED
    assert server.metric(late) > before


def test_requests_at_once_are_answered_one_after_the_other(
    server: Live, loop: ReferenceLoop
) -> None:
    rewrite = server.upload(REWRITE)
    plain, modded = COUNTED, oracle(loop, COUNT, REWRITE).text
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(server.say, COUNT, *((rewrite,) if i % 2 else ())) for i in range(8)]
        texts = [answer.result() for answer in asked]
    assert texts == [modded if i % 2 else plain for i in range(8)]


@pytest.mark.parametrize("source", [None, NOOP])
def test_a_client_that_goes_away_frees_the_model(server: Live, source: str | None) -> None:
    model = MODEL if source is None else f"{MODEL}/{server.upload(source)}"
    messages = [{"role": "user", "content": COUNT}]
    long = {"model": model, "messages": messages, "max_tokens": 4000, "ignore_eos": True}
    patience = httpx.Timeout(30, read=0.4)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/v1/chat/completions", json=long, timeout=patience)
    started = time.monotonic()
    assert server.say(FRANCE) == PARIS
    assert in_time(since(started), 4)
    assert server.metric("vllm:num_requests_running") == 0
