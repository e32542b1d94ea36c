"""Traces that nobody asked for: a server's traffic over some weeks, made up, the same each time.

A few models and callers are busy and most are not; some mods are old, some rare; words come as
often as words do; a few requests fail or are aborted, a few are long, a few replay another.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import accumulate

from server.traces.record import Action, Error, ModLog, ModUse, Request, Usage
from server.traces.story import Story
from server.traces.trace import Trace

MODELS = [f"model-{n}" for n in range(8)]
MODS = [f"mod-{n}" for n in range(30)]
CALLERS = [f"caller-{n}" for n in range(300)]
FAVOURERS = [f"favourer-{n}" for n in range(10)]
TAGS = [f"tag-{n}" for n in range(50)]
ACTIONS = ["force_tokens", "backtrack", "adjust_logits", "force_output", "tool_calls"]
WORDS = [f"w{n}" for n in range(20_000)]

_STORIES = 200
_COMPANIONS = {word: WORDS[(7 * n + 3) % len(WORDS)] for n, word in enumerate(WORDS)}


def companion(word: str) -> str:
    """The word that follows this one more often than chance has it, as words of a language do."""
    return _COMPANIONS[word]


class Traffic:
    """`traces` gives them in the order of time, spread evenly over the days before `end`."""

    def __init__(self, seed: int = 1, *, words: int = 40) -> None:
        self._random = random.Random(seed)
        self._weights = {
            len(names): list(accumulate(1 / (rank + 1) for rank in range(len(names))))
            for names in (MODELS, MODS, CALLERS, FAVOURERS, TAGS, ACTIONS, WORDS)
        }
        self._words = words
        self._recent: deque[str] = deque(maxlen=100)
        self._stories = [self._story() for _ in range(_STORIES)]

    def traces(self, count: int, end: datetime, days: float) -> Iterator[Trace]:
        start = end - timedelta(days=days)
        for number in range(count):
            yield self._trace(number, start + timedelta(days=days) * (number / count))

    def pick(self, names: list[str]) -> str:
        """One of these; the first are picked most, the n-th an n-th as often."""
        return self._random.choices(names, cum_weights=self._weights[len(names)])[0]

    def _trace(self, number: int, created: datetime) -> Trace:
        rnd = self._random
        story = rnd.choice(self._stories)
        parent = rnd.choice(self._recent) if self._recent and rnd.random() < 0.01 else ""
        latency = len(story) * 0.02 * rnd.lognormvariate(0, 0.5)
        request = Request(
            request_id=f"chatcmpl-{rnd.getrandbits(96):024x}-{number}",
            created_at=created,
            first_token_at=created + timedelta(seconds=latency / 10),
            completed_at=created + timedelta(seconds=latency),
            model=self.pick(MODELS),
            caller=self.pick(CALLERS),
            endpoint="/v1/chat/completions",
            parent_id=parent,
            user_prompt=self._text(self._words),
            user_prompt_token_ids=list(range(20)),
            final_text=self._text(self._words // 2),
            finish_reason="abort" if rnd.random() < 0.02 else "stop",
            usage=Usage(prompt=20),
            tags=[self.pick(TAGS)] if rnd.random() < 0.05 else [],
        )
        request.messages = [{"role": "user", "content": request.user_prompt}]
        self._recent.append(request.request_id)
        trace = Trace(request=request, story=story)
        if rnd.random() < 0.3:
            self._modify(trace)
        if rnd.random() < 0.02:
            request.error = Error("the mod raised ValueError", "mod_exception", 422)
        return trace

    def _modify(self, trace: Trace) -> None:
        name = self.pick(MODS)
        trace.request.mods = [ModUse(name, "0" * 64)]
        for event in range(0, 3 * len(trace.story), 3):
            trace.calls.add(event, 0, 20)
        if self._random.random() < 0.5:
            trace.actions = [Action(self.pick(ACTIONS), 0, name, "ForwardPass", 0, 0, [5, 6])]
        if self._random.random() < 0.1:
            trace.logs = [ModLog("a line that was printed", name, 0)]

    def _text(self, words: int) -> str:
        """So many words as a rule, sometimes many more."""
        words = max(1, min(10 * words, int(self._random.lognormvariate(math.log(words), 0.7))))
        text = self._random.choices(WORDS, cum_weights=self._weights[len(WORDS)], k=words)
        for place in range(1, words, 5):
            text[place] = companion(text[place - 1])
        return " ".join(text)

    def _story(self) -> Story:
        story = Story()
        length = max(1, min(2000, int(self._random.lognormvariate(2.8, 0.9))))
        for step in range(length):
            story.sampled(self._random.randrange(100_000), step, 4000 * step, 0.5)
        story.forward_passes = length
        return story
