"""A story in lines: what a mod was told and what it answered, for somebody to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mods.sdk.actions import Action, AdjustedLogits, Noop
from mods.sdk.events import Added, Event, Finished, ForwardPass, Prefilled, Sampled
from mods.sdk.testing.recorder import Story, Turn
from mods.sdk.testing.tokenizer import ByteTokenizer

MAX_LINES = 200
"""Of a longer story the beginning is left out: what went wrong is at its end."""

_tokenizer = ByteTokenizer()


def lines_of(story: Story) -> list[str]:
    """An event a line, with the answers that were no noop."""
    lines = [line for turn in story.turns for line in _lines(turn)]
    left_out = len(lines) - MAX_LINES
    return lines if left_out <= 0 else [f"… {left_out} lines before", *lines[left_out:]]


def in_words(answer: object) -> str:
    """An answer as its author would write it."""
    if isinstance(answer, BaseException):
        return f"raised {type(answer).__name__}: {_message(answer)}"
    if not isinstance(answer, Action):
        return f"returned {answer!r:.80}"
    if isinstance(answer, AdjustedLogits):
        return f"{answer.name}({_shape(answer)})"
    given = [f"{value}" for name in ("n",) if (value := getattr(answer, name, None)) is not None]
    tokens = getattr(answer, "tokens", None)
    if tokens is not None:
        given.append(_text(tokens))
    return f"{answer.name}({', '.join(given)})"


def _lines(turn: Turn) -> Iterator[str]:
    event = turn.event
    yield f"{event.name:<11} step {event.step:<3} position {event.position:<3} {_carries(event)}"
    for said in turn.answers:
        if said.answer is not None and not isinstance(said.answer, Noop):
            yield f"    {said.mod}: {in_words(said.answer)}"


def _carries(event: Event) -> str:
    if isinstance(event, Prefilled):
        return _text(event.context_info.tokens)
    if isinstance(event, Sampled):
        return _text([event.sampled_token])
    if isinstance(event, Added):
        removed = f", after {_text(event.removed)} went" if event.removed else ""
        return _text(event.added_tokens) + (" forced" if event.forced else "") + removed
    if isinstance(event, ForwardPass) and event._confidence is not None:
        return f"entropy {event._confidence.entropy:.3f}, margin {event._confidence.margin:.3f}"
    return event.reason if isinstance(event, Finished) else ""


def _shape(shape: AdjustedLogits) -> str:
    parts = {
        "logits": None if shape.logits is None else "a whole row",
        "bias": dict(shape.bias) or None,
        "ban": sorted(shape.ban) or None,
        "allow": None if shape.allow is None else sorted(shape.allow),
        "token_temp": shape.token_temp,
        "constraint": shape.constraint,
    }
    told = (f"{name}={value!s:.60}" for name, value in parts.items() if value is not None)
    return ", ".join(told)


def _text(tokens: object) -> str:
    """Tokens as text, where they are tokens."""
    if isinstance(tokens, str) or not isinstance(tokens, Sequence):
        return repr(tokens)[:80]
    try:
        return repr(_tokenizer.decode(list(tokens)))[:80]
    except (TypeError, ValueError):
        return repr(list(tokens))[:80]


def _message(error: BaseException) -> str:
    try:
        return str(error)[:300]
    except BaseException:
        return "(its message cannot be read)"
