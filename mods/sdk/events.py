"""What a mod is told: five frozen events.

A request's life is one `Prefilled`, then rounds of `ForwardPass` → `Sampled` → `Added`, then one
`Finished`. `step` counts rounds from 0 and is never reset; `position` is the number of output
tokens so far. How tokens enter the engine (one a step, or many in one prefill) cannot be seen
from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import ClassVar, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from mods.sdk.confidence import Confidence

FloatRow = NDArray[np.float32]
"""float32, shape [1, vocabulary]."""


class Token(int):
    """An output token's id, which knows where the token comes from.

    mod: the name of the mod that put it there, None if it was drawn.
    """

    mod: str | None

    def __new__(cls, token: int, mod: str | None = None) -> Token:
        made = super().__new__(cls, token)
        made.mod = mod
        return made

    @property
    def forced(self) -> bool:
        """Whether a mod put it there."""
        return self.mod is not None


class Tokens(Sequence[Token]):
    """The first `length` of a list that only grows: a look at the output that stays as it is."""

    __slots__ = ("_length", "_tokens")

    def __init__(self, tokens: list[Token], length: int) -> None:
        self._tokens, self._length = tokens, length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Token]:
        return islice(iter(self._tokens), self._length)

    @overload
    def __getitem__(self, index: int) -> Token: ...
    @overload
    def __getitem__(self, index: slice) -> list[Token]: ...
    def __getitem__(self, index: int | slice) -> Token | list[Token]:
        if isinstance(index, slice):
            return [self._tokens[at] for at in range(self._length)[index]]
        return self._tokens[range(self._length)[index]]

    def __repr__(self) -> str:
        return f"Tokens({list(self)!r})"


class Look(Protocol):
    """The session as it stands, for the handler that runs. Made by whoever tells of events."""

    @property
    def text(self) -> str: ...
    @property
    def tokens(self) -> Sequence[Token]: ...
    def cut(self, at: int) -> tuple[int, int]: ...
    @property
    def calls(self) -> int: ...
    @property
    def seconds(self) -> float: ...


class StaleEventError(RuntimeError):
    """The output was asked for through an event that is over."""


class LogitsUnavailableError(RuntimeError):
    """Logits, or the confidence, were read by a mod that was compiled as one that never does."""


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


class _Seen:
    """Holds what an event may be asked about beside its fields: no field, so it costs no time."""

    __slots__ = ("_look",)


@dataclass(frozen=True, slots=True)
class Event(_Seen):
    """What every event carries.

    request_id: the same for all events of one request, and never used twice.
    step: rounds so far, from 0. position: output tokens so far.
    """

    name: ClassVar[str] = "Event"

    request_id: str
    step: int
    position: int

    @property
    def text(self) -> str:
        """The text of the output so far, less a character that is not whole yet.

        Only while the event is handled: later it raises `StaleEventError`.
        """
        return _look(self).text

    def cut(self, at: int) -> tuple[int, int]:
        """Where to cut the output so that nothing of its text from character `at` on is left.

        Returns how many of the newest tokens must go, and how much text is left then: less than
        `at` where a token holds text from both sides.

            n, left = event.cut(at)
            return actions.backtrack(n, event.text[left:at] + "something else")

        `event.cut(len(event.text))` tells how many tokens hold a part of a character only.
        Only while the event is handled: later it raises `StaleEventError`. At `Sampled`, the drawn
        token is not counted.
        """
        return _look(self).cut(at)

    @property
    def tokens(self) -> Sequence[Token]:
        """The output so far, each token with the mod that put it there.

        Only while the event is handled: later it raises `StaleEventError`. What it gave stays.
        """
        return _look(self).tokens


_set_look: Callable[[Event, Look | None], None] = _Seen.__dict__["_look"].__set__


def look_at(event: Event, look: Look) -> None:
    """From here on the event can be asked about the output."""
    _set_look(event, look)


def look_away(event: Event) -> None:
    """The event is handled: the output goes on without it."""
    _set_look(event, None)


def _look(event: Event) -> Look:
    look: Look | None = getattr(event, "_look", None)
    if look is None:
        raise StaleEventError(
            f"this {event.name} is over: take its text and tokens while it is handled, and keep"
            " what you need in a variable"
        )
    return look


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
    _confidence: Confidence | None = field(default=None, compare=False)

    @property
    def logits(self) -> Logits:
        """float32, shape [1, vocabulary]. Raises `LogitsUnavailableError` if not fetched."""
        if self._logits is None:
            raise LogitsUnavailableError(
                "this mod's source never names `logits`, so they were not fetched;"
                " declare them with @mod(logits=True)"
            )
        return Logits(self._logits)

    @property
    def confidence(self) -> Confidence:
        """How sure the model is. Raises `LogitsUnavailableError` if nobody was asked to find out.

        It costs no copy of the logits, and a fraction of what they cost.
        """
        if self._confidence is not None:
            return self._confidence
        if self._logits is None:
            raise LogitsUnavailableError(
                "this mod's source never names `confidence`, so it was not computed;"
                " declare it with @mod(confidence=True)"
            )
        return Confidence.of_row(self._logits)

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
    constrained: these are all tokens of a stretch through which the mod slept (`until_complete`).
    ends: the newest token ends the output, unless a mod goes on past it or takes it back.
    """

    name: ClassVar[str] = "Added"

    added_tokens: list[int]
    forced: bool = False
    removed: tuple[int, ...] = ()
    constrained: bool = False
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """What a request came to.

    sampled, forced: tokens of the output, by origin. erased: tokens taken back. forwarded: tokens
    computed by the engine, those taken back and one for each restart among them. calls: of
    handlers, before this one. seconds: in the code of handlers, waits left out.
    """

    sampled: int
    forced: int
    erased: int
    forwarded: int
    calls: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """Once, at the end, whatever the cause.

    reason: `stop`, `length`, `tool_calls`, `error` or `aborted`.
    sampled, forced, erased: tokens by origin. forwarded: as in `Cost`.
    """

    name: ClassVar[str] = "Finished"

    reason: str
    _tokens: tuple[int, ...] = ()
    sampled: int = 0
    forced: int = 0
    erased: int = 0
    forwarded: int = field(default=0, compare=False)

    @property
    def tokens(self) -> tuple[int, ...]:  # type: ignore[override]
        """The output as it stands; while the event is handled, each with the mod it is from."""
        look: Look | None = getattr(self, "_look", None)
        return self._tokens if look is None else tuple(look.tokens)

    @property
    def cost(self) -> Cost:
        """Only while the event is handled: later it raises `StaleEventError`."""
        look = _look(self)
        return Cost(
            self.sampled, self.forced, self.erased, self.forwarded, look.calls, look.seconds
        )


EVENTS: dict[str, type[Event]] = {
    kind.name: kind for kind in (Prefilled, ForwardPass, Sampled, Added, Finished)
}
"""Event classes by name, in the order of a request's life."""
