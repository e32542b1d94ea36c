"""The parts of a document: its pieces, and the marks between its turns."""

from dataclasses import dataclass
from typing import Final

BEGIN: Final = "<|bos|>"
END: Final = "<|im_end|>"
PAD: Final = "<|pad|>"
SYSTEM, USER, ASSISTANT, TOOL = "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"
SPECIAL_TOKENS: Final = (BEGIN, END, PAD, SYSTEM, USER, ASSISTANT, TOOL)
VISIBLE_TOKENS: Final = ("<think>", "</think>", "<tool_call>", "</tool_call>")


@dataclass(frozen=True)
class Piece:
    """Text that is tokenised by itself, and whether the model learns to write it."""

    text: str
    learned: bool


Document = tuple[Piece, ...]
