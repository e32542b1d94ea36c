"""The demo model's tokenizer: byte-level BPE, small, with every number up to 100 in one piece.

Nothing is added to a text that is encoded: the chat template writes `<|bos|>` itself, and words
that a mod forces must not bring one along.
"""

from itertools import islice
from pathlib import Path
from typing import Final

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from server.demo import corpus, document

VOCABULARY: Final = 2048
CONTEXT: Final = 4096
SPLIT: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_tokenizer(seed: int, sample: int = 20_000) -> PreTrainedTokenizerFast:
    """Learn the merges from the first documents of a seed."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(document.VISIBLE_TOKENS),
        special_tokens=list(document.SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample_texts(seed, sample), trainer)
    tokenizer.add_tokens(list(document.VISIBLE_TOKENS))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=document.BEGIN,
        eos_token=document.END,
        pad_token=document.PAD,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        chat_template=(Path(__file__).parent / "model" / "chat_template.jinja").read_text(),
    )


def sample_texts(seed: int, count: int) -> list[str]:
    """Pieces of documents, and the numbers from 0 to 100 often enough to become tokens."""
    pieces = (piece for written in corpus.documents(seed) for piece in written)
    visible = (without_marks(piece.text) for piece in islice(pieces, 4 * count))
    numbers = [" ".join(str(number) for number in range(101))] * 50
    return [*visible, *numbers]


def without_marks(text: str) -> str:
    for mark in (*document.SPECIAL_TOKENS, *document.VISIBLE_TOKENS):
        text = text.replace(mark, "\n")
    return text
