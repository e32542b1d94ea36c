"""The engine's options: the operator's own, over what this machine and mods need.

What cannot work together with mods is refused here, in plain words, before anything loads.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from server.demo import MODEL_NAME
from server.settings import Settings, SettingsError

CPU_PROCESSOR = "processors.runner_v1:ModsProcessor"
GPU_PROCESSOR = "processors.runner_v2:ModsProcessor"
CPU_WORKER = "processors.runner_v1.ModsCPUWorker"
CPU_BLOCK_SIZE = 32
CPU_KV_CACHE_BYTES = 1 << 30
"""Key-value cache on the CPU unless the operator says otherwise: enough for small models."""


def engine_options(settings: Settings, given: Sequence[str]) -> Namespace:
    """vLLM's parsed options. Raises `SettingsError` for what mods cannot live with."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.platforms import current_platform
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = _OneLine(make_arg_parser(FlexibleArgumentParser(prog="concai serve", add_help=False)))
    _refuse(given)
    ours = ["--model", settings.model, "--host", settings.host, "--port", str(settings.port)]
    if settings.is_demo and not _names(given, "--served-model-name"):
        ours += ["--served-model-name", MODEL_NAME]
    in_workers = settings.backend == "vllm"
    # Each platform's own model runner: the processors' interfaces differ between them.
    second_runner = in_workers and not current_platform.is_cpu()
    os.environ["VLLM_USE_V2_MODEL_RUNNER"] = "1" if second_runner else "0"
    # A request that meets a dead engine must not end the server: its keeper starts another.
    os.environ["VLLM_KEEP_ALIVE_ON_ENGINE_DEATH"] = "1"
    if not in_workers:
        ours += _reference_options(given)
    elif current_platform.is_cpu():
        ours += _cpu_options(given)
    if not _names(given, "--scheduling-policy"):
        ours += ["--scheduling-policy", "priority"]
    options = parser.parse([*ours, *given])
    if in_workers:
        processor = GPU_PROCESSOR if second_runner else CPU_PROCESSOR
        options.logits_processors = [*(options.logits_processors or ()), processor]
    options.override_generation_config = {
        **_sampling_defaults(settings),
        **(options.override_generation_config or {}),
    }
    _refuse_parallel(options)
    if not in_workers:
        _refuse_what_needs_a_worker(options)
    validate_parsed_serve_args(options)
    return options


def _cpu_options(given: Sequence[str]) -> list[str]:
    options = ["--worker-cls", CPU_WORKER]
    if not _names(given, "--block-size"):
        options += ["--block-size", str(CPU_BLOCK_SIZE)]
    asked = _names(given, "--kv-cache-memory-bytes") or _names(given, "--gpu-memory-utilization")
    if not asked and "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
        options += ["--kv-cache-memory-bytes", str(CPU_KV_CACHE_BYTES)]
    return options


def _reference_options(given: Sequence[str]) -> list[str]:
    """One request at a time, in float32, which is what a reference is for."""
    options = ["--max-num-seqs", "1"]
    return options if _names(given, "--dtype") else [*options, "--dtype", "float32"]


def _sampling_defaults(settings: Settings) -> dict[str, Any]:
    """Defaults for requests that do not say, under the names of a generation config."""
    wanted = {
        "max_new_tokens": settings.max_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k,
    }
    return {name: value for name, value in wanted.items() if value is not None}


_OURS = {
    "--model": "--model of concai serve",
    "--worker-cls": "nothing: the worker is ours",
    "--api-server-count": "nothing: mods need one API process",
}


def _refuse(given: Sequence[str]) -> None:
    for option, instead in _OURS.items():
        if _names(given, option):
            raise SettingsError(f"{option} cannot be passed on to the engine; use {instead}")


def _refuse_parallel(options: Namespace) -> None:
    """Mods are not proven with several ranks or with drafts, so they do not start together."""
    for name in ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"):
        if (getattr(options, name, 1) or 1) > 1:
            flag = "--" + name.replace("_", "-")
            raise SettingsError(f"{flag} above 1 is not supported together with mods yet; use 1")
    if getattr(options, "speculative_config", None):
        raise SettingsError("speculative decoding is not supported together with mods yet")


_NEEDS_A_WORKER = {
    "enable_lora": "--enable-lora",
    "quantization": "--quantization",
    "logits_processors": "--logits-processors",
    "kv_transfer_config": "--kv-transfer-config",
    "enable_prompt_embeds": "--enable-prompt-embeds",
    "enable_return_routed_experts": "--enable-return-routed-experts",
}


def _refuse_what_needs_a_worker(options: Namespace) -> None:
    """Options that the reference engine would read over in silence."""
    for name, flag in _NEEDS_A_WORKER.items():
        if getattr(options, name, None):
            raise SettingsError(f"{flag} needs CONCORDANCE_BACKEND=vllm; leave it out")
    if options.logprobs_mode != "raw_logprobs":
        raise SettingsError("--logprobs-mode must be raw_logprobs with the huggingface backend")


def _names(given: Sequence[str], option: str) -> bool:
    spellings = {option, option.replace("-", "_").replace("__", "--", 1)}
    return any(argument.split("=", 1)[0] in spellings for argument in given)


class _OneLine:
    """vLLM's parser, whose complaint becomes an exception instead of a page and an exit."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser

        def complain(message: str) -> None:
            raise SettingsError(f"engine options: {message}")

        parser.error = complain

    def parse(self, arguments: Sequence[str]) -> Namespace:
        namespace: Namespace = self._parser.parse_args(list(arguments))
        return namespace
