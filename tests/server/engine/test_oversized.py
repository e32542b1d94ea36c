"""Lists that Model Runner V2 would die of."""

from __future__ import annotations

from typing import Any

import pytest
from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import SamplingParams
from vllm.v1.worker.gpu.sample import logit_bias

from server.engine import oversized
from server.engine.oversized import refuse_oversized


def test_the_limits_are_the_runners_own() -> None:
    assert oversized.MAX_IDS == logit_bias.MAX_NUM_ALLOWED_TOKEN_IDS
    assert oversized.MAX_IDS == logit_bias.MAX_NUM_LOGIT_BIAS_TOKENS
    assert oversized.MAX_STOP_IDS == logit_bias.MAX_NUM_STOP_TOKEN_IDS


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("allowed_token_ids", {"allowed_token_ids": list(range(1025))}),
        ("logit_bias", {"logit_bias": dict.fromkeys(range(1025), 1.0)}),
        ("stop_token_ids", {"stop_token_ids": list(range(126)), "min_tokens": 1}),
    ],
)
def test_a_list_that_is_too_long_is_refused_by_name(name: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(VLLMValidationError, match=name):
        refuse_oversized(SamplingParams(**parameters), own_stop_ids=3)


@pytest.mark.parametrize(
    "parameters",
    [
        {"allowed_token_ids": list(range(1024))},
        {"logit_bias": dict.fromkeys(range(1024), 1.0)},
        {"stop_token_ids": list(range(125)), "min_tokens": 1},
        {"stop_token_ids": list(range(1000))},
    ],
)
def test_what_fits_passes(parameters: dict[str, Any]) -> None:
    refuse_oversized(SamplingParams(**parameters), own_stop_ids=3)
