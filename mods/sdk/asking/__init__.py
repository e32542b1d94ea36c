"""Asking the model something in its own output: what self-prompts and flows share."""

from mods.sdk.asking.asking import Asking
from mods.sdk.asking.question import EraseMode, Question, SelfPromptError

__all__ = ["Asking", "EraseMode", "Question", "SelfPromptError"]
