"""Law 4: a mod that always answers noop changes nothing, against stock vLLM.

Both run greedily in float32. Batch shapes may flip near-ties, so a difference counts only where
stock's two likeliest tokens were further apart than the tolerance.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.engine.live import MODEL, Live
from tests.engine.questions import PLAIN
from tests.engine.stock import Answer, Asked, real_differences

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

Stock = tuple[list[Asked], list[Answer]]


def ours(live: Live, asked: list[Asked], *mods: str) -> list[list[int]]:
    """The same through the server, as many at once as stock had."""
    model = MODEL + (f"/{'+'.join(mods)}" if mods else "")

    def ask(one: Asked) -> list[int]:
        body = {
            "model": model, "prompt": one["prompt"], "max_tokens": one["max_tokens"],
            "structured_outputs": one["constraint"], "temperature": 0, "return_token_ids": True,
        }  # fmt: skip
        answer = live.post("/v1/completions", body)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["choices"][0]["token_ids"])

    with ThreadPoolExecutor(64) as pool:
        return list(pool.map(ask, asked))


def test_without_mods_greedy_output_is_stock_vllm_s(live: Live, stock: Stock) -> None:
    asked, answers = stock
    assert real_differences(answers, ours(live, asked)) == []


def test_with_a_noop_mod_greedy_output_is_stock_vllm_s(live: Live, stock: Stock) -> None:
    asked, answers = stock
    name = live.upload(NOOP)
    assert real_differences(answers, ours(live, asked, name)) == []
    said = [line for line in live.log.read_text().splitlines() if "calls=" in line]
    assert len(said) >= PLAIN
    for line in said:
        calls, tokens = line.split("calls=")[1].split(" tokens=")
        assert int(calls) >= 3 * int(tokens)


def test_with_a_mod_that_reads_logits_greedy_output_is_stock_vllm_s(
    live: Live, stock: Stock
) -> None:
    asked, answers = stock
    assert real_differences(answers, ours(live, asked, live.upload(READS))) == []


def test_under_constraints_greedy_output_is_that_of_stock_s_guidance_backend(
    live: Live, constrained_stock: Stock
) -> None:
    asked, answers = constrained_stock
    assert real_differences(answers, ours(live, asked)) == []
    name = live.upload(NOOP)
    assert real_differences(answers, ours(live, asked, name)) == []
