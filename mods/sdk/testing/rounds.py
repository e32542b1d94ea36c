"""The order of events: one `Prefilled`, rounds, one `Finished`; what `step` and `position` say."""

from __future__ import annotations

from itertools import pairwise

from mods.sdk.events import Added, Event, Finished, ForwardPass, Prefilled, Sampled
from mods.sdk.testing.laws import Case, require

ROUNDS = 0
"""The number under which the rounds' own rules are reported."""

FOLLOWS: dict[type[Event], tuple[type[Event], ...]] = {
    Prefilled: (ForwardPass, Finished),
    ForwardPass: (Sampled, Added, ForwardPass, Finished),
    Sampled: (Added, ForwardPass, Finished),
    Added: (Added, ForwardPass, Finished),
    Finished: (),
}
"""What may come after each event."""


def events_come_in_rounds(case: Case) -> None:
    """Prefilled first and once, Finished last and once, and nothing out of order between."""
    events = case.story.events
    require(bool(events) and isinstance(events[0], Prefilled), ROUNDS, "no Prefilled at first")
    require(isinstance(events[-1], Finished), ROUNDS, "no Finished at last", events[-1])
    for one, other in pairwise(events):
        follows = isinstance(other, FOLLOWS[type(one)])
        require(follows, ROUNDS, f"{other.name} cannot follow {one.name}", (one, other))


def steps_count_rounds(case: Case) -> None:
    """`step` is 0, 1, 2, … with each ForwardPass; the rest of a round carries its number."""
    step = -1
    for event in case.story.events:
        step += isinstance(event, ForwardPass)
        require(event.step == max(0, step), ROUNDS, f"step should be {max(0, step)}", event)


def positions_count_output_tokens(case: Case) -> None:
    """`position` moves by what came in and what went, and at no other time."""
    position = 0
    for event in case.story.events:
        if isinstance(event, Added):
            start = event.position - len(event.added_tokens)
            require(start <= position, ROUNDS, "position skips tokens", event)
        elif isinstance(event, Finished):
            require(event.position == len(event.tokens), ROUNDS, "position at the end", event)
        elif isinstance(event, ForwardPass):
            require(event.position <= position, ROUNDS, "position skips tokens", event)
        else:
            require(event.position == position, ROUNDS, f"position is {position}", event)
        position = event.position
