"""Which row of the batch is which session's segment: parsed once, when a request is added."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mods.runtime.decisions import Sureness
from mods.runtime.host.protocol import FeedRow

if TYPE_CHECKING:
    from processors.constraints import Constraints

EXTRA_ARGS_KEY = "concordance"
"""The key of `SamplingParams.extra_args` under which a segment travels. Clients may not set it."""

log = logging.getLogger("concordance.processor")


class Tokens(Protocol):
    """Token ids: a runner's own list, or a view of its buffer (int32, shape [any])."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[int]: ...
    def __getitem__(self, index: Any, /) -> Any: ...


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
    erased: tokens that the session took back so far. sentinel: the id that ends the segment,
    never drawn otherwise. reads_logits: whether a mod wants the row; reads_confidence: whether one
    asks how sure the model is. seed: of the session's own draws (where a mod makes a greedy row
    sampled). held: constraints as digest, start and whole, see `decisions.Held`; reasoning_end:
    the token behind which a start of -1 lies. quiet: the host is told nothing before one of them
    is complete; without a host nobody is ever told. barred: tokens that the segment's first draw
    may not be.
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
    held: Sequence[tuple[str, int, bool]] = ()
    reasoning_end: int | None = None
    quiet: bool = False
    barred: Sequence[int] = ()
    reads_confidence: bool = False

    @property
    def looks(self) -> bool:
        """Whether the host can only be told once the logits are there."""
        return self.reads_logits or self.reads_confidence

    @property
    def needs_confidence(self) -> bool:
        """Whether the host must be told: with the row at hand it finds out by itself."""
        return self.reads_confidence and not self.reads_logits

    def to_extra_args(self) -> dict[str, Any]:
        """As plain lists and numbers, which is what survives the way to the worker."""
        penalties = self.penalties
        return {
            EXTRA_ARGS_KEY: {
                **self.__dict__,
                "penalties": None if penalties is None else list(penalties.__dict__.values()),
                "bad_words": [list(word) for word in self.bad_words],
                "held": [list(held) for held in self.held],
                "barred": list(self.barred),
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
    """One segment in the batch. `output` is what the segment has sampled, as the runner has it.

    The processors only ever see it grow; a request that is preempted comes back as a new row.
    """

    args: SegmentArgs
    prompt: Tokens = ()
    output: Tokens = ()
    tally: Any = None
    """`penalties.Tally` of this row, once it was needed."""
    constraints: Constraints | None = None
    """The constraints in force, once they are attached."""
    told: int = 0
    """How many of `output` the host was told of, where it is not told of each at once."""

    @property
    def asked(self) -> bool:
        """Whether the row's host is asked in this step."""
        if not self.args.host:
            return False
        return not self.args.quiet or (self.constraints is not None and self.constraints.changed)

    @property
    def position(self) -> int:
        """Output tokens of the session so far."""
        return self.args.kept + len(self.output)

    @property
    def newest(self) -> int:
        """The segment's newest token, -1 before its first."""
        return int(self.output[-1]) if len(self.output) else -1

    def feed(self, sureness: Sureness | None = None) -> FeedRow:
        """What the host is told: the newest token, and those before it that it was not told of.

        sureness: of the row's logits, if a mod asks for it.
        """
        earlier: list[int] = []
        if self.args.quiet:
            earlier = [int(token) for token in self.output[self.told : -1]]
            self.told = len(self.output)
        args = self.args
        return FeedRow(args.session, args.segment, self.position, self.newest, earlier, sureness)

    def kept_output(self) -> Tokens:
        """The session's output before this segment: it stands at the end of the prompt."""
        kept: Tokens = self.prompt[len(self.prompt) - self.args.kept :]
        return kept

    def session_prompt(self) -> Tokens:
        prompt: Tokens = self.prompt[: len(self.prompt) - self.args.kept]
        return prompt

    def ends_with(self, tokens: Sequence[int]) -> bool:
        """Whether these are the session's newest output tokens."""
        if len(tokens) > self.position:
            return False
        new = list(self.output[-len(tokens) :]) if tokens else []
        missing = len(tokens) - len(new)
        old = list(self.prompt[len(self.prompt) - missing :]) if missing else []
        return [*old, *new] == list(tokens)


def read_row(params: Any, prompt: Tokens = (), output: Tokens = ()) -> Row | None:
    """The row of a request with these sampling parameters, None if no mod watches it.

    Arguments that cannot be read are our own mistake; they cost this request its mods, and not
    the engine its life.
    """
    try:
        args = SegmentArgs.from_extra_args(getattr(params, "extra_args", None))
    except Exception:
        log.exception("a request's arguments cannot be read; it runs without its mods")
        return None
    return None if args is None else Row(args, prompt, output)
