"""From what was seen of a request to its trace. Runs on a thread of its own, once it is over."""

from __future__ import annotations

import json
import logging
import math
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from server.traces.acts import actions_of, failures_of, logs_of
from server.traces.record import MAX_COUNT, Request, Usage
from server.traces.seen import Seen
from server.traces.story import NOBODY, SAMPLED, STAYED, Story
from server.traces.trace import Trace
from server.traces.unpacking import TapeError, unpack

log = logging.getLogger("concordance.traces")

TOP_TOKENS = 5
"""So many of the likeliest tokens does a trace of level `full` have for each draw."""
LONGEST_NAME = 256
_NOT_THE_CLIENTS = (
    "output_kind", "output_text_buffer_length", "skip_clone", "skip_reading_prefix_cache",
)  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def trace_of(seen: Seen) -> Trace:
    """The trace of one choice. Whatever a host said of it was checked, or is left out."""
    trace = Trace(request=_request(seen))
    if seen.record is None:
        trace.story = _drawn(seen)
    else:
        _take_record(trace, seen, seen.record)
    _complete(trace, seen)
    return trace


def _take_record(trace: Trace, seen: Seen, record: Mapping[str, Any]) -> None:
    try:
        tape = unpack(record.get("tape", b""), len(seen.mods))
    except TapeError as error:
        # The host is gone, or lies: what is left is what the engine said.
        if record:
            log.warning("trace %s has no story of its own: %s", seen.request_id, error)
        trace.story = _gathered(seen)
        return
    trace.story, trace.calls = tape.story, tape.calls
    trace.story.times = [_since(seen, time) for time in tape.times]
    _match(trace.story, seen, tape.places)
    trace.actions = actions_of(trace, record, tape.action_calls, seen.asked_prompt)
    trace.logs = logs_of(trace, record, tape.log_calls)
    trace.failures = failures_of(trace, record, tape.failure_calls)


def _drawn(seen: Seen) -> Story:
    """A request without mods: the engine's tokens, each drawn in a round of its own."""
    story, size = Story(), len(seen.tokens)
    story.tokens = list(seen.tokens)
    story.origins, story.mods = [SAMPLED] * size, [NOBODY] * size
    story.rounds, story.erased = list(range(size)), [STAYED] * size
    story.times = [None if time is None else _since(seen, time) for time in seen.times]
    story.probabilities = [None] * size
    story.forward_passes = size
    for entry, draw in enumerate(seen.draws):
        _score(story, entry, draw, seen)
    return story


def _gathered(seen: Seen) -> Story:
    """A session whose host said nothing: the output, and which of it the engine drew, it seems."""
    story = Story()
    drawn = set(zip(seen.places or (), seen.tokens, strict=False))
    output = seen.tokens if seen.output is None else seen.output
    for place, token in enumerate(output):
        if (place, token) in drawn:
            story.sampled(token, place)
        else:
            story.forced([token], NOBODY, place)
    story.forward_passes = len(story)
    _match(story, seen, range(len(story)))
    return story


def _match(story: Story, seen: Seen, places: Sequence[int]) -> None:
    """Find each draw among the engine's tokens, where its time and its probability are.

    The engine's are more: those that a mod forced, and what ended segments. Both are in order.
    """
    found: dict[tuple[int, int], deque[int]] = defaultdict(deque)
    for number, at in enumerate(zip(seen.places or (), seen.tokens, strict=False)):
        found[at].append(number)
    newest = -1
    for entry, place in enumerate(places):
        candidates = found.get((place, story.tokens[entry]))
        while candidates and candidates[0] <= newest:
            candidates.popleft()
        if not candidates or story.origins[entry] != SAMPLED:
            continue
        newest = candidates.popleft()
        time = seen.times[newest]
        if time is not None:
            story.times[entry] = _since(seen, time)
        if newest < len(seen.draws):
            _score(story, entry, seen.draws[newest], seen)


