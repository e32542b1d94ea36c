"""From a request's parameters to what a machine must know of it, whichever engine runs it."""

from __future__ import annotations

from typing import Any

from vllm.sampling_params import SamplingParams

from mods.runtime.decisions import SessionSpec


def session_spec(
    session: int,
    request_id: str,
    prompt: list[int],
    params: SamplingParams,
    *,
    max_context: int,
    vocabulary: int,
    sentinel: int,
    **request: Any,
) -> SessionSpec:
    """The spec of one session.

    params: with the model's own ends in them, as `with_ends` gives them. request: what sampling
    parameters do not hold, such as `conversation` and `tools`.
    """
    room = max_context - len(prompt)
    fields: dict[str, Any] = {
        "session": session,
        "request_id": request_id,
        "prompt": prompt,
        "max_tokens": min(params.max_tokens or room, room),
        "max_context": max_context,
        "vocabulary": vocabulary,
        "sentinel": sentinel,
        "eos": [] if params.eos_token_id is None else [params.eos_token_id],
        "ignore_eos": params.ignore_eos,
        "stop_token_ids": list(params.stop_token_ids or ()),
        "stop": [params.stop] if isinstance(params.stop, str) else list(params.stop or ()),
        "skip_special_tokens": params.skip_special_tokens,
        "min_tokens": params.min_tokens,
    }
    return SessionSpec(**{**fields, **request})


def with_ends(
    params: SamplingParams, generation_config: dict[str, Any] | None, tokenizer: Any
) -> SamplingParams:
    """A copy that knows the model's own ends, as vLLM reads them off its generation config."""
    own = params.clone()
    own.update_from_generation_config(
        generation_config or {}, getattr(tokenizer, "eos_token_id", None)
    )
    return own
