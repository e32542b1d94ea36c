"""Token ids of Model Runner V2's requests, read on the host while the device runs ahead.

With V2, the token that step N-1 samples is written by the device, and the host builds step N
before that has happened. An event recorded before step N's forward pass is enough to wait for:
all that N-1 did lies before it, and the forward pass, which nobody waits for, behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcRequestState


class History:
    """Tokens by slot: prompt and output, as far as they are committed."""

    def __init__(self, state: LogitsProcRequestState) -> None:
        self._state = state
        self._written = torch.cuda.Event() if state.device.type == "cuda" else None
        self._tokens = _on_host(state.all_token_ids)

    def mark(self) -> None:
        """The device's work so far includes the newest tokens. Before the forward pass."""
        if self._written is not None:
            self._written.record()

    def wait(self) -> None:
        """Return once the device has got as far as the last `mark`."""
        if self._written is not None:
            self._written.synchronize()

    def prompt_length(self, slot: int) -> int:
        return int(self._state.prompt_len.np[slot])

    def tokens(self, slot: int, length: int) -> NDArray[np.int32]:
        """The first `length` tokens of the request in this slot. Valid until the slot is reused."""
        if self._tokens is None:
            # Only where memory cannot be pinned: this waits for the forward pass, too.
            copied: NDArray[np.int32] = self._state.all_token_ids.gpu[slot, :length].cpu().numpy()
            return copied
        return self._tokens[slot, :length]


def _on_host(tokens: object) -> NDArray[np.int32] | None:
    """vLLM's buffer [slots, positions] where the host can read it: pinned, seen by the device."""
    pinned = getattr(tokens, "_uva_buf", None)
    shared: NDArray[np.int32] | None = getattr(pinned, "np", None)
    return shared
