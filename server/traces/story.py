"""The per-token story of one request, as parallel arrays: an entry for each token that was drawn
or put in, in the order in which it came. Tokens that left the output again stay, marked.

    token    probability  origin       mod  round  erased
    " 41"    0.62         SAMPLED       -1      0      -1
    "!"      0.31         SAMPLED       -1      1       5    taken back by the answer to event 5
    "."                   FORCED         0      1      -1    the mod's run begins
    "\\n"                  FORCED_MORE    0      1      -1    and goes on

Events follow from it, in the order of the laws: `Prefilled`; for each round `ForwardPass`, then
`Sampled` and `Added` for a drawn token, `Added` for each forced run; `Finished`. So an event's
number is known without keeping any, and `erased` and the mods' calls refer to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from server.traces.record import Token

SAMPLED = 0
"""Drawn by the engine."""
FORCED = 1
"""Put in by a mod; a run begins."""
FORCED_MORE = 2
"""Put in by a mod, in the same run as the entry before."""
OUTPUT = 3
"""Put in place of all output, by `force_output`. There is no event for it."""

STAYED = -1
"""In `erased`: the token is in the final output."""
NOBODY = -1
"""In `mods`: the token came from no mod."""


class Story(Struct, omit_defaults=True):
    """All arrays but the last three have an item for each entry.

    mods: place in the request's chain, or `NOBODY`. rounds: never falls. times: microseconds
    since the request's `created_at`. probabilities: as the engine reports them, None where it
    does not. erased: the number of the event whose answer took the token out, or `STAYED`; for a
    drawn token that never came in, its own `Sampled`. forward_passes: rounds that were begun.
    entropies (nats), top_tokens, top_probabilities: an item for each entry up to the last that
    has one, so none at all in traces of level `tokens`.
    """

    tokens: list[Token] = []
    origins: list[int] = []
    mods: list[int] = []
    rounds: list[int] = []
    times: list[int | None] = []
    probabilities: list[float | None] = []
    erased: list[int] = []
    forward_passes: int = 0
    entropies: list[float | None] = []
    top_tokens: list[list[Token]] = []
    top_probabilities: list[list[float]] = []

    def __len__(self) -> int:
        return len(self.tokens)

    def sampled(
        self, token: int, round_: int, time: int | None = None, probability: float | None = None
    ) -> None:
        """A token was drawn."""
        self._enter(token, SAMPLED, NOBODY, round_, time, probability)

    def forced(self, run: Sequence[int], mod: int, round_: int, time: int | None = None) -> None:
        """A mod put a run of tokens in."""
        for place, token in enumerate(run):
            self._enter(token, FORCED_MORE if place else FORCED, mod, round_, time)

    def replaced(self, output: Sequence[int], mod: int, round_: int, time: int | None) -> None:
        """A mod put these in place of all output. What was there must have been erased."""
        for token in output:
            self._enter(token, OUTPUT, mod, round_, time)

    def erase(self, count: int, event: int) -> None:
        """The newest `count` tokens left, the drawn one first, by the answer to this event."""
        place = len(self)
        while count and place:
            place -= 1
            if self.erased[place] == STAYED:
                self.erased[place] = event
                count -= 1

    def candidates(
        self, tokens: list[int], probabilities: list[float], entropy: float | None
    ) -> None:
        """Whence the newest entry was drawn: the likeliest tokens, the likeliest first."""
        missing = len(self) - 1 - len(self.top_tokens)
        self.top_tokens += [*([] for _ in range(missing)), tokens]
        self.top_probabilities += [*([] for _ in range(missing)), probabilities]
        self.entropies += [*[None] * missing, entropy]

    def surviving(self) -> list[int]:
        """The final output's token ids."""
        return [
            token
            for token, erased in zip(self.tokens, self.erased, strict=True)
            if erased == STAYED
        ]

    def count(self, origin: int | None = None) -> int:
        """How many tokens were erased; or, of an origin, how many were put in and stayed."""
        if origin is None:
            return len(self) - self.erased.count(STAYED)
        return sum(
            1
            for o, erased in zip(self.origins, self.erased, strict=True)
            if o == origin and erased == STAYED
        )

    def _enter(
        self,
        token: int,
        origin: int,
        mod: int,
        round_: int,
        time: int | None,
        probability: float | None = None,
    ) -> None:
        self.tokens.append(token)
        self.origins.append(origin)
        self.mods.append(mod)
        self.rounds.append(round_)
        self.times.append(time)
        self.probabilities.append(probability)
        self.erased.append(STAYED)
