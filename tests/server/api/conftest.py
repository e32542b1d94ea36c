"""The application that the server serves, with all routes of vLLM's and ours, without an engine."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

RUNNER = "VLLM_USE_V2_MODEL_RUNNER"


@pytest.fixture(scope="session")
def whole_app() -> Any:
    """What is behind the routes is not there: ask it which there are, and nothing else."""
    from vllm.entrypoints.launchers.app import build_app

    from server.app import mount
    from server.engine.options import engine_options
    from server.settings import Settings

    before = os.environ.get(RUNNER)
    options = engine_options(Settings(backend="huggingface"), [])
    if before is None:
        os.environ.pop(RUNNER, None)
    else:
        os.environ[RUNNER] = before
    model = SimpleNamespace(
        is_multimodal_model=False,
        is_encoder_decoder=False,
        runner_type="generate",
        hf_config=SimpleNamespace(),
        get_pooling_task=lambda tasks: None,
    )
    tasks: Any = ("generate", "render")
    config: Any = model
    app = build_app(options, tasks, config)
    mount(app, None, None, None)
    return app
