"""A session's text: detokenised as vLLM does it, shown only as far as nothing can take it back.

Text is kept with the length it had after each token, so that a cut of tokens is a cut of text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from vllm.sampling_params import SamplingParams
from vllm.v1.engine.detokenizer import IncrementalDetokenizer

from mods.runtime.decisions import PassedEnd


class SessionText:
    """Grows token by token, and starts over where tokens changed."""

    def __init__(self, tokenizer: Any, prompt: Sequence[int], params: SamplingParams) -> None:
        self._tokenizer = tokenizer
        self._prompt = list(prompt)
        self._params = params
        self._stops = [params.stop] if isinstance(params.stop, str) else list(params.stop or ())
        self._includes_stop = params.include_stop_str_in_output
        self._start_over()

    @property
    def has_stops(self) -> bool:
        """Whether a stop string may still take the newest text out."""
        return bool(self._stops) and not self._includes_stop

    def _start_over(self) -> None:
        self.text = ""
        self._lengths: list[int] = []
        self._passed: list[PassedEnd] = []
        self._decoder = _decoder(self._tokenizer, self._prompt, self._params)

    def cut(self, keep: int, passed: Sequence[PassedEnd] = ()) -> None:
        """Tokens from `keep` on have changed, or ends were passed; the next `follow` decodes."""
        if keep < len(self._lengths) or list(passed) != self._passed:
            self._start_over()
            self._passed = list(passed)

    def follow(self, tokens: Sequence[int], count: int) -> None:
        """Become the text of the first `count` tokens, or of more if it was already."""
        ends = {end.index: end for end in self._passed}
        for index in range(len(self._lengths), count):
            self._append(tokens[index], ends.get(index))

    def upto(self, count: int) -> str:
        """The text of the first `count` tokens."""
        return self.text[: self._lengths[count - 1]] if count else ""

    def tokens_in(self, text: str) -> int:
        """How many tokens have all their text in this beginning of the text."""
        return bisect_right(self._lengths, len(text))

    def safe(self, count: int) -> str:
        """The text of the first `count` tokens, less what may be the start of a stop string."""
        held = max(len(stop) for stop in self._stops) - 1 if self.has_stops else 0
        text = self.upto(count)
        return text[: max(0, len(text) - held)]

    def finished(self, stop_reason: int | str | None, reason: str, replaced: bool) -> str:
        """The whole text, less what ended it: the stop string, or the ending token's own text."""
        if reason != "stop" or replaced:
            return self.text
        if isinstance(stop_reason, str):
            return self._cut_at(stop_reason)
        if self._includes_stop or not self._lengths:
            return self.text
        return self.upto(len(self._lengths) - 1)

    def _cut_at(self, stop: str) -> str:
        before = self._lengths[-2] if len(self._lengths) > 1 else 0
        at = self.text.find(stop, max(0, before - len(stop) + 1))
        if at < 0:
            return self.text
        return self.text[: at + (len(stop) if self._includes_stop else 0)]

    def _append(self, token: int, end: PassedEnd | None) -> None:
        if end is None or end.stop is not None:
            self._decoder.update([token], False)
            piece: str = self._decoder.get_next_output_text(finished=True, delta=True)
            self.text += piece
        if end is not None and end.stop is not None:
            at = self.text.rfind(end.stop)
            if at >= 0:
                self.text = self.text[:at] + self.text[at + len(end.stop) :]
                self._lengths = [min(length, at) for length in self._lengths]
        self._lengths.append(len(self.text))


def _decoder(tokenizer: Any, prompt: list[int], params: SamplingParams) -> Any:
    """vLLM's own incremental detokeniser, without its stop strings."""
    plain = SamplingParams(
        skip_special_tokens=params.skip_special_tokens,
        spaces_between_special_tokens=params.spaces_between_special_tokens,
    )
    request = SimpleNamespace(
        request_id="", prompt_token_ids=prompt, prompt_embeds=None, sampling_params=plain
    )
    return IncrementalDetokenizer.from_new_request(tokenizer, request)
