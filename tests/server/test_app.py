"""What the server needs of a model's tokenizer, without an engine."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mods.sdk.tokenizer import load_tokenizer
from server.app import StartError, tokenizer_folder
from server.demo import MODEL_PATH


def engine(name: str, tokenizer: Any) -> SimpleNamespace:
    return SimpleNamespace(
        model_config=SimpleNamespace(tokenizer=name), renderer=SimpleNamespace(tokenizer=tokenizer)
    )


def test_a_model_folder_s_own_tokenizer_is_used(tmp_path: Path) -> None:
    assert tokenizer_folder(engine(str(MODEL_PATH), None), tmp_path / "spare") == MODEL_PATH


def test_a_tokenizer_from_elsewhere_is_written_down_for_the_hosts(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(MODEL_PATH)
    folder = tokenizer_folder(engine("some/model", loaded), tmp_path / "spare")
    ours = load_tokenizer(folder)
    text = "The capital of France is Paris."
    assert ours.encode(text) == loaded.encode(text)
    assert ours.eos_token_id == loaded.eos_token_id


def test_a_tokenizer_that_cannot_be_written_down_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"tokenizer\.json"):
        tokenizer_folder(engine("some/model", object()), tmp_path / "spare")
