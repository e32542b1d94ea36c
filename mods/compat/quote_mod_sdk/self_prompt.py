"""`quote_mod_sdk.self_prompt`: questions to the model in its own output."""

from mods.sdk.self_prompt import EraseMode, SelfPrompt, SelfPromptError, self_prompt_mod

__all__ = ["EraseMode", "SelfPrompt", "SelfPromptError", "self_prompt_mod"]
