"""The reference engine: vLLM's front end over a plain Hugging Face model, with no engine core.

Everything that vLLM does with a request before and after its core (checks, detokenising, stop
strings, logprobs, several choices, metrics) stays vLLM's. There is no scheduler, no worker
process and no batch.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import torch
from vllm.config import VllmConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.exceptions import VLLMValidationError
from vllm.platforms import current_platform
from vllm.renderers import renderer_from_config
from vllm.sampling_params import SamplingParams
from vllm.usage.usage_lib import UsageContext
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.core_client import EngineCoreClient
from vllm.v1.engine.input_processor import InputProcessor
from vllm.v1.engine.output_processor import OutputProcessor
from vllm.v1.metrics.loggers import StatLoggerManager

from server.engine.reference.core import ReferenceCore
from server.engine.reference.transformers_backend import TransformersBackend
from server.engine.reference.worker import ReferenceWorker

_ELSEWHERE = "the huggingface backend does not have it; CONCORDANCE_BACKEND=vllm does"

SMALL = 50_000_000
"""Parameters below which threads wait for each other for longer than they compute."""

_REFUSED = {
    "prompt_logprobs": "logprobs of the prompt (prompt_logprobs, echo with logprobs)",
    "prompt_logprob_token_ids": "prompt_logprob_token_ids",
    "logprob_token_ids": "logprob_token_ids",
    "thinking_token_budget": "thinking_token_budget",
    "repetition_detection": "repetition_detection",
    "trace_decode_token_ids": "trace_decode_token_ids",
}
"""Sampling parameters that something would have to be built for, and what clients call them."""


class ReferenceEngine(AsyncLLM):
    """vLLM's asynchronous engine around another core, in this process."""

    def __init__(self, config: VllmConfig, core: EngineCoreClient, log_stats: bool) -> None:
        # Instead of AsyncLLM's own, which starts processes: the same parts, with our core.
        self.vllm_config, self.model_config = config, config.model_config
        self.scheduler_config = config.scheduler_config
        self.observability_config = config.observability_config
        self.log_requests, self.log_stats = False, log_stats
        self.renderer = renderer_from_config(config)
        self.input_processor = InputProcessor(config, self.renderer)
        self.admission_stats = None
        self.output_processor = OutputProcessor(
            self.renderer.tokenizer,
            log_stats=log_stats,
            stream_interval=config.scheduler_config.stream_interval,
        )
        self.engine_core = core
        self.logger_manager = StatLoggerManager(config) if log_stats else None
        self.output_handler = None
        self.profiler = None

    def refuse_what_cannot_be_kept(self, prompt: Any, params: SamplingParams) -> None:
        """Raise `VLLMValidationError` (400) for what this engine would only approximate."""
        if not isinstance(prompt, dict) or prompt.get("type") != "token":
            raise VLLMValidationError(f"this prompt is not text alone: {_ELSEWHERE}")
        for name, what in _REFUSED.items():
            if getattr(params, name) is not None:
                raise VLLMValidationError(f"{what}: {_ELSEWHERE}", parameter=name)


@asynccontextmanager
async def reference_engine(options: Namespace) -> AsyncIterator[ReferenceEngine]:
    """Load the model that vLLM's parsed options name, and serve it until the context ends."""
    arguments = AsyncEngineArgs.from_cli_args(options)
    config = arguments.create_engine_config(usage_context=UsageContext.OPENAI_API_SERVER)
    worker = ReferenceWorker(_load(config), config)
    log_stats = not arguments.disable_log_stats
    engine = ReferenceEngine(config, ReferenceCore(worker), log_stats)
    try:
        yield engine
    finally:
        engine.shutdown()


def _load(config: VllmConfig) -> TransformersBackend:
    model = config.model_config
    dtype = model.dtype
    assert isinstance(dtype, torch.dtype)
    backend = TransformersBackend.load(
        model.model,
        dtype=dtype,
        device=current_platform.device_type,
        revision=model.revision,
        trust_remote_code=model.trust_remote_code,
    )
    if backend.parameters < SMALL and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    return backend
