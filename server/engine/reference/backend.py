"""A model that reads and draws tokens one request at a time: what the reference loop stands on.

A backend holds one *context*, the prompt and the output so far. Tokens are added and rewound
there; logits, hidden states and attention are always those of the whole context. Nothing is
approximated: a rewind leaves no trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from vllm.sampling_params import SamplingParams


class NotCapturedError(RuntimeError):
    """Hidden states or attention were read from a backend that was not asked to keep them."""


class Backend(Protocol):
    """One model and one context.

    vocabulary: the width of a row of logits. max_context: prompt and output together, in tokens.
    eos_ids: the model's own end-of-sequence ids.
    """

    @property
    def vocabulary(self) -> int: ...
    @property
    def max_context(self) -> int: ...
    @property
    def eos_ids(self) -> Sequence[int]: ...
    @property
    def device(self) -> torch.device: ...

    @property
    def context(self) -> Sequence[int]:
        """The tokens that the next forward pass looks at."""
        ...

    def prefill(self, tokens: Sequence[int]) -> torch.Tensor:
        """Begin a new context with these tokens. Returns as `forward_pass` does."""
        ...

    def forward_pass(self, token: int | None = None) -> torch.Tensor:
        """Logits of what follows the context, with `token` added to it first if given.

        float32, shape [vocabulary], the caller's own to edit. Raises ValueError while the
        context is empty.
        """
        ...

    def sample(
        self,
        logits: torch.Tensor,
        params: SamplingParams,
        generator: torch.Generator | None = None,
    ) -> int:
        """Draw one token from logits [vocabulary], which may be overwritten.

        Temperature, min-p, top-k and top-p, in vLLM's order; the context stays as it is.
        """
        ...

    def add_tokens(self, tokens: Sequence[int]) -> None:
        """Append to the context. They are computed together, by the next forward pass.

        Raises ValueError for ids outside the vocabulary, or for more than `max_context`.
        """
        ...

    def rewind_kv_cache(self, length: int) -> None:
        """Cut the context to its first `length` tokens. Raises ValueError if it is shorter."""
        ...

    def hidden_states(self, layer: int) -> torch.Tensor:
        """float32 [tokens, width] of the context: layer 0 is the embedding, then layer by layer.

        Raises `NotCapturedError` if they are not kept, ValueError for a layer that is none.
        """
        ...

    def attentions(self, layer: int) -> torch.Tensor:
        """float32 [heads, tokens, tokens] of the context, zero where a token cannot look.

        Raises `NotCapturedError` if it is not kept, ValueError for a layer that is none.
        """
        ...
