"""What one choice has given out, and what it may give out next: tokens, text and logprobs.

The engine's tokens come in by segments; the machine says which stay. Text is shown token by
token and never taken back, unless the client asked to be told of removals instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vllm.logprobs import Logprob
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams

from mods.runtime.decisions import Finish, PassedEnd, Usage
from mods.sdk.errors import HostError, ReachExceededError
from server.engine.call import Call, Removed
from server.engine.given import Given
from server.engine.text import SessionText

_REASONS = {"tool_calls": "stop"}
"""Finish reasons that vLLM's layers do not know from an engine; the way out writes the real one."""


class Answer:
    """One choice of a response. `index` is its place in this prompt's outputs, `choice` in all."""

    def __init__(
        self,
        given: Given,
        call: Call,
        prompt: Sequence[int],
        params: SamplingParams,
        index: int,
        choice: int,
    ) -> None:
        self.tokens: list[int] = []
        self.streams = params.output_kind != RequestOutputKind.FINAL_ONLY
        self._given, self._call, self._params = given, call, params
        self._prompt = list(prompt)
        self._index, self._choice = index, choice
        self._logprobs: list[Any] = []
        self._text = SessionText(given.tokenizer, self._prompt, params)
        self._shown = ""
        self._count = 0
        """How many tokens have been given out."""
        self._first: RequestOutput | None = None
        self._prompt_replaced = False

    def take(self, output: RequestOutput) -> None:
        """New tokens from the engine."""
        self._first = self._first or output
        (completion,) = output.outputs
        self.tokens.extend(completion.token_ids)
        self._logprobs.extend(completion.logprobs or [None] * len(completion.token_ids))

    def replace(self, keep: int, tokens: Sequence[int], passed: Sequence[PassedEnd]) -> None:
        """The output is the first `keep` tokens that came from the engine, then these."""
        if self._count > keep:
            self._take_back(keep)
        self._change(keep, tokens, passed)

    def prompt_was_replaced(self) -> None:
        """What the engine says of its prompt is not about the client's."""
        self._prompt_replaced = True

    @property
    def shown(self) -> str:
        """The text that was given out."""
        return self._shown

    def show(self, floor: int, judged: bool) -> RequestOutput | None:
        """What may be given out now that the engine has gone on; None if nothing new.

        floor: tokens that no mod may take back. judged: whether the newest token is in for good;
        else it still awaits its verdict.
        """
        settled = len(self.tokens) - (0 if judged else 1)
        if self._call.show_at_once:
            count = settled if self._text.has_stops else len(self.tokens)
        else:
            count = min(settled, floor)
        if count <= self._count:
            return None
        self._text.follow(self.tokens, count)
        text = self._text.safe(count)
        if self._call.mods and not self._call.show_at_once:
            # A mod may still replace all that is not shown, and then ids must not have gone out.
            count = min(count, self._text.tokens_in(text))
        return self._give(count, text) if count > self._count else None

    def finish(self, finish: Finish) -> RequestOutput:
        """The last output. Raises `ReachExceededError` if it does not extend what was shown."""
        if finish.replaced:
            self._count = min(self._count, finish.keep + len(finish.tokens))
            self._change(finish.keep, finish.tokens, finish.passed_ends)
        else:
            self.replace(finish.keep, finish.tokens, finish.passed_ends)
        self._text.follow(self.tokens, len(self.tokens))
        text = self._text.finished(finish.stop_reason, finish.reason, finish.replaced)
        if self.streams and not text.startswith(self._shown):
            if not self._call.show_at_once:
                raise ReachExceededError(
                    "the output was replaced by one that does not begin with the text already shown"
                )
            self._remove(_common_prefix(text, self._shown), self._count)
        return self._give(len(self.tokens), text, finish)

    def abandon(self, floor: int) -> RequestOutput:
        """The last output of an aborted request: no more than what may be shown."""
        count = min(len(self.tokens), max(self._count, floor))
        self._text.follow(self.tokens, count)
        return self._give(count, self._text.upto(count), Finish(count, [], "abort", Usage()))

    def _change(self, keep: int, tokens: Sequence[int], passed: Sequence[PassedEnd]) -> None:
        del self.tokens[keep:], self._logprobs[keep:]
        self.tokens.extend(tokens)
        self._logprobs.extend(self._unscored(token) for token in tokens)
        self._text.cut(keep, passed)

    def _unscored(self, token: int) -> dict[int, Logprob] | None:
        """What stands for the logprob of a token that entered by prefill: it has none.

        The responses route cannot print an absent one, so it is given a probability of nothing.
        """
        return {token: Logprob(float("-inf"))} if self._call.wants_every_logprob else None

    def _give(self, count: int, text: str, finish: Finish | None = None) -> RequestOutput:
        """An output with the tokens and the text that have not been given out yet."""
        start, self._count = self._count, count
        delta = text[len(self._shown) :] if text.startswith(self._shown) else ""
        self._shown += delta
        if self._params.output_kind != RequestOutputKind.DELTA:
            start, delta = 0, text
        tokens, logprobs = self.tokens[start:count], self._logprobs[start:count]
        if finish is not None and self.streams and not self._shown and not count:
            # vLLM's streams skip an output without text and tokens, and its finish reason with it.
            tokens, logprobs = [self._given.end_of_sequence], [None]
        scored = self._params.num_logprobs is not None
        completion = CompletionOutput(
            index=self._index,
            text=delta,
            token_ids=tokens,
            cumulative_logprob=_cumulative(tokens, logprobs) if scored else None,
            logprobs=logprobs if scored else None,
            finish_reason=_REASONS.get(finish.reason, finish.reason) if finish else None,
            stop_reason=finish.stop_reason if finish else None,
            lora_request=self._given.arguments.get("lora_request"),
        )
        return self._output(completion, finish is not None)

    def _output(self, completion: CompletionOutput, finished: bool) -> RequestOutput:
        first = self._first
        return RequestOutput(
            request_id=self._given.request_id,
            prompt=self._given.prompt_text,
            prompt_token_ids=self._prompt,
            prompt_logprobs=self._prompt_logprobs(),
            outputs=[completion],
            finished=finished,
            metrics=first.metrics if first else None,
            lora_request=first.lora_request if first else None,
            num_cached_tokens=first.num_cached_tokens if first else 0,
        )

    def _prompt_logprobs(self) -> Any:
        if self._params.prompt_logprobs is None:
            return None
        if self._first is None or self._prompt_replaced:
            return [None] * len(self._prompt)
        return self._first.prompt_logprobs

    def _take_back(self, keep: int) -> None:
        """Text that was shown goes: only where the client asked to be told of it."""
        if not self._call.show_at_once:
            raise HostError(f"tokens before position {self._count} were shown already")
        self._remove(self._text.upto(keep)[: len(self._shown)], self._count - keep)
        self._count = keep

    def _remove(self, left: str, tokens: int) -> None:
        gone = self._shown[len(left) :]
        self._call.removed.append(Removed(self._choice, gone, tokens))
        self._shown = left


def _common_prefix(one: str, other: str) -> str:
    pairs = zip(one, other, strict=False)
    return one[: next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))]


def _cumulative(tokens: Sequence[int], logprobs: Sequence[Any]) -> float | None:
    """The sum over these tokens' own logprobs, None if none of them was scored."""
    scored = [entry[token].logprob for token, entry in zip(tokens, logprobs, strict=True) if entry]
    return sum(scored) if scored else None
