"""The backend over a Hugging Face causal language model: float32, exact, one context.

The cache holds keys and values of a leading part of the context. A cache that cannot be cropped
without a trace (recurrent states, a window that has slid) is dropped and computed again.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from transformers import AutoModelForCausalLM, DynamicCache

from server.engine.reference.activations import Activations

if TYPE_CHECKING:
    from vllm.sampling_params import SamplingParams

_CONTEXT = 2048
"""Context of a model whose config does not say, in tokens."""


class TransformersBackend:
    """`Backend` for any `AutoModelForCausalLM`.

    hidden_states, attentions: keep them for every token of the context; attention makes the
    model compute it the plain way (`eager`).
    """

    def __init__(
        self, model: Any, *, hidden_states: bool = False, attentions: bool = False
    ) -> None:
        if attentions:
            model.set_attn_implementation("eager")
        self.model = model.eval()
        config = model.config.get_text_config()
        self.vocabulary = int(config.vocab_size)
        self.max_context = int(getattr(config, "max_position_embeddings", None) or _CONTEXT)
        self.eos_ids: Sequence[int] = _eos_ids(model)
        self.device: torch.device = model.device
        self.activations = Activations(hidden_states, attentions)
        self._context: list[int] = []
        self._row: torch.Tensor | None = None
        self._cached = 0
        self._cache: DynamicCache | None = None
        self._narrow = "logits_to_keep" in inspect.signature(model.forward).parameters

    @classmethod
    def load(
        cls,
        model: str,
        *,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        hidden_states: bool = False,
        attentions: bool = False,
        **source: Any,
    ) -> Self:
        """Load a model by its folder or its name. Raises what transformers raises.

        source: where it comes from, as transformers wants it: `revision`, `trust_remote_code`.
        """
        loaded = AutoModelForCausalLM.from_pretrained(model, dtype=dtype, **source).to(device)
        return cls(loaded, hidden_states=hidden_states, attentions=attentions)

    @property
    def parameters(self) -> int:
        """How many numbers the model is made of."""
        return sum(tensor.numel() for tensor in self.model.parameters())

    @property
    def context(self) -> Sequence[int]:
        return self._context

    def prefill(self, tokens: Sequence[int]) -> torch.Tensor:
        self._forget()
        self.add_tokens(tokens)
        return self.forward_pass()

    def forward_pass(self, token: int | None = None) -> torch.Tensor:
        if token is not None:
            self.add_tokens([token])
        if self._row is None:
            self._row = self._compute()
        return self._row.clone()

    def sample(
        self,
        logits: torch.Tensor,
        params: SamplingParams,
        generator: torch.Generator | None = None,
    ) -> int:
        from server.engine.reference.sampling import draw

        return draw(logits, params, generator)

    def add_tokens(self, tokens: Sequence[int]) -> None:
        wrong = [token for token in tokens if not 0 <= token < self.vocabulary]
        if wrong:
            raise ValueError(
                f"token id {wrong[0]} is outside the vocabulary (0 to {self.vocabulary - 1})"
            )
        length = len(self._context) + len(tokens)
        if length > self.max_context:
            raise ValueError(f"{length} tokens do not fit into a context of {self.max_context}")
        if tokens:
            self._context.extend(tokens)
            self._row = None

    def rewind_kv_cache(self, length: int) -> None:
        if not 0 <= length <= len(self._context):
            raise ValueError(
                f"cannot rewind to {length} tokens: the context has {len(self._context)}"
            )
        if length < len(self._context):
            del self._context[length:]
            self._row = None
            self._crop(length)

    def hidden_states(self, layer: int) -> torch.Tensor:
        self._catch_up()
        return self.activations.hidden(layer)

    def attentions(self, layer: int) -> torch.Tensor:
        self._catch_up()
        return self.activations.attention(layer)

    def _catch_up(self) -> None:
        if self._row is None:
            self._row = self._compute()

    def _forget(self) -> None:
        self._context, self._row = [], None
        self._cache, self._cached = None, 0
        self.activations.cut(0)

    def _crop(self, length: int) -> None:
        """Cut cache and activations to at most `length` tokens."""
        surplus = self._cached - length
        if surplus <= 0 or self._cache is None:
            return
        if self._is_whole():
            self._cache.crop(-surplus)
            self._cached = length
        else:
            self._cache, self._cached = None, 0
        self.activations.cut(self._cached)

    def _is_whole(self) -> bool:
        """Whether every layer still has all tokens as keys and values, so that a crop is exact."""
        assert self._cache is not None
        for layer in self._cache.layers:
            window = getattr(layer, "sliding_window", None)
            slid = window is not None and self._cached >= window
            if slid or not layer.is_croppable or hasattr(layer, "conv_states"):
                return False
        return True

    @torch.no_grad()
    def _compute(self) -> torch.Tensor:
        """Compute what the cache lacks, the newest token at least. float32 [vocabulary]."""
        if not self._context:
            raise ValueError("the context is empty: prefill at least one token")
        self._crop(len(self._context) - 1)
        if self._cache is None:
            self._cache = DynamicCache(config=self.model.config)
        start = self._cached
        output = self.model(
            input_ids=torch.tensor([self._context[start:]], device=self.device),
            past_key_values=self._cache,
            use_cache=True,
            output_hidden_states=self.activations.keeps_hidden,
            output_attentions=self.activations.keeps_attention,
            **({"logits_to_keep": 1} if self._narrow else {}),
        )
        self._cached = len(self._context)
        if self.activations:
            length = self._cached - start
            self.activations.add(start, length, output.hidden_states, output.attentions)
        row: torch.Tensor = output.logits[0, -1].float()
        return row


def _eos_ids(model: Any) -> list[int]:
    """End-of-sequence ids, as the generation config says, or else the model's config."""
    for config in (getattr(model, "generation_config", None), model.config.get_text_config()):
        found = getattr(config, "eos_token_id", None)
        if found is not None:
            return [found] if isinstance(found, int) else list(found)
    return []
