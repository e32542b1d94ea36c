"""One self-prompt in one request: force the prompt, hold the answer to a strategy, clean up.

A self-prompt is a question that a mod puts to the model in the model's own output. This is its
progress, driven by the events of one request. What it wants done, it asks for until an event shows
that it was done: another mod may have won, or the mod may not have returned the action.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from typing import Any

from mods.sdk.actions import Action, ActionBuilder, Backtrack, ForceTokens
from mods.sdk.asking.question import EraseMode, Question, SelfPromptError
from mods.sdk.asking.texts import ends_of, ids_of, text_after
from mods.sdk.asking.token_form import TokenForm
from mods.sdk.events import Added, ForwardPass
from mods.sdk.strategies.contract import Compiled


class Phase(Enum):
    """How far an asking has come."""

    BEGIN = auto()
    PROMPT = auto()
    ANSWER = auto()
    SETTLE = auto()
    DONE = auto()


class Asking:
    """A question on its way through one request.

    answer_tokens, answer: what the model said, without what only ended it, once `done`.
    """

    def __init__(self, question: Question, max_steps: int | None = None) -> None:
        self.question = question
        self.phase = Phase.BEGIN
        self.answer_tokens: list[int] = []
        self.answer = ""
        self.max_steps = max_steps
        self._start = 0
        self._prompt: list[int] = []
        self._entered = 0
        self._said: list[int] = []
        self._settled_from = 0
        self._form: TokenForm | None = None

    @property
    def done(self) -> bool:
        """Whether the answer is there and what had to go is gone."""
        return self.phase is Phase.DONE

    @property
    def erases(self) -> bool:
        return self.question.erase is not EraseMode.NONE

    @property
    def _holds(self) -> bool:
        """Whether something of it will go: more than an end of sequence, or just that."""
        return self.erases or not getattr(self.question.strategy, "ends_itself", False)

    # The events of a round.

    def forward_pass(self, event: ForwardPass, actions: ActionBuilder, tokenizer: Any) -> Action:
        """What to do before the next token is drawn."""
        if self.phase is Phase.SETTLE and event.position < self._settled_from:
            self._finish(actions)
        if self.phase is Phase.BEGIN:
            self._begin(actions, tokenizer)
        if self.phase in (Phase.PROMPT, Phase.ANSWER) and not self._entered and not self._said:
            self._start = event.position
            self._require_room()
        if self.phase is Phase.PROMPT:
            return actions.force_tokens(self._prompt[self._entered :])
        if self.phase is Phase.ANSWER:
            return self._hold_to_strategy(actions, tokenizer)
        if self.phase is Phase.SETTLE:
            return self._settle(event.position, actions, tokenizer)
        return actions.noop()

    def added(self, event: Added, actions: ActionBuilder, tokenizer: Any) -> Action | None:
        """What to do now that these tokens are in; None for nothing."""
        before = event.position - len(event.added_tokens)
        if self.phase in (Phase.PROMPT, Phase.ANSWER) and before < self._start + self._entered:
            self.phase = Phase.BEGIN
            return None
        if self.phase is Phase.PROMPT:
            return self._prompt_added(event, actions)
        if self.phase is Phase.ANSWER:
            return self._answer_added(event, actions, tokenizer)
        if self.phase is Phase.SETTLE and event.forced:
            ours = self._left_behind(tokenizer)
            if event.added_tokens == ours[: len(event.added_tokens)]:
                self._finish(actions)
        return None

    # Asking.

    def _begin(self, actions: ActionBuilder, tokenizer: Any) -> None:
        self._entered, self._said, self._form = 0, [], None
        self._prompt = ids_of(self.question.prompt, tokenizer)
        if self._holds:
            actions.hold()
        self.phase = Phase.PROMPT if self._prompt else Phase.ANSWER

    def _require_room(self) -> None:
        """Raise `SelfPromptError` where the prompt leaves no token for the answer."""
        needed = self._start + len(self._prompt) + 1
        if self.erases and self.max_steps is not None and needed > self.max_steps:
            raise SelfPromptError(
                f"{self.question} needs at least {needed} tokens of output, and the request allows"
                f" {self.max_steps}; raise max_tokens, or ask more briefly"
            )

    def _prompt_added(self, event: Added, actions: ActionBuilder) -> Action | None:
        """The prompt is in, or as much of it as an end let in: an erased one goes on past it."""
        rest = self._prompt[self._entered :]
        if not event.forced or event.added_tokens != rest[: len(event.added_tokens)]:
            return None
        self._entered += len(event.added_tokens)
        if self._entered == len(self._prompt):
            self.phase = Phase.ANSWER
            return None
        return actions.force_tokens(self._prompt[self._entered :]) if self.erases else None

    def _hold_to_strategy(self, actions: ActionBuilder, tokenizer: Any) -> Action:
        strategy = self.question.strategy
        temperature = 0.0 if self.question.argmax else None
        if isinstance(strategy, Compiled):
            return actions.constrain(strategy, until_complete=True, token_temp=temperature)
        self._form = self._form or TokenForm(strategy, tokenizer)
        return replace(self._form.shape(actions), token_temp=temperature)

    # Answering.

    def _answer_added(self, event: Added, actions: ActionBuilder, tokenizer: Any) -> Action | None:
        if self._form is not None:
            wanted = self._step(event, tokenizer)
            if wanted is not None:
                return wanted
            if not self._form.complete and self._said[-1] not in ends_of(tokenizer):
                self._perhaps_cut_off(event)
                return None
        elif event.constrained:
            self._said = list(event.added_tokens)
            if not self._is_whole(event, tokenizer):
                self._perhaps_cut_off(event, certain=True)
                return None
        else:
            return None
        return self._answered(event, actions, tokenizer)

    def _step(self, event: Added, tokenizer: Any) -> Action | None:
        """Take tokens in, in the token form. Begins it anew where some of the answer was cut."""
        assert self._form is not None
        kept = event.position - len(event.added_tokens) - self._start - self._entered
        if kept < len(self._said):
            self._said = self._said[:kept]
            self._form = TokenForm(self.question.strategy, tokenizer)
            self._form.step(self._said, [])
        self._said += event.added_tokens
        return self._form.step(event.added_tokens, self._said)

    def _is_whole(self, event: Added, tokenizer: Any) -> bool:
        """Whether the strategy is satisfied: the generation may have ended in the answer."""
        if self._said[-1] in ends_of(tokenizer):
            return True
        matches = getattr(self.question.strategy, "matches", None)
        if matches is None:
            return self.max_steps is None or event.position < self.max_steps
        text = text_after(self._prompt, self._said, tokenizer)
        return bool(matches(text) or matches(" " + text))

    def _perhaps_cut_off(self, event: Added, certain: bool = False) -> None:
        """An answer that stays may be cut like any text; one that is to be erased may not."""
        at_length = self.max_steps is not None and event.position >= self.max_steps
        if self.erases and (certain or at_length):
            cause = "max_tokens" if at_length else "a stop string or max_tokens of the request"
            raise SelfPromptError(
                f"{self.question}: {cause} ended the answer after {len(self._said)} tokens,"
                " and what is to be erased cannot be left half there"
            )

    def _answered(self, event: Added, actions: ActionBuilder, tokenizer: Any) -> Action | None:
        """The answer is whole: keep it, and clean up."""
        said = [token for token in self._said if token not in ends_of(tokenizer)]
        text = text_after(self._prompt, said, tokenizer)
        trim = getattr(self._form or self.question.strategy, "trim_answer", None)
        self.answer = trim(text) if trim else text
        self.answer_tokens = said if self.answer == text else ids_of(self.answer, tokenizer)
        self.phase, self._settled_from = Phase.SETTLE, event.position
        action = self._settle(event.position, actions, tokenizer)
        if isinstance(action, (Backtrack, ForceTokens)):
            return action
        self._finish(actions)
        return None

    # Cleaning up.

    def _settle(self, position: int, actions: ActionBuilder, tokenizer: Any) -> Action:
        """Leave behind what the mode promises; a noop where that is there already."""
        left = self._left_behind(tokenizer)
        if self.question.erase is EraseMode.ALL or (self.erases and self._prompt):
            return actions.backtrack(position - self._start, left)
        ends = sum(token in ends_of(tokenizer) for token in self._said)
        if ends:
            return actions.backtrack(ends, left)
        return actions.force_tokens(left) if left else actions.noop()

    def _left_behind(self, tokenizer: Any) -> list[int]:
        """What is put in the place of what goes: the answer, or the completion."""
        if self.question.erase is EraseMode.PROMPT and self._prompt:
            return [token for token in self._said if token not in ends_of(tokenizer)]
        return ids_of(self.question.suffix, tokenizer)

    def _finish(self, actions: ActionBuilder) -> None:
        self.phase = Phase.DONE
        if self._holds:
            actions.release()
