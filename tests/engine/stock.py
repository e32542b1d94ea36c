"""Stock vLLM's answers, greedy, with the gap between its two likeliest tokens at each step.

Run as a program, in a process of its own: `python -m tests.engine.stock MODEL < prompts > answers`.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def answers(model: str, prompts: list[list[int]], max_tokens: int) -> list[dict[str, Any]]:
    """For each prompt (token ids): the output's ids, and each step's log-probability gap."""
    from vllm import LLM, SamplingParams

    engine = LLM(
        model,
        dtype="float32",
        max_model_len=2048,
        max_num_seqs=64,
        max_num_batched_tokens=512,
        block_size=32,
        kv_cache_memory_bytes=1 << 30,
    )
    params = SamplingParams(temperature=0, max_tokens=max_tokens, logprobs=2)
    outputs = engine.generate([{"prompt_token_ids": ids} for ids in prompts], params)
    return [_answer(output.outputs[0]) for output in outputs]


def _answer(output: Any) -> dict[str, Any]:
    gaps = []
    for step in output.logprobs:
        best = sorted((entry.logprob for entry in step.values()), reverse=True)
        gaps.append(best[0] - best[1])
    return {"tokens": list(output.token_ids), "gaps": gaps}


if __name__ == "__main__":
    given = json.load(sys.stdin)
    result = answers(sys.argv[1], given["prompts"], given["max_tokens"])
    print("ANSWERS " + json.dumps(result))
