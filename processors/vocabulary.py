"""The model's vocabulary for matchers, from vLLM's own tokenizer and generation config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mods.runtime.grammar.vocabulary import Vocabulary

if TYPE_CHECKING:
    from vllm.config import VllmConfig


def vocabulary_of(vllm_config: VllmConfig) -> Vocabulary:
    """Every id that ends a generation ends a constraint, too, where it may end."""
    from vllm.tokenizers import cached_tokenizer_from_config

    model = vllm_config.model_config
    tokenizer = cached_tokenizer_from_config(model)
    return Vocabulary.from_tokenizer(tokenizer, model.get_vocab_size(), ends_of(vllm_config))


def ends_of(vllm_config: VllmConfig) -> list[int]:
    """The ids that end a generation of this model, the tokenizer's own first."""
    from vllm.tokenizers import cached_tokenizer_from_config

    model = vllm_config.model_config
    given = (model.try_get_generation_config() or {}).get("eos_token_id")
    listed = given if isinstance(given, list) else [given]
    own = cached_tokenizer_from_config(model).eos_token_id
    return list(dict.fromkeys(end for end in (own, *listed) if end is not None))
