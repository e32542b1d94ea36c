"""`quote_mod_sdk.tokenizer`: text to ids."""

from mods.sdk.tokenizer import tokenize

__all__ = ["tokenize"]
