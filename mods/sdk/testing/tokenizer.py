"""A tokenizer of bytes: 256 tokens that are text, and a few special ones that are not.

Small enough to think about, and able to split a character over several tokens.
"""

from __future__ import annotations

EOS = 256
"""End of sequence."""
SPECIAL = 257
"""A special token that ends nothing."""
SENTINEL = 258
"""The token that ends a segment; it is never drawn."""
VOCABULARY = 259
"""The width of a row of logits."""


class ByteTokenizer:
    """Text as UTF-8 bytes, one token each."""

    eos_token_id = EOS

    def __len__(self) -> int:
        return VOCABULARY

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Token ids of the text's bytes. There are no special tokens to add."""
        return list(text.encode())

    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str:
        """The text of these bytes; what is not whole becomes U+FFFD."""
        text = bytearray()
        for token in ids:
            if token < EOS:
                text.append(token)
            elif not skip_special_tokens:
                text += f"<{token}>".encode()
        return text.decode(errors="replace")
