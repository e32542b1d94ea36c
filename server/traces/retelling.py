"""Events told from a story, and a story gathered from events.

`events_of` and `story_of` are each other's inverse on what our own sessions make. Records from
outside may tell events that no session has; then the story is what can be gathered of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from server.traces.record import MAX_COUNT, Candidate, Event, Request
from server.traces.story import FORCED_MORE, NOBODY, OUTPUT, SAMPLED, STAYED, Story

_MICROSECOND = timedelta(microseconds=1)


def events_of(story: Story, request: Request) -> list[Event]:
    """What mods were told, or would have been, in order."""
    return _Telling(story, request).tell()


def story_of(events: Sequence[Event], request: Request) -> Story:
    """The tokens that these events tell of."""
    gathering = _Gathering(request)
    for number, event in enumerate(events):
        gathering.take(number, event)
    return gathering.story


class _Telling:
    """One pass over a story's entries. `_alive` counts the output's tokens on the way."""

    def __init__(self, story: Story, request: Request) -> None:
        self._story, self._request = story, request
        self._names = [mod.name for mod in request.mods]
        self._events: list[Event] = []
        self._alive = 0
        self._entry = 0
        self._erased_at: dict[int, list[int]] = defaultdict(list)
        for entry, event in enumerate(story.erased):
            if event != STAYED:
                self._erased_at[event].append(entry)

    def tell(self) -> list[Event]:
        story, request = self._story, self._request
        self._say(Event("Prefilled", 0, prompt_length=len(request.user_prompt_token_ids)))
        for step in range(story.forward_passes):
            self._forward_pass(step)
            while self._in_round(step):
                if story.origins[self._entry] == SAMPLED:
                    self._draw(step)
                else:
                    self._run(step)
        self._output()
        last = max(0, story.forward_passes - 1)
        self._say(Event("Finished", last, finish_reason=request.finish_reason))
        return self._events

    def _in_round(self, step: int) -> bool:
        entry, story = self._entry, self._story
        return entry < len(story) and story.rounds[entry] == step and story.origins[entry] != OUTPUT

    def _forward_pass(self, step: int) -> None:
        event = Event("ForwardPass", step)
        entry, story = self._entry, self._story
        drawn = self._in_round(step) and story.origins[entry] == SAMPLED
        if drawn and entry < len(story.top_tokens):
            pairs = zip(story.top_tokens[entry], story.top_probabilities[entry], strict=True)
            event.top_tokens = [Candidate(*pair) for pair in pairs]
            event.entropy = story.entropies[entry]
        self._say(event)

    def _draw(self, step: int) -> None:
        entry, story = self._entry, self._story
        self._entry += 1
        token, time = story.tokens[entry], self._time(entry)
        refused = story.erased[entry] == len(self._events)
        drawn = Event("Sampled", step, sampled_token=token, created_at=time)
        drawn.probability = story.probabilities[entry]
        self._say(drawn, pending=1 if refused else 0)
        if not refused:
            self._alive += 1
            self._say(Event("Added", step, added_tokens=[token], created_at=time))

    def _run(self, step: int) -> None:
        story, first = self._story, self._entry
        self._entry += 1
        while self._in_round(step) and story.origins[self._entry] == FORCED_MORE:
            self._entry += 1
        run = story.tokens[first : self._entry]
        self._alive += len(run)
        event = Event("Added", step, added_tokens=run, forced=True, mod_name=self._mod(first))
        event.created_at = self._time(first)
        self._say(event)

    def _output(self) -> None:
        """What `force_output` put in belongs to the event that it answered, the last one."""
        story, first = self._story, self._entry
        if first < len(story):
            self._events[-1].output_tokens = story.tokens[first:]
            self._events[-1].output_mod_name = self._mod(first)
            self._alive += len(story) - first

    def _say(self, event: Event, pending: int = 0) -> None:
        """pending: tokens that this event's answer drops before they came in."""
        entries = self._erased_at.get(len(self._events), [])
        event.position = self._alive
        event.removed_tokens = [self._story.tokens[entry] for entry in entries]
        self._alive -= len(entries) - pending
        self._events.append(event)

    def _time(self, entry: int) -> datetime | None:
        time = self._story.times[entry]
        return None if time is None else self._request.created_at + time * _MICROSECOND

    def _mod(self, entry: int) -> str:
        mod = self._story.mods[entry]
        return "" if mod == NOBODY else self._names[mod]


class _Gathering:
    """A story that grows event by event."""

    def __init__(self, request: Request) -> None:
        self.story = Story()
        self._start = request.created_at
        self._mods = {mod.name: n for n, mod in reversed(list(enumerate(request.mods)))}
        self._in: list[int] = []
        """Entries of the tokens that have not left, the newest last."""
        self._pending = False
        """Whether the newest entry was drawn and is not in yet."""
        self._forward: Event | None = None

    def take(self, number: int, event: Event) -> None:
        time = self._since_start(event.created_at)
        entered = len(self.story)
        if event.event_type == "ForwardPass":
            rounds = min(event.step + 1, MAX_COUNT)
            self.story.forward_passes = max(self.story.forward_passes, rounds)
            self._forward = event
        elif event.event_type == "Sampled":
            self._draw(event, time)
        elif event.event_type == "Added":
            self._add(event, time)
        self._in.extend(range(entered, len(self.story)))
        if event.removed_tokens:
            self._erase(len(event.removed_tokens), number)
            self._pending = False
        entered = len(self.story)
        mod = self._mods.get(event.output_mod_name, NOBODY)
        self.story.replaced(event.output_tokens, mod, event.step, time)
        self._in.extend(range(entered, len(self.story)))

    def _erase(self, count: int, number: int) -> None:
        """As `Story.erase`, without a look at what left before: records may take back often."""
        for _ in range(min(count, len(self._in))):
            self.story.erased[self._in.pop()] = number

    def _draw(self, event: Event, time: int | None) -> None:
        assert event.sampled_token is not None
        self.story.sampled(event.sampled_token, event.step, time, event.probability)
        self._pending = True
        forward, self._forward = self._forward, None
        if forward is not None and (forward.top_tokens or forward.entropy is not None):
            self.story.candidates(
                [candidate.token for candidate in forward.top_tokens],
                [candidate.probability for candidate in forward.top_tokens],
                forward.entropy,
            )

    def _add(self, event: Event, time: int | None) -> None:
        confirmed = self._pending and event.added_tokens == self.story.tokens[-1:]
        self._pending = False
        if event.forced:
            mod = self._mods.get(event.mod_name, NOBODY)
            self.story.forced(event.added_tokens, mod, event.step, time)
        elif not confirmed:
            for token in event.added_tokens:
                self.story.sampled(token, event.step, time)

    def _since_start(self, time: datetime | None) -> int | None:
        return None if time is None else (time - self._start) // _MICROSECOND
