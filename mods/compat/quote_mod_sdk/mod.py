"""`quote_mod_sdk.mod`: the decorator, and what older mods import beside it."""

from mods.sdk.actions import ActionBuilder, for_event, validate_action
from mods.sdk.errors import InvalidActionError
from mods.sdk.mod import ModCallable, create_mod, mod

__all__ = [
    "ActionBuilder",
    "InvalidActionError",
    "ModCallable",
    "create_mod",
    "for_event",
    "mod",
    "validate_action",
]
