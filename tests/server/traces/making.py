"""Traces to spool and store."""

from __future__ import annotations

from datetime import timedelta

from server.traces.record import Action, ModLog, ModUse, Request, Usage, now
from server.traces.trace import Failure, Trace


def made(name: str = "r", tokens: int = 3, **request: object) -> Trace:
    """A small trace, a second long. `request`: any field of `Request`."""
    fields: dict[str, object] = {
        "request_id": name,
        "model": "demo",
        "caller": "ann",
        "user_prompt": f"prompt of {name}",
        "final_text": f"text of {name}",
        "finish_reason": "stop",
        "usage": Usage(prompt=4, sampled=tokens),
        **request,
    }
    fields.setdefault("created_at", now() - timedelta(seconds=5))
    trace = Trace(request=Request(**fields))  # type: ignore[arg-type]
    if trace.request.completed_at is None:
        trace.request.completed_at = trace.request.created_at + timedelta(seconds=1)
    for step in range(tokens):
        trace.story.sampled(100 + step, step, 1000 * step, 0.5)
    trace.story.forward_passes = tokens
    return trace


def modded(name: str = "r", mod: str = "calm", **request: object) -> Trace:
    """A trace with a mod that forces a token, takes one back, prints, and fails once."""
    trace = made(name, 2, mods=[ModUse(mod, "digest")], **request)
    story = trace.story
    story.erase(1, 5)
    story.forced([7, 8], 0, 1, 2500)
    story.forward_passes = 2
    for event, micros in enumerate((10, 20, 30, 40, 50, 60, 70)):
        trace.calls.add(event, 0, micros)
    trace.actions = [
        Action("backtrack", 5, mod, "Sampled", 1, 1, [7, 8], [101], backtrack_steps=1),
        Action("force_tokens", 6, mod, "Added", 1, 3, [9], overridden=True),
    ]
    trace.logs = [ModLog("hello", mod, 2)]
    trace.failures = [Failure(6, "ValueError", "no", "Traceback …")]
    return trace
