"""A segment's sampling parameters: the client's, made fit for one link of a session's chain."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import vllm.envs as envs
from vllm.sampling_params import RequestOutputKind, SamplingParams

from mods.runtime.decisions import Resume
from processors.rows import Penalties, SegmentArgs
from server.traces.watching import with_candidates


class SegmentParams:
    """Makes each segment's parameters from the request's, which are never mutated."""

    def __init__(
        self,
        params: SamplingParams,
        tokenizer: Any,
        host: str,
        session: int,
        sentinel: int,
        reads_logits: bool,
        seed: int,
        streams: bool,
        reasoning_end: int | None = None,
        candidates: int = 0,
        reads_confidence: bool = False,
    ) -> None:
        """candidates: how many of the likeliest tokens to ask for, whatever the client asked."""
        self._params, self._candidates = params, candidates
        self._kind = RequestOutputKind.DELTA if streams else RequestOutputKind.FINAL_ONLY
        self._seed = seed
        self._host, self._session, self._sentinel = host, session, sentinel
        self._reads_logits, self._reads_confidence = reads_logits, reads_confidence
        self._reasoning_end = reasoning_end
        # Model Runner V2 hashes its noise from seed and position; V1 keeps a generator's state.
        self._reseeds = bool(envs.VLLM_USE_V2_MODEL_RUNNER)
        self._penalties = _penalties(params)
        self._bad_words = _bad_words(params, tokenizer)

    def make(
        self, resume: Resume, kept: int, max_tokens: int, held: Sequence[tuple[str, int, bool]]
    ) -> SamplingParams:
        """Parameters of the segment that starts with `kept` output tokens in its prompt.

        held: the constraints in force, as the worker knows them. vLLM's own never sees them.
        """
        params = self._params.clone()
        params.skip_clone = False
        params.n = 1
        params.output_kind = self._kind
        params.structured_outputs = None
        params.max_tokens = max_tokens - kept
        params.min_tokens = min(max(0, params.min_tokens - kept), params.max_tokens)
        params.stop = []
        params.output_text_buffer_length = 0
        params.stop_token_ids = [*(params.stop_token_ids or ()), self._sentinel]
        params._all_stop_token_ids = {*params._all_stop_token_ids, self._sentinel}
        params.detokenize = params.num_logprobs is not None
        params = with_candidates(params, self._candidates)
        params.presence_penalty = params.frequency_penalty = 0.0
        params.repetition_penalty = 1.0
        params.bad_words, params._bad_words_token_ids = [], None
        if params.seed is not None and resume.erased and self._reseeds:
            params.seed = _mixed(params.seed, resume.erased)
        if resume.segment > 1:
            params.prompt_logprobs = None
            params.skip_reading_prefix_cache = False
        params.extra_args = {
            **(params.extra_args or {}),
            **self._args(resume, kept, held).to_extra_args(),
        }
        return params

    def _args(
        self, resume: Resume, kept: int, held: Sequence[tuple[str, int, bool]]
    ) -> SegmentArgs:
        return SegmentArgs(
            host=self._host,
            session=self._session,
            segment=resume.segment,
            erased=resume.erased,
            kept=kept,
            sentinel=self._sentinel,
            reads_logits=self._reads_logits,
            temperature=self._params.temperature,
            seed=self._seed,
            penalties=self._penalties,
            bad_words=self._bad_words,
            held=held,
            reasoning_end=self._reasoning_end,
            quiet=resume.quiet,
            barred=resume.barred,
            reads_confidence=self._reads_confidence,
        )


def _mixed(seed: int, erased: int) -> int:
    """Another seed for draws after some were taken back, the same each time it is asked for."""
    digest = hashlib.sha256(f"{seed}:{erased}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def _penalties(params: SamplingParams) -> Penalties | None:
    penalties = Penalties(
        params.presence_penalty, params.frequency_penalty, params.repetition_penalty
    )
    return None if penalties == Penalties() else penalties


def _bad_words(params: SamplingParams, tokenizer: Any) -> list[list[int]]:
    if not params.bad_words:
        return []
    own = params.clone()
    own.update_from_tokenizer(tokenizer)
    return own._bad_words_token_ids or []
