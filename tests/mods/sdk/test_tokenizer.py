"""The façade over `tokenizers` reads and writes text as transformers does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from mods.sdk.tokenizer import Tokenizer, load_tokenizer, tokenize

DEMO = Path(__file__).parents[3] / "server" / "demo" / "model"
TEXTS = [
    "Hello there , how are you ?",
    "  two  spaces and a tab\t.\n\nParis is the capital of France.",
    "<|im_end|> naïve café 日本語 🙂 <think>no</think>",
    "",
]


@pytest.fixture(scope="module")
def demo() -> Tokenizer:
    return load_tokenizer(DEMO)


def words(folder: Path, config: dict[str, Any] | None = None) -> Path:
    """A folder with a tokenizer that knows four words."""
    vocabulary = {"<s>": 0, "</s>": 1, "hello": 2, "world": 3, "<unk>": 4}
    backend = Backend(WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = Whitespace()
    backend.save(str(folder / "tokenizer.json"))
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_it_agrees_with_transformers_on_the_demo_model(demo: Tokenizer) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(DEMO)
    rng = np.random.default_rng(0)
    runs = [demo.encode(text) for text in TEXTS]
    runs += [rng.integers(0, len(demo), size=12).tolist() for _ in range(200)]
    for text in TEXTS:
        assert demo.encode(text) == theirs.encode(text)
        assert demo.encode(text, add_special_tokens=False) == theirs.encode(
            text, add_special_tokens=False
        )
    for ids in runs:
        for skip in (False, True):
            assert demo.decode(ids, skip_special_tokens=skip) == theirs.decode(
                ids, skip_special_tokens=skip
            )
        assert demo.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids)
    assert demo.get_vocab() == theirs.get_vocab()
    assert len(demo) == len(theirs)
    assert demo.vocab_size == theirs.vocab_size
    assert set(demo.all_special_ids) == set(theirs.all_special_ids)
    assert demo.eos_token_id == theirs.eos_token_id
    assert demo.bos_token_id == theirs.bos_token_id
    assert demo.pad_token_id == theirs.pad_token_id
    assert demo.eos_token == theirs.eos_token


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back_as_it_went_in(demo: Tokenizer, text: str) -> None:
    assert demo.decode(tokenize(text, demo)) == text


def test_numpy_integers_and_arrays_are_ids_too(demo: Tokenizer) -> None:
    ids = demo.encode("Hello there", add_special_tokens=False)
    array = np.array(ids, dtype=np.int64)
    assert demo.decode(array) == demo.decode(array.reshape(1, -1)) == "Hello there"
    assert demo.decode(array[0]) == demo.decode(ids[0]) == demo.decode([array[0]])
    assert demo.convert_ids_to_tokens(array[0]) == demo.convert_ids_to_tokens(ids)[0]


def test_keywords_that_other_tokenizers_know_change_nothing(demo: Tokenizer) -> None:
    ids = demo.encode("a , b")
    assert demo.decode(ids, clean_up_tokenization_spaces=True) == demo.decode(ids)


def test_special_tokens_may_be_strings_or_dicts(tmp_path: Path) -> None:
    config = {
        "bos_token": {"content": "<s>", "special": True},
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": None,
        "additional_special_tokens": [{"content": "<tool>"}],
    }
    tokenizer = load_tokenizer(words(tmp_path, config))
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (0, 1, None)
    assert tokenizer.all_special_ids == [0, 1, 4, 5]
    assert tokenizer.decode([0, 2, 3, 1], skip_special_tokens=True) == "hello world"
    assert tokenizer.convert_tokens_to_ids(["hello", "absent"]) == [2, 4]


def test_a_folder_without_a_config_has_no_special_tokens(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(words(tmp_path))
    assert tokenizer.eos_token_id is None
    assert tokenizer.convert_tokens_to_ids("absent") is None


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no tokenizer\.json in .*fast tokenizer"):
        load_tokenizer(tmp_path)


def test_a_broken_tokenizer_and_a_broken_config_are_named(tmp_path: Path) -> None:
    words(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer_config\.json is not JSON"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="no tokenizer that can be read"):
        load_tokenizer(tmp_path)
