"""Train the demo model: `python -m server.demo.train`, about 15 minutes on two cores.

The corpus is generated, the seeds are fixed, the loop is plain. Hidden matrices learn by Muon and
the rest by AdamW, both on a cosine schedule; most steps see short rows, some see long ones. The
weights are kept in bfloat16 and examined as they are kept.
"""

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.progress import Progress, TextColumn
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from server.demo import MODEL_PATH, corpus
from server.demo.document import Document
from server.demo.exam import examination, examine
from server.demo.tokenizer import CONTEXT, VOCABULARY, train_tokenizer

TOKENS_A_STEP = 2048
SHORT, MIDDLE, LONG = 256, 1024, 2048
Batch = tuple[torch.Tensor, torch.Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the demo model.")
    parser.add_argument("--steps", type=int, default=2800)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peak", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--resume", action="store_true", help="go on from the model in --out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=MODEL_PATH)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    if options.resume:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(options.out)
        model = LlamaForCausalLM.from_pretrained(options.out, dtype=torch.float32)
    else:
        tokenizer = train_tokenizer(options.seed)
        model = new_model(tokenizer)
    started = time.monotonic()
    train(model, tokenizer, options.steps, options.seed, options.peak)
    print(f"{model.num_parameters():,} parameters in {time.monotonic() - started:.0f} s")
    save(model, tokenizer, options.out)
    report(options.out, tokenizer, options.seed)


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    steps: int,
    seed: int,
    peak: float,
) -> None:
    optimizers = new_optimizers(model, peak)
    columns = (*Progress.get_default_columns(), TextColumn("loss {task.fields[loss]:.3f}"))
    with Progress(*columns) as progress:
        task = progress.add_task("training", total=steps, loss=math.inf)
        for step, batch in enumerate(batches(tokenizer, steps, seed)):
            for optimizer in optimizers:
                schedule(optimizer, step / steps)
            loss = learn(model, optimizers, batch)
            progress.update(task, advance=1, loss=loss)


def learn(model: LlamaForCausalLM, optimizers: list[torch.optim.Optimizer], batch: Batch) -> float:
    loss = loss_of(model, batch)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return float(loss)


def new_optimizers(model: LlamaForCausalLM, peak: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings and norms."""
    inner = [p for n, p in model.named_parameters() if p.ndim == 2 and "layers" in n]
    outer = [p for n, p in model.named_parameters() if p.ndim != 2 or "layers" not in n]
    return [
        torch.optim.Muon(
            inner, lr=peak, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(outer, lr=peak, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def schedule(optimizer: torch.optim.Optimizer, done: float) -> None:
    """Warm up over the first 2 %, then fall along a cosine to 1 %."""
    for group in optimizer.param_groups:
        peak = group.setdefault("peak", group["lr"])
        group["lr"] = peak * min(done / 0.02 + 0.01, 0.505 + 0.495 * math.cos(math.pi * done))


def loss_of(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Cross entropy over the learned tokens."""
    tokens, targets = batch
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=tokens, use_cache=False).logits
    return functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100
    )


def batches(tokenizer: PreTrainedTokenizerFast, steps: int, seed: int) -> Iterator[Batch]:
    """Mostly short rows; every tenth step rows of 1,024, every thirtieth one of 2,048."""
    short = encoded(tokenizer, corpus.documents(seed))
    long = encoded(tokenizer, corpus.long_documents(seed))
    for step in range(steps):
        if step % 30 == 29:
            yield packed(long, LONG)
        elif step % 10 == 9:
            yield packed(long, MIDDLE)
        else:
            yield packed(short, SHORT)


def encoded(
    tokenizer: PreTrainedTokenizerFast, documents: Iterator[Document]
) -> Iterator[tuple[list[int], list[int]]]:
    """Tokens and targets of each document; a target is -100 where nothing is learned."""
    for document in documents:
        tokens: list[int] = []
        targets: list[int] = []
        ids = tokenizer([piece.text for piece in document], add_special_tokens=False)["input_ids"]
        for piece, piece_ids in zip(document, ids, strict=True):
            tokens += piece_ids
            targets += piece_ids if piece.learned else [-100] * len(piece_ids)
        yield tokens, targets


def packed(source: Iterator[tuple[list[int], list[int]]], length: int) -> Batch:
    """Rows that begin with a document and are filled to their length with further ones."""
    token_rows: list[list[int]] = []
    target_rows: list[list[int]] = []
    for _ in range(TOKENS_A_STEP // length):
        tokens: list[int] = []
        targets: list[int] = []
        while len(tokens) <= length:
            more_tokens, more_targets = next(source)
            tokens += more_tokens
            targets += more_targets
        token_rows.append(tokens[:length])
        target_rows.append(targets[1 : length + 1])
    return torch.tensor(token_rows), torch.tensor(target_rows)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    generation = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    generation.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)


def report(folder: Path, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    result = examine(model, tokenizer, examination(seed + 1, 400))
    print("\n".join(result.lines()))
    for question, answer in result.wrong[:20]:
        print(f"wrong: {question!r} -> {answer!r}")


if __name__ == "__main__":
    main()
