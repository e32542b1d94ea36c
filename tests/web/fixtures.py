"""Replies of the server that the page's own tests are held against, made by the server's code.

python -m tests.web.fixtures        writes them into web/test/fixtures
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from server.traces.record import Action, ModLog, ModUse, Request, Usage
from server.traces.routes import _whole
from server.traces.story import Story
from server.traces.trace import Failure, Trace

FOLDER = Path(__file__).parents[2] / "web" / "test" / "fixtures"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def eventful() -> Trace:
    """Draws with candidates, one refused, a forced run, some taken back, logs and a failure."""
    trace = _empty("eventful", mods=[ModUse("calm", "abc"), ModUse("idle", "def")])
    story = trace.story
    for step, token in enumerate((11, 12)):
        _draw(story, token, step)
    _draw(story, 13, 2)
    story.erase(1, 8)  # the draw of round 2 is refused at its Sampled
    story.forced([21, 22], 0, 2, 3_500)
    _draw(story, 14, 3)
    story.erase(2, 12)  # taken back at its Added, with the run's end
    _draw(story, 15, 4)
    story.forward_passes = 5
    for event in range(17):
        trace.calls.add(event, 0, 10 * event)
    trace.actions = [
        Action("force_tokens", 8, "calm", "Sampled", 2, 2, [21, 22], [13]),
        Action("backtrack", 12, "calm", "Added", 3, 5, [], [22, 14], backtrack_steps=2),
        Action("ban", 13, "calm", "ForwardPass", 4, 3, [14], overridden=True),
    ]
    trace.logs = [ModLog("<b>hello</b>", "calm", 2)]
    trace.failures = [Failure(15, "ValueError", "no such thing", "Traceback: line 3")]
    return trace


def replaced() -> Trace:
    """All of an output put in by `force_output`."""
    trace = _empty("replaced", mods=[ModUse("calm")])
    _draw(trace.story, 11, 0)
    trace.story.erase(1, 3)
    trace.story.replaced([31, 32, 33], 0, 0, 2_000)
    trace.story.forward_passes = 1
    return trace


def nothing() -> Trace:
    """One that failed before anything was drawn."""
    return _empty("nothing", finish_reason="abort")


def _empty(name: str, **request: Any) -> Trace:
    fields: dict[str, Any] = {
        "request_id": name,
        "created_at": START,
        "completed_at": START + timedelta(seconds=1),
        "model": "demo",
        "caller": "ann",
        "level": "full",
        "user_prompt_token_ids": [1, 2, 3],
        "messages": [{"role": "user", "content": "<i>Hi</i>"}],
        "final_text": "<script>alert(1)</script>",
        "finish_reason": "stop",
        "usage": Usage(prompt=3, sampled=3, forced=1, erased=3),
        **request,
    }
    return Trace(request=Request(**fields))


def _draw(story: Story, token: int, step: int) -> None:
    story.sampled(token, step, 1_000 * (step + 1), 0.5)
    story.candidates([token, token + 50], [0.5, 0.25], 1.04)


def told(trace: Trace) -> dict[str, Any]:
    """The reply of `GET /logs/{id}?view=story`, and the events that the whole record has."""
    about: dict[str, Any] = {"tags": ["good"], "favourite": False, "notes": []}
    events = [
        {
            "type": event.event_type,
            "step": event.step,
            "position": event.position,
            "added": event.added_tokens,
            "removed": event.removed_tokens,
        }
        for event in trace.record().events
    ]
    reply = json.loads(bytes(_whole(trace, "story", about).body))
    return {"reply": reply, "events": json.loads(msgspec.json.encode(events))}


def texts() -> dict[str, str]:
    """What each file holds."""
    made = {trace.request.request_id: told(trace) for trace in (eventful(), replaced(), nothing())}
    return {f"{name}.json": json.dumps(whole, indent=1) + "\n" for name, whole in made.items()}


def write() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    write()
