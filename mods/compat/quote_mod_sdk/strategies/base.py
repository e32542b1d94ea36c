"""`quote_mod_sdk.strategies.base`: what a strategy of one's own stands on."""

from typing import Any

from mods.sdk.strategies import RuntimeState, Strategy

__all__ = ["RuntimeState", "Strategy", "decode_token", "require_token_ids", "tokenize_str"]


def require_token_ids(tokenizer: Any) -> set[int]:
    """All token ids of a tokenizer."""
    entries: dict[str, int] = getattr(tokenizer, "get_vocab", dict)()
    return {int(token) for token in entries.values()} or set(range(len(tokenizer)))


def tokenize_str(text: str | None, tokenizer: Any) -> list[int]:
    """A text's ids, none for no text."""
    return [int(i) for i in tokenizer.encode(text, add_special_tokens=False)] if text else []


def decode_token(tokenizer: Any, token_id: int) -> str:
    """One token's text by itself."""
    return str(tokenizer.decode([int(token_id)], skip_special_tokens=True))
