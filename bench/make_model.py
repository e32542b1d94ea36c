"""Make a model with random weights: `python -m bench.make_model bench/llama-100m FOLDER`.

The weights are drawn from the recipe's seed and are the same bytes each time. The tokenizer and
the chat template are real ones, so that requests are read and answers written as with any model.
"""

from __future__ import annotations

import argparse
import shutil
from importlib.resources import files
from pathlib import Path

import torch
from transformers import AddedToken, GenerationConfig, LlamaConfig, LlamaForCausalLM
from transformers import PreTrainedTokenizerFast as FastTokenizer

from bench.models import MODELS, Recipe
from server.demo import MODEL_PATH

TEKKEN = "data/tekken_240911.json"
"""Inside mistral_common: 131,072 entries, the first 1,000 of them special."""
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("name", choices=[name for name, model in MODELS.items() if model.recipe])
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    recipe = MODELS[given.name].recipe
    assert recipe is not None
    given.folder.mkdir(parents=True)
    tokenizer = TOKENIZERS[recipe.tokenizer](given.folder)
    if len(tokenizer) != recipe.vocabulary:
        raise SystemExit(f"the tokenizer has {len(tokenizer)} entries, not {recipe.vocabulary}")
    model = random_model(recipe, tokenizer)
    model.save_pretrained(given.folder)
    print(f"{model.num_parameters():,} parameters in {given.folder}")


def random_model(recipe: Recipe, tokenizer: FastTokenizer) -> LlamaForCausalLM:
    """Weights as a training would begin with, in bfloat16."""
    special = {
        name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    }
    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=recipe.vocabulary,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        head_dim=recipe.head_size,
        max_position_embeddings=recipe.context,
        tie_word_embeddings=True,
        dtype="bfloat16",
        **special,
    )
    model = LlamaForCausalLM(config).bfloat16()
    model.generation_config = GenerationConfig(**special)
    return model


def demo_tokenizer(folder: Path) -> FastTokenizer:
    """The bundled model's, as it is."""
    for name in TOKENIZER_FILES:
        shutil.copyfile(MODEL_PATH / name, folder / name)
    return FastTokenizer.from_pretrained(folder)


def tekken_tokenizer(folder: Path) -> FastTokenizer:
    """Mistral's byte-level one in the form of `tokenizers`, with the demo model's template.

    The template's other marks are not in it and are spelt; nothing here depends on them.
    """
    from transformers.integrations.mistral.tokenizer import MistralConverter

    source = files("mistral_common") / TEKKEN
    template = (MODEL_PATH / "chat_template.jinja").read_text()
    tokenizer = FastTokenizer(
        tokenizer_object=MistralConverter(str(source)).converted(),
        bos_token=AddedToken("<s>", special=True),
        eos_token=AddedToken("</s>", special=True),
        pad_token=AddedToken("<pad>", special=True),
        chat_template=template.replace("<|bos|>", "<s>").replace("<|im_end|>", "</s>"),
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


TOKENIZERS = {"demo": demo_tokenizer, "tekken": tekken_tokenizer}


if __name__ == "__main__":
    main()
