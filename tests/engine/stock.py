"""Stock vLLM's answers, greedy, with the gap between its two likeliest tokens at each step.

Run as a program, in a process of its own: `python -m tests.engine.stock MODEL < asked > answers`.
Constraints are kept by its guidance backend.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, TypedDict

from server.demo import MODEL_PATH

NEAR_TIE = 1e-4
"""Log-probability gap under which the two likeliest tokens may change places."""


class Asked(TypedDict):
    """constraint: what vLLM calls `structured_outputs`, None for none."""

    prompt: list[int]
    constraint: dict[str, Any] | None
    max_tokens: int


class Answer(TypedDict):
    """The output's ids, and each step's log-probability gap."""

    tokens: list[int]
    gaps: list[float]


def ask(asked: Sequence[Asked]) -> list[Answer]:
    """All at once, in a process that ends afterwards."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.stock", str(MODEL_PATH)],
        input=json.dumps(asked), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    line = next((line for line in done.stdout.splitlines() if line.startswith("ANSWERS ")), None)
    assert line is not None, done.stderr[-3000:]
    answered: list[Answer] = json.loads(line.removeprefix("ANSWERS "))
    return answered


def real_differences(
    stock: Sequence[Answer], other: Sequence[Sequence[int]]
) -> list[tuple[int, int]]:
    """(question, position) of each difference that no near-tie explains."""
    found = []
    for number, (expected, got) in enumerate(zip(stock, other, strict=True)):
        pairs = zip(expected["tokens"], got, strict=False)
        first = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if first is None and len(expected["tokens"]) != len(got):
            first = min(len(expected["tokens"]), len(got)) - 1
        if first is not None and expected["gaps"][first] > NEAR_TIE:
            found.append((number, first))
    return found


def _answers(model: str, asked: Sequence[Asked]) -> list[Answer]:
    from vllm import LLM, SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    engine = LLM(
        model,
        dtype="float32",
        max_model_len=2048,
        max_num_seqs=64,
        max_num_batched_tokens=512,
        block_size=32,
        kv_cache_memory_bytes=1 << 30,
        # What is compared is what a constraint leaves, not what it forbids.
        logprobs_mode="processed_logprobs",
        structured_outputs_config={"backend": "guidance"},
    )
    params = [
        SamplingParams(
            temperature=0,
            max_tokens=one["max_tokens"],
            logprobs=2,
            structured_outputs=StructuredOutputsParams(**one["constraint"])
            if one["constraint"]
            else None,
        )
        for one in asked
    ]
    outputs = engine.generate([{"prompt_token_ids": one["prompt"]} for one in asked], params)
    return [_answer(output.outputs[0]) for output in outputs]


def _answer(output: Any) -> Answer:
    gaps = []
    for step in output.logprobs:
        best = sorted((entry.logprob for entry in step.values()), reverse=True)
        gaps.append(best[0] - best[1] if best[1] > -1e30 else float("inf"))
    return {"tokens": list(output.token_ids), "gaps": gaps}


if __name__ == "__main__":
    print("ANSWERS " + json.dumps(_answers(sys.argv[1], json.load(sys.stdin))))
