"""Whether the newest token ends a session: read from the whole text, every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mods.runtime.decisions import SessionSpec
from mods.runtime.ends import Decodes


@dataclass(frozen=True)
class Verdict:
    """How it ends: `stop` or `length`, and what stopped it."""

    reason: str
    stop_reason: int | str | None = None

    @property
    def stop_string(self) -> str | None:
        return self.stop_reason if isinstance(self.stop_reason, str) else None


def judge(
    spec: SessionSpec, max_tokens: int, tokens: Sequence[int], tokenizer: Decodes
) -> Verdict | None:
    """The end that the newest of `tokens` completes. An end beats the length."""
    newest, count = tokens[-1], len(tokens)
    if count >= spec.min_tokens and newest in spec.eos and not spec.ignore_eos:
        return Verdict("stop")
    if count >= spec.min_tokens and newest in spec.stop_token_ids:
        return Verdict("stop", newest)
    if count > spec.min_tokens:
        stop = _completed(spec, tokens, tokenizer)
        if stop is not None:
            return Verdict("stop", stop)
    return Verdict("length") if count >= max_tokens else None


def _completed(spec: SessionSpec, tokens: Sequence[int], tokenizer: Decodes) -> str | None:
    """The stop string that is whole since the newest token: the first to be whole."""
    before = len(_text(spec, tokens[:-1], tokenizer))
    after = _text(spec, tokens, tokenizer)
    for end in range(before + 1, len(after) + 1):
        for stop in spec.stop:
            if stop and after[:end].endswith(stop):
                return stop
    return None


def _text(spec: SessionSpec, tokens: Sequence[int], tokenizer: Decodes) -> str:
    """The text so far, without a character of which only a part is there."""
    text = tokenizer.decode(list(tokens), skip_special_tokens=spec.skip_special_tokens)
    return text.rstrip("\ufffd")
