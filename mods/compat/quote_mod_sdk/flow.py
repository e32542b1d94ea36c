"""`quote_mod_sdk.flow`: questions in order, and where each answer leads."""

from mods.sdk.flow import *  # noqa: F403
from mods.sdk.flow import __all__ as __all__
