"""The Hugging Face backend is exact: no rewind, no cache and no window leaves a trace."""

from __future__ import annotations

import pytest
import torch
import transformers

from server.demo import MODEL_PATH
from server.engine.reference.backend import NotCapturedError
from server.engine.reference.loop import ReferenceLoop
from server.engine.reference.transformers_backend import TransformersBackend


@pytest.fixture(scope="module")
def watching() -> TransformersBackend:
    return TransformersBackend.load(str(MODEL_PATH), hidden_states=True, attentions=True)


@pytest.mark.parametrize("length", [0, 1, 7, 20, 39])
def test_a_rewind_and_the_same_tokens_again_give_the_logits_of_a_fresh_prefill(
    loop: ReferenceLoop, length: int
) -> None:
    backend, tokens = loop.backend, list(range(100, 140))
    fresh = backend.prefill(tokens)
    backend.rewind_kv_cache(length)
    backend.add_tokens([7, 8, 9])
    backend.forward_pass()
    backend.rewind_kv_cache(length)
    backend.add_tokens(tokens[length:])
    assert torch.allclose(backend.forward_pass(), fresh, atol=1e-4)
    assert list(backend.context) == tokens


def test_token_by_token_gives_the_logits_of_one_prefill(loop: ReferenceLoop) -> None:
    backend, tokens = loop.backend, list(range(300, 330))
    whole = backend.prefill(tokens)
    row = backend.prefill(tokens[:1])
    for token in tokens[1:]:
        row = backend.forward_pass(token)
    assert torch.allclose(row, whole, atol=1e-4)
    assert row.dtype == torch.float32
    assert row.shape == (backend.vocabulary,)


def test_a_rewind_alone_gives_the_logits_of_what_is_left(loop: ReferenceLoop) -> None:
    backend = loop.backend
    short = backend.prefill([5, 6, 7])
    backend.prefill([5, 6, 7, 8, 9])
    backend.rewind_kv_cache(3)
    assert torch.allclose(backend.forward_pass(), short, atol=1e-4)


def test_an_edited_row_does_not_change_the_next_one(loop: ReferenceLoop) -> None:
    row = loop.backend.prefill([5, 6, 7])
    before = row.clone()
    row.fill_(0)
    assert torch.equal(loop.backend.forward_pass(), before)


def test_a_window_that_has_slid_is_rewound_exactly() -> None:
    config = transformers.MistralConfig(
        vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, sliding_window=6,
    )  # fmt: skip
    torch.manual_seed(0)
    backend = TransformersBackend(transformers.MistralForCausalLM(config).float())
    tokens = [i % 60 for i in range(3, 25)]
    fresh = {length: backend.prefill(tokens[:length]) for length in (4, 9, 21, 22)}
    for length in (21, 9, 4):
        backend.rewind_kv_cache(length)
        assert torch.allclose(backend.forward_pass(), fresh[length], atol=1e-4)
    backend.add_tokens(tokens[4:])
    assert torch.allclose(backend.forward_pass(), fresh[22], atol=1e-4)


def test_what_cannot_be_in_a_context_is_refused(loop: ReferenceLoop) -> None:
    backend = loop.backend
    backend.prefill([5])
    with pytest.raises(ValueError, match="token id 2048 is outside the vocabulary"):
        backend.add_tokens([2048])
    with pytest.raises(ValueError, match="4097 tokens do not fit"):
        backend.add_tokens([5] * 4096)
    with pytest.raises(ValueError, match="cannot rewind to 2 tokens: the context has 1"):
        backend.rewind_kv_cache(2)
    with pytest.raises(ValueError, match="the context is empty"):
        backend.prefill([])


def test_hidden_states_follow_the_context(watching: TransformersBackend) -> None:
    tokens = list(range(50, 62))
    watching.prefill(tokens)
    fresh = [watching.hidden_states(layer) for layer in range(7)]
    watching.prefill([*tokens[:5], 9, 9, 9])
    watching.rewind_kv_cache(5)
    watching.add_tokens(tokens[5:9])
    for token in tokens[9:]:
        watching.forward_pass(token)
    for layer, expected in enumerate(fresh):
        assert expected.shape == (12, 256)
        assert torch.allclose(watching.hidden_states(layer), expected, atol=1e-4)
    head = watching.model.lm_head(fresh[-1][-1])
    assert torch.allclose(head, watching.forward_pass(), atol=1e-3)


def test_attention_follows_the_context(watching: TransformersBackend) -> None:
    tokens = list(range(50, 60))
    watching.prefill(tokens)
    fresh = watching.attentions(3)
    watching.prefill([*tokens[:4], 9])
    watching.rewind_kv_cache(4)
    for token in tokens[4:]:
        watching.add_tokens([token])
        again = watching.attentions(3)
    assert fresh.shape == (4, 10, 10)
    assert torch.allclose(again, fresh, atol=1e-4)
    assert torch.allclose(fresh.sum(-1), torch.ones(4, 10), atol=1e-4)
    assert not fresh.triu(1).any()


def test_activations_that_are_not_kept_or_not_there_are_refused(
    loop: ReferenceLoop, watching: TransformersBackend
) -> None:
    loop.backend.prefill([5])
    with pytest.raises(NotCapturedError, match="hidden_states=True"):
        loop.backend.hidden_states(0)
    with pytest.raises(NotCapturedError, match="attentions=True"):
        loop.backend.attentions(0)
    watching.prefill([5])
    with pytest.raises(ValueError, match="layers 0 to 6"):
        watching.hidden_states(7)
    with pytest.raises(ValueError, match="layers 0 to 5"):
        watching.attentions(-1)
