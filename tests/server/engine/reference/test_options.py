"""Which engine options the reference engine takes, and which it refuses rather than ignores."""

from __future__ import annotations

import pytest

from server.engine.options import engine_options
from server.settings import Settings, SettingsError


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("VLLM_USE_V2_MODEL_RUNNER", "0")
    return Settings(backend="huggingface")


def test_the_model_runs_in_float32_unless_asked_otherwise(settings: Settings) -> None:
    options = engine_options(settings, ["--max-model-len", "512"])
    assert (options.dtype, options.max_model_len) == ("float32", 512)
    assert not options.logits_processors
    assert engine_options(settings, ["--dtype", "bfloat16"]).dtype == "bfloat16"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--enable-lora"], "--enable-lora needs CONCORDANCE_BACKEND=vllm"),
        (["--quantization", "fp8"], "--quantization needs CONCORDANCE_BACKEND=vllm"),
        (["--logprobs-mode", "processed_logprobs"], "raw_logprobs"),
        (["--tensor-parallel-size", "2"], "--tensor-parallel-size above 1"),
    ],
)
def test_what_it_would_ignore_is_refused(settings: Settings, given: list[str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        engine_options(settings, given)
