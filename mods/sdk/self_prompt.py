"""Self-prompts: a mod asks the model something in the model's own output, and uses the answer.

    ask = SelfPrompt(prompt=" Is this a question? ", strategy=["yes", "no"], erase=EraseMode.ALL)

The prompt is forced, the answer is held to a strategy, and what `erase` says goes again, before a
stream has shown any of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

from mods.sdk.actions import Action, ActionBuilder
from mods.sdk.asking import Asking, EraseMode, Question, SelfPromptError
from mods.sdk.events import Added, Event, Finished, ForwardPass, Prefilled
from mods.sdk.mod import ModCallable, create_mod
from mods.sdk.per_request import PerRequest
from mods.sdk.strategies import ChoicesStrat, ListStrat, strategy_constructor
from mods.sdk.strategies.contract import StrategyConstructor

__all__ = ["EraseMode", "SelfPrompt", "SelfPromptError", "self_prompt_mod"]


class SelfPrompt:
    """One question, asked once in each request that it is handed the events of.

    prompt: text, token ids, or a dict with `text` or `tokens`. strategy: whatever
    `strategy_constructor` takes. completion: what is written behind an answer that stays: text, or
    a dict with `suffix` and, to leave it out, `force` False. erase: see `EraseMode`.
    argmax_sampling: take the likeliest answer, whatever the request's temperature. mask_value:
    below 0; the logit of what the strategy does not allow, which cannot be drawn in any case.

        def handler(event, actions, tokenizer):
            action = ask.handle_event(event, actions, tokenizer)
            if ask.is_complete(event.request_id): ...
            return action

    Raises ValueError for arguments that make no sense, `StrategyError` for the strategy's.
    """

    def __init__(
        self,
        *,
        prompt: str | Sequence[int] | Mapping[str, Any] | None = None,
        strategy: Any,
        completion: str | Mapping[str, Any] | None = None,
        erase: EraseMode | str | None = EraseMode.NONE,
        argmax_sampling: bool = False,
        mask_value: float = -1e9,
    ) -> None:
        if not (isinstance(mask_value, (int, float)) and mask_value < 0) or math.isnan(mask_value):
            raise ValueError(f"mask_value is a logit below 0, got {mask_value!r}")
        self._question = Question(
            prompt=_prompt(prompt),
            strategy=strategy_constructor(strategy),
            completion=_completion(completion),
            erase=EraseMode(erase or EraseMode.NONE),
            argmax=bool(argmax_sampling),
        )
        self._askings = PerRequest(lambda _: Asking(self._question))

    # For a mod that hands on events.

    def handle_event(self, event: Event, actions: ActionBuilder, tokenizer: Any) -> Action:
        """All there is to do at any event. What belongs to the request goes at `Finished`."""
        action: Action | None = None
        if isinstance(event, Prefilled):
            self.handle_prefilled(event, tokenizer)
        elif isinstance(event, ForwardPass):
            action = self.handle_forward_pass(event, actions, tokenizer)
        elif isinstance(event, Added):
            action = self.handle_added(event, actions, tokenizer)
        elif isinstance(event, Finished):
            self._askings.drop(event.request_id)
        return actions.noop() if action is None else action

    def handle_prefilled(self, event: Prefilled, tokenizer: Any = None) -> None:
        """Begin with a request. It may be left out; then a lack of room is noticed later."""
        asking = self._askings.get(event.request_id)
        question = asking.question if asking else self._question
        self._askings[event.request_id] = Asking(question, event.max_steps)

    def handle_forward_pass(
        self, event: ForwardPass, actions: ActionBuilder, tokenizer: Any
    ) -> Action:
        """Ask, or go on asking; a noop once it is done."""
        return self._askings[event.request_id].forward_pass(event, actions, tokenizer)

    def handle_added(self, event: Added, actions: ActionBuilder, tokenizer: Any) -> Action | None:
        """Take in what was said. Return what this returns, if it is not None."""
        asking = self._askings.get(event.request_id)
        return None if asking is None else asking.added(event, actions, tokenizer)

    # The answer.

    def is_complete(self, request_id: str) -> bool:
        """Whether the answer is there and what had to go is gone."""
        asking = self._askings.get(request_id)
        return asking is not None and asking.done

    def answer_tokens(self, request_id: str) -> list[int] | None:
        """The answer's ids, without the stop of a `CharsStrat`; None before it is complete."""
        asking = self._askings.get(request_id)
        return list(asking.answer_tokens) if asking and asking.done else None

    def answer(self, request_id: str) -> str | None:
        """The same as text."""
        asking = self._askings.get(request_id)
        return asking.answer if asking and asking.done else None

    def refresh_responses(
        self,
        responses: Sequence[str] | None,
        request_id: str | None = None,
        idx: int | None = None,
    ) -> None:
        """Offer other choices: to one request, which is then asked anew, or to all from now on.

        idx: the element of a list whose choices are meant, None where all elements share them.
        Raises ValueError where the strategy has no such choices.
        """
        asking = None if request_id is None else self._askings.get(request_id)
        question = asking.question if asking else self._question
        strategy = _with_choices(question.strategy, list(responses or ()), idx)
        question = replace(question, strategy=strategy)
        if request_id is None:
            self._question = question
        else:
            self._askings[request_id] = Asking(question, asking.max_steps if asking else None)


