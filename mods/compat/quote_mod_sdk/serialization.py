"""`quote_mod_sdk.serialization`: from a mod in memory to what the server takes."""

from mods.sdk.serialization import serialize_mod

__all__ = ["serialize_mod"]
