"""Requests for the page to show: answered by the engine, or brought in from outside."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import msgspec

from server.traces.record import ModUse, Request, Usage
from server.traces.trace import Trace
from tests.engine.live import MODEL, Live

QUESTION = "What is the capital of France?"
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"

GREETS = '''
from mods.sdk import ForwardPass, mod

@mod
def page_greets(event, actions, tokenizer):
    """Begin every answer with a greeting."""
    if isinstance(event, ForwardPass) and event.position == 0:
        print("a greeting")
        return actions.force_tokens("Ahoy! ")
'''
RETHINKS = '''
from mods.sdk import Added, mod

done = set()

@mod(reach=8)
def page_rethinks(event, actions, tokenizer):
    """Take back two tokens, once, and say something else."""
    if isinstance(event, Added) and event.position == 6 and event.request_id not in done:
        done.add(event.request_id)
        return actions.backtrack(2, " well,")
'''
BREAKS = '''
from mods.sdk import Added, mod

@mod
def page_breaks(event, actions, tokenizer):
    """Fail at the third token."""
    if isinstance(event, Added) and event.position > 2:
        raise KeyError("lost")
'''
INJECTS = f'''
from mods.sdk import ForwardPass, mod

@mod
def page_injects(event, actions, tokenizer):
    """{HOSTILE}"""
    print({HOSTILE!r})
    if isinstance(event, ForwardPass) and event.position == 0:
        return actions.force_tokens({HOSTILE!r})
    if isinstance(event, ForwardPass) and event.position > 60:
        raise ValueError({HOSTILE!r})
'''


@dataclass(frozen=True)
class Stored:
    """Ids of stored requests."""

    plain: str
    greeted: str
    rethought: str
    failed: str
    hostile: str


def store_all(live: Live) -> Stored:
    """One of each kind, and wait until all can be read back."""
    for source in (GREETS, RETHINKS, BREAKS, INJECTS):
        live.upload(source.lstrip())
    stored = Stored(
        plain=ask(live, QUESTION),
        greeted=ask(live, QUESTION, "page_greets"),
        rethought=ask(live, QUESTION, "page_greets", "page_rethinks"),
        failed=ask(live, QUESTION, "page_breaks"),
        hostile=ask(live, f"Say {HOSTILE}", "page_injects"),
    )
    for request_id in vars(stored).values():
        wait_for(live, request_id)
    return stored


def ask(live: Live, text: str, *mods: str) -> str:
    """Returns the request's id."""
    answer = live.chat(text, *mods, trace="full")
    found = answer.headers.get("x-request-id") or answer.json().get("id", "")
    return str(found) if answer.status_code == 200 else newest(live)


def newest(live: Live) -> str:
    """The id of the last failure that is stored."""
    for _ in range(300):
        reply = httpx.get(f"{live.url}/logs?status=failed&mod=page_breaks", timeout=30)
        if reply.status_code == 200 and reply.json()["data"]:
            return str(reply.json()["data"][0]["request_id"])
        time.sleep(0.1)
    raise AssertionError(reply.text)


def wait_for(live: Live, request_id: str) -> None:
    for _ in range(600):
        reply = httpx.get(f"{live.url}/logs/{request_id}?view=story", timeout=30)
        if reply.status_code == 200:
            return
        time.sleep(0.1)
    raise AssertionError(f"{request_id}: {reply.text}")


def long_trace(name: str, tokens: int) -> Trace:
    """As one would be of a long answer: most drawn, some forced, some taken back."""
    start = datetime.now(UTC) - timedelta(seconds=tokens // 50)
    trace = Trace(
        request=Request(
            request_id=name,
            created_at=start,
            completed_at=start + timedelta(seconds=tokens // 50),
            model=MODEL,
            endpoint="/v1/chat/completions",
            level="full",
            mods=[ModUse("page_greets")],
            user_prompt_token_ids=list(range(300, 340)),
            messages=[{"role": "user", "content": "Write a long story."}],
            final_text="A long story.",
            finish_reason="length",
            usage=Usage(prompt=40, sampled=tokens - tokens // 50, forced=tokens // 50, erased=0),
        )
    )
    story, round_ = trace.story, 0
    for place in range(tokens):
        token = 300 + (place * 7919) % 1500
        if place % 50 == 49:
            story.forced([token], 0, round_, 20_000 * place)
        else:
            story.sampled(token, round_, 20_000 * place, 0.1 + (place % 9) / 10)
            story.candidates([token, token + 1, token + 2], [0.5, 0.25, 0.125], 1.04)
            round_ += 1
    story.forward_passes = round_
    return trace


def bring(live: Live, trace: Trace) -> str:
    """Send a trace as one from outside, and wait until it can be read."""
    record = msgspec.json.encode(trace.record())
    reply = httpx.post(f"{live.url}/v1/ingest", content=record, timeout=120)
    assert reply.status_code == 201, reply.text
    wait_for(live, trace.request.request_id)
    return trace.request.request_id