def _score(story: Story, entry: int, draw: Any, seen: Seen) -> None:
    """What the engine said of a draw: a dict of token to log-probability and rank."""
    if not draw:
        return
    own = draw.get(story.tokens[entry])
    story.probabilities[entry] = None if own is None else _probability(own.logprob)
    if seen.level != "full":
        return
    best = sorted((each.rank or MAX_COUNT, token) for token, each in draw.items())
    likeliest = [token for rank, token in best if rank <= TOP_TOKENS]
    chances = [_probability(draw[token].logprob) for token in likeliest]
    missing = entry - len(story.top_tokens)
    story.top_tokens += [*([] for _ in range(missing)), likeliest]
    story.top_probabilities += [*([] for _ in range(missing)), chances]
    story.entropies += [*[None] * missing, entropy_of(chances)]


def entropy_of(chances: Sequence[float]) -> float:
    """In nats, with all that is not among these as one more outcome: never too much."""
    rest = max(0.0, 1.0 - sum(chances))
    return max(0.0, -sum(p * math.log(p) for p in (*chances, rest) if p > 0))


def _probability(logprob: float) -> float:
    return min(1.0, math.exp(logprob))


def _complete(trace: Trace, seen: Seen) -> None:
    """What follows from the story."""
    request, story = trace.request, trace.story
    request.final_token_ids = story.surviving()
    sampled = story.count(SAMPLED)
    request.usage = Usage(
        prompt=len(request.user_prompt_token_ids),
        cached=seen.cached,
        sampled=sampled,
        forced=len(request.final_token_ids) - sampled,
        erased=story.count(),
    )


def _request(seen: Seen) -> Request:
    asked, params = seen.asked, seen.params
    content = asked.content
    return Request(
        request_id=seen.request_id,
        created_at=_moment(seen.began),
        first_token_at=None if seen.first is None else _moment(max(seen.first, seen.began)),
        completed_at=_moment(max(seen.ended, seen.began)),
        group_id=seen.group_id,
        choice=seen.choice,
        parent_id=asked.parent_id,
        parent_step=asked.parent_step,
        model=seen.model[:LONGEST_NAME],
        endpoint=asked.endpoint[:LONGEST_NAME],
        caller=asked.caller[:LONGEST_NAME],
        stream=content.get("stream") is True,
        level=seen.level,
        messages=messages_of(content),
        tools=_dicts(content.get("tools")),
        response_format=_format(content),
        user_prompt=seen.prompt_text or _prompt_text(content),
        user_prompt_token_ids=list(seen.prompt),
        max_tokens=getattr(params, "max_tokens", None),
        temperature=getattr(params, "temperature", None),
        sampling=sampling_of(params),
        mods=seen.mods,
        final_text=seen.text,
        finish_reason=seen.finish_reason[:LONGEST_NAME],
        stop_reason=seen.stop_reason,
        tool_calls=seen.tool_calls or [],
        error=seen.error,
    )


def sampling_of(params: Any) -> dict[str, Any]:
    """The sampling parameters that differ from vLLM's own defaults, as JSON has them."""
    if params is None:
        return {}
    given = msgspec.to_builtins(params, enc_hook=str, str_keys=True)
    plain = json.loads(json.dumps(given, default=str))
    return {name: value for name, value in of_client(plain).items() if value not in ([], None)}


def of_client(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Without what vLLM sets for itself, and believes as it stands."""
    return {
        name: value
        for name, value in sampling.items()
        if not name.startswith("_") and name not in _NOT_THE_CLIENTS
    }


def messages_of(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was said, whichever route it came by."""
    given = content.get("messages", content.get("input"))
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    system = content.get("system", content.get("instructions"))
    head = [{"role": "system", "content": system}] if system else []
    return head + _dicts(given)


def _prompt_text(content: Mapping[str, Any]) -> str:
    """The prompt as somebody would search for it."""
    prompt = content.get("prompt")
    if isinstance(prompt, str):
        return prompt
    return "\n".join(text for message in messages_of(content) for text in _texts(message))


def _texts(message: Mapping[str, Any]) -> list[str]:
    said = message.get("content")
    if isinstance(said, str):
        return [said]
    return [part["text"] for part in _dicts(said) if isinstance(part.get("text"), str)]


def _format(content: Mapping[str, Any]) -> dict[str, Any] | None:
    text = content.get("text")
    nested = text.get("format") if isinstance(text, dict) else None
    given = content.get("response_format") or nested
    return given if isinstance(given, dict) else None


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _since(seen: Seen, time: int) -> int:
    return max(0, time - seen.began)


def _moment(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND
