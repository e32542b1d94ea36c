"""A row is shaped and drawn from as vLLM's own sampler does it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from vllm.platforms import current_platform
from vllm.sampling_params import SamplingParams
from vllm.v1.sample.logits_processor import (
    BatchUpdate,
    LogitBiasLogitsProcessor,
    LogitsProcessors,
    MinPLogitsProcessor,
    MinTokensLogitsProcessor,
)
from vllm.v1.sample.metadata import SamplingMetadata
from vllm.v1.sample.sampler import Sampler

from mods.runtime.decisions import LEAVE, Resume
from processors.decisions import Edits
from processors.rows import Row, SegmentArgs
from server.engine.reference.loop import ReferenceLoop
from server.engine.reference.sampling import draw, shape_by_request
from server.engine.segment import SegmentParams

VOCABULARY = 2048


def test_rows_are_shaped_in_vllm_s_order() -> None:
    params = SamplingParams(
        allowed_token_ids=[1, 2, 3], logit_bias={3: 5.0, 4: 5.0}, min_tokens=2, max_tokens=9,
        stop_token_ids=[2],
    )  # fmt: skip
    row = torch.zeros(6)
    shape_by_request(row, params, 1)
    assert row.isneginf().tolist() == [True, False, True, False, True, True]
    assert row[3] == 5
    row = torch.zeros(6)
    shape_by_request(row, params, 2)
    assert row[2] == 0


@pytest.mark.parametrize(
    ("more", "likely"),
    [
        ({}, {0, 1, 2, 3}),
        ({"top_k": 2}, {0, 1}),
        ({"top_p": 0.55}, {0, 1}),
        ({"min_p": 0.9}, {0}),
        ({"min_p": 0.3}, {0, 1, 2}),
        ({"temperature": 0.01}, {0}),
        ({"temperature": 0}, {0}),
    ],
)
def test_a_draw_is_one_of_those_that_the_parameters_leave(
    more: dict[str, Any], likely: set[int]
) -> None:
    params = SamplingParams(**{"temperature": 1.0, **more})
    generator = torch.Generator().manual_seed(0)
    chances = torch.tensor([0.42, 0.3, 0.18, 0.1])
    drawn = [draw(chances.log(), params, generator) for _ in range(200)]
    assert set(drawn) == likely


def test_draws_have_the_chances_that_the_logits_say() -> None:
    generator = torch.Generator().manual_seed(1)
    chances = torch.tensor([0.5, 0.3, 0.2])
    params = SamplingParams(temperature=2.0)
    drawn = torch.tensor([draw(chances.log(), params, generator) for _ in range(3000)])
    expected = chances.sqrt() / chances.sqrt().sum()
    assert torch.allclose(torch.bincount(drawn) / 3000, expected, atol=0.04)


def by_vllm(
    logits: torch.Tensor, params: SamplingParams, prompt: list[int], output: list[int]
) -> int:
    """What vLLM's sampler draws, with its own processors, penalties and bad words."""
    processors = _processors(params, prompt, output)
    allowed = torch.ones(1, VOCABULARY, dtype=torch.bool)
    allowed[0, params.allowed_token_ids or slice(None)] = False
    sampled = params.temperature > 0
    one = torch.tensor
    metadata = SamplingMetadata(
        temperature=one([params.temperature]) if sampled else None,
        all_greedy=not sampled,
        all_random=sampled,
        top_p=one([params.top_p]) if params.top_p < 1 else None,
        top_k=one([params.top_k]) if params.top_k > 0 else None,
        generators={0: torch.Generator().manual_seed(params.seed or 0)},
        max_num_logprobs=None,
        no_penalties=False,
        prompt_token_ids=one([prompt]),
        frequency_penalties=one([params.frequency_penalty]),
        presence_penalties=one([params.presence_penalty]),
        repetition_penalties=one([params.repetition_penalty]),
        output_token_ids=[output],
        allowed_token_ids_mask=allowed,
        bad_words_token_ids={0: params.bad_words_token_ids or []},
        logitsprocs=processors,
    )
    current_platform.import_kernels()
    return int(Sampler()(logits.clone().unsqueeze(0), metadata).sampled_token_ids[0, 0])


def _processors(params: SamplingParams, prompt: list[int], output: list[int]) -> LogitsProcessors:
    config: Any = SimpleNamespace(scheduler_config=SimpleNamespace(max_num_seqs=1))
    made = [
        kind(config, torch.device("cpu"), False)
        for kind in (MinTokensLogitsProcessor, LogitBiasLogitsProcessor, MinPLogitsProcessor)
    ]
    for processor in made:
        processor.update_state(BatchUpdate(1, (), [(0, params, prompt, output)], ()))
    return LogitsProcessors(made)


def by_the_loop(
    loop: ReferenceLoop,
    logits: torch.Tensor,
    params: SamplingParams,
    prompt: list[int],
    output: list[int],
    kept: int,
) -> int:
    """What the loop draws in a segment that began with `kept` output tokens."""
    segments = SegmentParams(params, loop.tokenizer, "", 1, loop.sentinel, False, 0, False)
    own = segments.make(Resume(2, kept, [], 0), kept, 64, [])
    args = SegmentArgs.from_extra_args(own.extra_args)
    assert args is not None
    row = logits.clone()
    shape_by_request(row, own, len(output) - kept)
    edits = Edits()
    edits.add(0, Row(args, prompt + output[:kept], output[kept:]), LEAVE)
    generator = torch.Generator().manual_seed(params.seed or 0)
    return draw(edits.apply(row.unsqueeze(0))[0], own, generator)


@pytest.mark.parametrize("kept", [0, 3, 5])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"temperature": 0.7},
        {"temperature": 1.3, "top_k": 30},
        {"temperature": 1.3, "top_p": 0.8},
        {"temperature": 1.3, "min_p": 0.05},
        {"temperature": 1.3, "top_k": 50, "top_p": 0.9, "min_p": 0.02},
        {"allowed_token_ids": list(range(3, 60)), "temperature": 1},
        {"logit_bias": {7: 6.0, 8: -5.0}},
        {"logit_bias": {1: 50.0}, "min_tokens": 6},
        {"logit_bias": {1: 50.0}, "min_tokens": 5},
        {"presence_penalty": 1.5, "frequency_penalty": 1.2},
        {"repetition_penalty": 1.8},
        {"repetition_penalty": 1.8, "presence_penalty": -1.0, "temperature": 0.9},
        {"bad_words": ["a", "is"], "temperature": 1.0},
    ],
)
def test_the_loop_draws_what_vllm_s_sampler_draws(
    loop: ReferenceLoop, more: dict[str, Any], kept: int
) -> None:
    noise = torch.Generator().manual_seed(4)
    for seed in range(12):
        params = SamplingParams(**{"temperature": 0, "max_tokens": 64, "seed": seed, **more})
        params.update_from_generation_config({"eos_token_id": [1]}, 1)
        params.update_from_tokenizer(loop.tokenizer)
        logits = torch.randn(VOCABULARY, generator=noise) * 3
        logits[loop.sentinel] = -40
        tokens = [int(token) for token in logits.topk(9).indices]
        prompt, output = tokens[:4], tokens[4:]
        expected = by_vllm(logits, params, prompt, output)
        assert by_the_loop(loop, logits, params, prompt, output, kept) == expected
