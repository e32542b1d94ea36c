"""Hidden states and attention of a context, gathered pass by pass and cut with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from server.engine.reference.backend import NotCapturedError


@dataclass
class Block:
    """What one forward pass added: by layer, for the tokens from `start` on.

    hidden: [tokens, width] each. attention: [heads, tokens, keys] each; the keys are the newest
    ones up to the token, as many as the model's cache shows it.
    """

    start: int
    length: int
    hidden: Sequence[torch.Tensor] = ()
    attention: Sequence[torch.Tensor] = ()

    def cut(self, length: int) -> Block:
        """The same block without the tokens from position `length` on."""
        keep = length - self.start
        gone = self.length - keep
        return Block(
            self.start,
            keep,
            [layer[:keep] for layer in self.hidden],
            [layer[:, :keep, : layer.shape[2] - gone] for layer in self.attention],
        )


@dataclass
class Activations:
    """Blocks that cover the context from its first token on."""

    keeps_hidden: bool = False
    keeps_attention: bool = False
    blocks: list[Block] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.keeps_hidden or self.keeps_attention

    def add(
        self,
        start: int,
        length: int,
        hidden: Sequence[torch.Tensor] | None,
        attention: Sequence[torch.Tensor] | None,
    ) -> None:
        """Keep one pass's output: [1, tokens, width] and [1, heads, tokens, keys] by layer."""
        self.blocks.append(
            Block(
                start,
                length,
                [layer[0].float() for layer in hidden or ()],
                [layer[0].float() for layer in attention or ()],
            )
        )

    def cut(self, length: int) -> None:
        """Forget the tokens from position `length` on."""
        kept = [block for block in self.blocks if block.start < length]
        if kept and kept[-1].start + kept[-1].length > length:
            kept[-1] = kept[-1].cut(length)
        self.blocks = kept

    def hidden(self, layer: int) -> torch.Tensor:
        """float32 [tokens, width]."""
        if not self.keeps_hidden:
            raise NotCapturedError("hidden states are not kept: load with hidden_states=True")
        _check_layer(layer, len(self.blocks[0].hidden), "hidden states")
        return torch.cat([block.hidden[layer] for block in self.blocks])

    def attention(self, layer: int) -> torch.Tensor:
        """float32 [heads, tokens, tokens]."""
        if not self.keeps_attention:
            raise NotCapturedError("attention is not kept: load with attentions=True")
        _check_layer(layer, len(self.blocks[0].attention), "attention")
        rows = [block.attention[layer] for block in self.blocks]
        total = sum(block.length for block in self.blocks)
        whole = rows[0].new_zeros(rows[0].shape[0], total, total)
        for block, row in zip(self.blocks, rows, strict=True):
            end = block.start + block.length
            whole[:, block.start : end, end - row.shape[2] : end] = row
        return whole


def _check_layer(layer: int, count: int, what: str) -> None:
    if not 0 <= layer < count:
        raise ValueError(f"layer {layer} has no {what}: there are layers 0 to {count - 1}")
