"""What a mod is told: five frozen events.

A request's life is one `Prefilled`, then rounds of `ForwardPass` → `Sampled` → `Added`, then one
`Finished`. `step` counts rounds from 0 and is never reset; `position` is the number of output
tokens so far. How tokens enter the engine (one a step, or many in one prefill) cannot be seen
from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

FloatRow = NDArray[np.float32]
"""float32, shape [1, vocabulary]."""


class LogitsUnavailableError(RuntimeError):
    """Logits were read by a mod that was compiled as one that never reads them."""


class Logits:
    """The raw logits of one row: float32, shape [1, vocabulary], before any mod's shape.

    `to_numpy()` gives a copy that a mod may edit in place and hand to `adjust_logits`.
    """

    def __init__(self, row: FloatRow) -> None:
        self._row = row.reshape(1, -1)

    @property
    def shape(self) -> tuple[int, int]:
        return 1, int(self._row.shape[1])

    def to_numpy(self) -> FloatRow:
        return self._row.astype(np.float32, copy=True)

    def __array__(self, dtype: np.dtype[np.generic] | None = None) -> NDArray[np.generic]:
        return self._row.astype(dtype or np.float32, copy=True)


@dataclass(frozen=True, slots=True)
class ContextInfo:
    """The prompt as token ids. `tokens` can be sliced; `prompt_len` is their number."""

    tokens: Sequence[int]

    @property
    def prompt_len(self) -> int:
        return len(self.tokens)

    _prompt_len = prompt_len


@dataclass(frozen=True, slots=True)
class Event:
    """What every event carries.

    request_id: the same for all events of one request, and never used twice.
    step: rounds so far, from 0. position: output tokens so far.
    """

    name: ClassVar[str] = "Event"

    request_id: str
    step: int
    position: int


@dataclass(frozen=True, slots=True)
class Prefilled(Event):
    """Once, before anything is computed. `max_steps` is the request's `max_tokens`."""

    name: ClassVar[str] = "Prefilled"

    max_steps: int
    context_info: ContextInfo


@dataclass(frozen=True, slots=True)
class ForwardPass(Event):
    """Logits are ready and nothing is sampled yet: the place to shape the next token."""

    name: ClassVar[str] = "ForwardPass"

    _logits: FloatRow | None = None

    @property
    def logits(self) -> Logits:
        """float32, shape [1, vocabulary]. Raises `LogitsUnavailableError` if not fetched."""
        if self._logits is None:
            raise LogitsUnavailableError(
                "this mod's source never names `logits`, so they were not fetched;"
                " declare them with @mod(logits=True)"
            )
        return Logits(self._logits)

    def top_k_logprob(self, k: int) -> list[tuple[int, float]]:
        """The k likeliest next tokens as (token id, log-probability), likeliest first."""
        row = self.logits._row[0].astype(np.float64)
        peak = float(row.max())
        total = peak + float(np.log(np.exp(row - peak).sum()))
        k = max(0, min(k, row.shape[0]))
        best = np.argpartition(-row, k - 1)[:k] if k else np.empty(0, dtype=np.int64)
        ordered = sorted((int(i) for i in best), key=lambda i: (-row[i], i))
        return [(i, float(row[i]) - total) for i in ordered]


@dataclass(frozen=True, slots=True)
class Sampled(Event):
    """One token was drawn and is not in the output yet."""

    name: ClassVar[str] = "Sampled"

    sampled_token: int


@dataclass(frozen=True, slots=True)
class Added(Event):
    """Tokens are in the output; `forced` says whether a mod put them there.

    removed: the tokens that left the output since the last `Added`, oldest first.
    """

    name: ClassVar[str] = "Added"

    added_tokens: list[int]
    forced: bool = False
    removed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """Once, at the end, whatever the cause.

    reason: `stop`, `length`, `tool_calls`, `error` or `aborted`.
    tokens: the output as it stands. sampled, forced, erased: tokens by origin.
    """

    name: ClassVar[str] = "Finished"

    reason: str
    tokens: tuple[int, ...] = ()
    sampled: int = 0
    forced: int = 0
    erased: int = 0


EVENTS: dict[str, type[Event]] = {
    kind.name: kind for kind in (Prefilled, ForwardPass, Sampled, Added, Finished)
}
"""Event classes by name, in the order of a request's life."""
