"""`quote_mod_sdk.conversation`: the request as the client sent it."""

from mods.sdk.conversation import get_conversation, get_schemas, tool_call_pairs

__all__ = ["get_conversation", "get_schemas", "tool_call_pairs"]
