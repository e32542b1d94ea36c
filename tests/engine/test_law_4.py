"""Law 4: a mod that always answers noop changes nothing, against stock vLLM.

Both run greedily in float32. Batch shapes may flip near-ties, so a difference counts only where
stock's two likeliest tokens were further apart than the tolerance.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tokenizers import Tokenizer

from server.demo import MODEL_PATH
from tests.engine.live import MODEL, Live

PROMPTS = 200
MAX_TOKENS = 40
NEAR_TIE = 1e-4
"""Log-probability gap under which the two likeliest tokens may change places."""

NOOP = """
from mods.sdk import mod
calls = {}

@mod
def counting_noop(event, actions, tokenizer):
    calls[event.request_id] = calls.get(event.request_id, 0) + 1
    if type(event).__name__ == "Finished":
        print(f"calls={calls.pop(event.request_id)} tokens={len(event.tokens)}")
    return actions.noop()
"""
READS = """
from mods.sdk import ForwardPass, mod

@mod
def reading_noop(event, actions, tokenizer):
    if isinstance(event, ForwardPass):
        assert event.logits.shape[1] == event.logits.to_numpy().shape[1]
    return actions.noop()
"""


def prompts() -> list[list[int]]:
    """Random continuations and random tokens, some longer than one chunk of prefill."""
    tokenizer = Tokenizer.from_file(str(MODEL_PATH / "tokenizer.json"))
    generator = random.Random(4)
    texts = ["The capital of France is", "Count to ten.", "One, two, three,", "3 + 4 =", "The sky"]
    made = []
    for number in range(PROMPTS):
        if number % 3 == 0:
            length = generator.choice([5, 40, 600, 1100])
            made.append([generator.randrange(8, tokenizer.get_vocab_size()) for _ in range(length)])
        else:
            words = " ".join(generator.choice(texts) for _ in range(generator.randrange(1, 30)))
            made.append(tokenizer.encode(words).ids)
    return made


@pytest.fixture(scope="module")
def stock() -> list[dict[str, Any]]:
    """What stock vLLM says, from a process of its own."""
    given = json.dumps({"prompts": prompts(), "max_tokens": MAX_TOKENS})
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.stock", str(MODEL_PATH)],
        input=given, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    line = next((line for line in done.stdout.splitlines() if line.startswith("ANSWERS ")), None)
    assert line is not None, done.stderr[-3000:]
    answered: list[dict[str, Any]] = json.loads(line.removeprefix("ANSWERS "))
    return answered


def ours(live: Live, *mods: str) -> list[list[int]]:
    """The same prompts through the server, as many at once as stock had."""
    model = MODEL + (f"/{'+'.join(mods)}" if mods else "")

    def ask(prompt: list[int]) -> list[int]:
        body = {
            "model": model, "prompt": prompt, "temperature": 0, "max_tokens": MAX_TOKENS,
            "return_token_ids": True,
        }  # fmt: skip
        answer = live.post("/v1/completions", body)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["choices"][0]["token_ids"])

    with ThreadPoolExecutor(64) as pool:
        return list(pool.map(ask, prompts()))


def real_differences(stock: list[dict[str, Any]], other: list[list[int]]) -> list[tuple[int, int]]:
    """(prompt, position) of each difference that no near-tie explains."""
    found = []
    for number, (expected, got) in enumerate(zip(stock, other, strict=True)):
        pairs = zip(expected["tokens"], got, strict=False)
        first = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if first is None and len(expected["tokens"]) != len(got):
            first = min(len(expected["tokens"]), len(got)) - 1
        if first is not None and expected["gaps"][first] > NEAR_TIE:
            found.append((number, first))
    return found


def test_without_mods_greedy_output_is_stock_vllm_s(
    live: Live, stock: list[dict[str, Any]]
) -> None:
    assert real_differences(stock, ours(live)) == []


def test_with_a_noop_mod_greedy_output_is_stock_vllm_s(
    live: Live, stock: list[dict[str, Any]]
) -> None:
    name = live.upload(NOOP)
    assert real_differences(stock, ours(live, name)) == []
    said = [line for line in live.log.read_text().splitlines() if "calls=" in line]
    assert len(said) >= PROMPTS
    for line in said:
        calls, tokens = line.split("calls=")[1].split(" tokens=")
        assert int(calls) >= 3 * int(tokens)


def test_with_a_mod_that_reads_logits_greedy_output_is_stock_vllm_s(
    live: Live, stock: list[dict[str, Any]]
) -> None:
    assert real_differences(stock, ours(live, live.upload(READS))) == []
