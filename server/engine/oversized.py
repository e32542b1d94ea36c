"""Lists of token ids that Model Runner V2 takes only up to a length, checked before they go in.

Its worker raises for a longer one, in the middle of a step, which ends the engine and with it
everybody's requests.
"""

from __future__ import annotations

from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import SamplingParams

MAX_IDS = 1024
"""Ids in `allowed_token_ids` and in `logit_bias`."""
MAX_STOP_IDS = 128
"""Stop ids together with `min_tokens`, the model's own and the sentinel among them."""


def refuse_oversized(params: SamplingParams, own_stop_ids: int) -> None:
    """Raise `VLLMValidationError` (400), naming the list and its length.

    own_stop_ids: how many ids end a generation of this model without being asked for.
    """
    for name in ("allowed_token_ids", "logit_bias"):
        count = len(getattr(params, name) or ())
        if count > MAX_IDS:
            raise VLLMValidationError(
                f"{name} has {count} token ids; this engine takes at most {MAX_IDS}",
                parameter=name,
            )
    stops = len(set(params.stop_token_ids or ()))
    most = MAX_STOP_IDS - own_stop_ids
    if params.min_tokens > 0 and stops > most:
        raise VLLMValidationError(
            f"stop_token_ids has {stops} token ids; together with min_tokens this engine takes at"
            f" most {most}",
            parameter="stop_token_ids",
        )
