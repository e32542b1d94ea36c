"""What a request's own parameters do to a row, in the order in which vLLM's sampler does it.

Before any mod sees the row: allowed ids, `min_tokens`, `logit_bias`. Then bad words and penalties,
which are among the edits where mods watch. Then temperature, min-p, top-k and top-p, the draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from vllm.platforms import current_platform
from vllm.sampling_params import SamplingParams

NEVER = float("-inf")
GREEDY = 1e-5
"""vLLM takes the likeliest token below this temperature."""


def shape_by_request(logits: torch.Tensor, params: SamplingParams, length: int) -> None:
    """Edit logits [vocabulary] in place. length: tokens that these params' request has drawn."""
    if params.allowed_token_ids is not None:
        allowed = _at(params.allowed_token_ids, logits)
        kept = logits[allowed]
        logits.fill_(NEVER)
        logits[allowed] = kept
    if length < params.min_tokens:
        logits[_at(params.all_stop_token_ids, logits)] = NEVER
    if params.logit_bias:
        biases = torch.tensor([*params.logit_bias.values()], device=logits.device)
        logits[_at(params.logit_bias, logits)] += biases


def shape_by_history(
    logits: torch.Tensor, params: SamplingParams, prompt: Sequence[int], output: Sequence[int]
) -> None:
    """Bad words and penalties of a request that no mod watches, by vLLM's own functions.

    Edits logits [vocabulary] in place.
    """
    from vllm.v1.sample.ops.bad_words import apply_bad_words
    from vllm.v1.sample.ops.penalties import apply_all_penalties

    rows = logits.unsqueeze(0)
    if params.bad_words_token_ids:
        apply_bad_words(rows, {0: params.bad_words_token_ids}, [list(output)])
    penalties = (params.presence_penalty, params.frequency_penalty, params.repetition_penalty)
    if penalties != (0.0, 0.0, 1.0):
        columns = [torch.tensor([value], device=logits.device) for value in penalties]
        apply_all_penalties(rows, _at(prompt, logits).unsqueeze(0), *columns, [list(output)])


def draw(
    logits: torch.Tensor, params: SamplingParams, generator: torch.Generator | None = None
) -> int:
    """One token from logits [vocabulary], which are overwritten.

    The last stage is vLLM's own, so that a seed draws what it draws in the engine.
    """
    if params.temperature < GREEDY:
        return int(logits.argmax())
    logits = logits.div_(params.temperature).unsqueeze(0)
    if params.min_p:
        chances = logits.softmax(dim=-1)
        logits.masked_fill_(chances < chances.amax() * params.min_p, NEVER)
    device, vocabulary = logits.device, logits.shape[1]
    k = torch.tensor([params.top_k], device=device) if 0 < params.top_k < vocabulary else None
    p = torch.tensor([params.top_p], device=device) if params.top_p < 1 else None
    tokens, _ = _last_stage()(logits, {} if generator is None else {0: generator}, k, p)
    return int(tokens[0])


@cache
def _last_stage() -> Any:
    from vllm.v1.sample.ops.topk_topp_sampler import TopKTopPSampler

    current_platform.import_kernels()
    return TopKTopPSampler()


def _at(tokens: Any, logits: torch.Tensor) -> torch.Tensor:
    return torch.tensor([*tokens], dtype=torch.long, device=logits.device)