def self_prompt_mod(
    *,
    prompt: str | Sequence[int] | Mapping[str, Any] | None = None,
    strategy: Any,
    completion: str | Mapping[str, Any] | None = None,
    erase: EraseMode | str | None = EraseMode.NONE,
    argmax_sampling: bool = False,
    mask_value: float = -1e9,
    name: str | None = None,
) -> ModCallable:
    """A whole mod: it asks before the first token of each answer. Arguments: see `SelfPrompt`.

    likes = self_prompt_mod(prompt=" I like: ", strategy=["tea", "coffee"])
    """
    ask = SelfPrompt(
        prompt=prompt,
        strategy=strategy,
        completion=completion,
        erase=erase,
        argmax_sampling=argmax_sampling,
        mask_value=mask_value,
    )

    def self_prompt(event: Event, actions: ActionBuilder, tokenizer: Any) -> Action:
        return ask.handle_event(event, actions, tokenizer)

    return create_mod(self_prompt, name, reach=0, logits=False)


def _prompt(given: Any) -> str | tuple[int, ...]:
    """Text or ids, out of whichever shape they come in."""
    if isinstance(given, Mapping):
        tokens = given.get("tokens")
        given = given.get("text") if tokens is None else tokens
    if given is None or isinstance(given, str):
        return given or ""
    if isinstance(given, Sequence) and all(isinstance(token, Integral) for token in given):
        return tuple(map(int, given))
    raise ValueError(
        f'prompt is a text, token ids, {{"text": …}} or {{"tokens": […]}}; got {given!r:.100}'
    )


def _completion(given: Any) -> str | tuple[int, ...]:
    if isinstance(given, Mapping):
        given = given.get("suffix") if given.get("force", True) else None
    if given is None or isinstance(given, str):
        return given or ""
    if isinstance(given, Sequence) and all(isinstance(token, Integral) for token in given):
        return tuple(map(int, given))
    raise ValueError(f'completion is a text or {{"suffix": …, "force": …}}; got {given!r:.100}')


def _with_choices(
    strategy: StrategyConstructor, choices: list[str], idx: int | None
) -> StrategyConstructor:
    """The strategy with other choices in the place of its own."""
    if isinstance(strategy, ChoicesStrat) and idx is None:
        return ChoicesStrat(choices)
    if isinstance(strategy, ListStrat):
        elements = strategy.elements
        if idx is None and isinstance(elements, ChoicesStrat):
            return replace(strategy, elements=ChoicesStrat(choices))
        if (
            idx is not None
            and isinstance(elements, tuple)
            and -len(elements) <= idx < len(elements)
        ):
            changed = list(elements)
            if isinstance(changed[idx], ChoicesStrat):
                changed[idx] = ChoicesStrat(choices)
                return replace(strategy, elements=changed)
    raise ValueError(f"refresh_responses(idx={idx!r}): {strategy} has no choices there")
