"""What the server needs of a model's tokenizer and of its keys, without an engine."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mods.sdk.tokenizer import load_tokenizer
from server.app import StartError, _keys, tokenizer_folder
from server.demo import MODEL_PATH
from server.settings import Settings, SettingsError


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


@pytest.mark.parametrize("given", [["one", "two"], None])
def test_the_engine_s_own_key_is_ours_to_check_and_no_child_s_to_inherit(
    given: list[str] | None, bare_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "one")
    options = Namespace(api_key=given, uds=None)
    book = _keys(Settings.load(home=bare_environment, host="0.0.0.0"), options)
    assert book.check("one") is not None
    assert (book.check("two") is not None) == bool(given)
    assert options.api_key is None
    assert "VLLM_API_KEY" not in os.environ


def test_a_server_that_others_reach_does_not_start_without_keys(
    bare_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    settings = Settings.load(home=bare_environment, host="0.0.0.0")
    with pytest.raises(SettingsError, match=r"no keys: will not listen on 0\.0\.0\.0"):
        _keys(settings, Namespace(api_key=None, uds=None))
    assert not _keys(settings, Namespace(api_key=None, uds="server.sock")).any
