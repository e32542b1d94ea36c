"""What a self-prompt asks, and what is left of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from mods.sdk.strategies.contract import StrategyConstructor
from mods.sdk.strategies.lists import ListStrat


class EraseMode(Enum):
    """What goes once the answer is there.

    NONE: nothing; prompt, answer and completion stay. PROMPT: the prompt; the answer stays as it
    was written. ALL: prompt and answer; the output is what it was before.
    """

    NONE = "none"
    PROMPT = "prompt"
    ALL = "all"


class SelfPromptError(ValueError):
    """A self-prompt that cannot be asked, or whose answer was cut off."""


@dataclass(frozen=True)
class Question:
    """What is asked, and how. prompt and completion: text, or token ids."""

    prompt: str | Sequence[int]
    strategy: StrategyConstructor
    completion: str | Sequence[int] = ""
    erase: EraseMode = EraseMode.NONE
    argmax: bool = False

    @property
    def suffix(self) -> str | Sequence[int]:
        """What is written behind the answer: nothing where it would be erased, or is there."""
        own = isinstance(self.strategy, ListStrat) and self.strategy.end_with
        return "" if own or self.erase is not EraseMode.NONE else self.completion

    def __str__(self) -> str:
        shown = repr(self.prompt)
        return f"self-prompt {shown if len(shown) < 60 else shown[:60] + '…'}"
