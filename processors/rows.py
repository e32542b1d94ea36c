"""Which row of the batch is which session's segment: parsed once, when a request is added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mods.runtime.host.protocol import FeedRow

EXTRA_ARGS_KEY = "concordance"
"""The key of `SamplingParams.extra_args` under which a segment travels. Clients may not set it."""


@dataclass(frozen=True)
class Penalties:
    """OpenAI's and vLLM's penalties, counted over the session instead of the segment."""

    presence: float = 0.0
    frequency: float = 0.0
    repetition: float = 1.0


@dataclass(frozen=True)
class SegmentArgs:
    """What the worker must know of a segment.

    host: address of the mods' host. kept: output tokens that entered as part of the prompt.
    erased: tokens that the session took back so far. sentinel: the id that ends
    the segment, never drawn otherwise. reads_logits: whether a mod
    wants the row. seed: of the session's own draws (where a mod makes a greedy row sampled).
    """

    host: str
    session: int
    segment: int
    kept: int
    erased: int
    sentinel: int
    reads_logits: bool
    temperature: float
    seed: int
    penalties: Penalties | None = None
    bad_words: Sequence[Sequence[int]] = ()

    def to_extra_args(self) -> dict[str, Any]:
        """As plain lists and numbers, which is what survives the way to the worker."""
        penalties = self.penalties
        return {
            EXTRA_ARGS_KEY: {
                **self.__dict__,
                "penalties": None if penalties is None else list(penalties.__dict__.values()),
                "bad_words": [list(word) for word in self.bad_words],
            }
        }

    @classmethod
    def from_extra_args(cls, extra_args: Mapping[str, Any] | None) -> SegmentArgs | None:
        """None for a request without mods."""
        given = (extra_args or {}).get(EXTRA_ARGS_KEY)
        if given is None:
            return None
        penalties = given["penalties"]
        return cls(**{**given, "penalties": None if penalties is None else Penalties(*penalties)})


@dataclass(eq=False)
class Row:
    """One segment in the batch. `output` is the runner's own live list of sampled tokens."""

    args: SegmentArgs
    prompt: Sequence[int]
    output: Sequence[int]
    draws: int = field(default=0)
    """Draws that the processor made itself, so that each has its own noise."""

    @property
    def position(self) -> int:
        """Output tokens of the session so far."""
        return self.args.kept + len(self.output)

    def feed(self) -> FeedRow:
        newest = self.output[-1] if self.output else -1
        return FeedRow(self.args.session, self.args.segment, self.position, newest)

    def session_output(self) -> list[int]:
        """All output tokens of the session: kept ones stand at the end of the prompt."""
        kept = list(self.prompt[len(self.prompt) - self.args.kept :]) if self.args.kept else []
        return kept + list(self.output)

    def session_prompt(self) -> Sequence[int]:
        return self.prompt[: len(self.prompt) - self.args.kept]
