"""The examination of the demo model: held-out questions, answered greedily, marked exactly."""

from collections import Counter
from dataclasses import dataclass
from random import Random

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from server.demo import corpus
from server.demo.exchange import Exchange

EXAMINED = ("capital", "colour", "addition", "counting", "json", "refusal", "greeting", "listing")


@dataclass(frozen=True)
class Result:
    """How many questions of a kind were asked and answered right, and the wrong answers."""

    asked: Counter[str]
    right: Counter[str]
    wrong: list[tuple[str, str]]

    def lines(self) -> list[str]:
        return [f"{kind:10} {self.right[kind]}/{self.asked[kind]}" for kind in sorted(self.asked)]


def examination(seed: int, size: int) -> list[Exchange]:
    """Distinct held-out questions of the examined kinds."""
    random = Random(seed)
    chosen: dict[str, Exchange] = {}
    while len(chosen) < size:
        exchange = corpus.unseen_exchange(random)
        if exchange.kind in EXAMINED:
            chosen[exchange.question] = exchange
    return list(chosen.values())


def examine(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, questions: list[Exchange]
) -> Result:
    result = Result(Counter(), Counter(), [])
    prompts = [corpus.prompt(exchange.question) for exchange in questions]
    answers = answer_all(model, tokenizer, prompts)
    for exchange, answer in zip(questions, answers, strict=True):
        result.asked[exchange.kind] += 1
        if answer == exchange.answer:
            result.right[exchange.kind] += 1
        else:
            result.wrong.append((exchange.question, answer))
    return result


def answer_all(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: list[str]
) -> list[str]:
    """Greedy answers, in batches padded on the left."""
    tokenizer.padding_side = "left"
    answers: list[str] = []
    for start in range(0, len(prompts), 64):
        batch = tokenizer(prompts[start : start + 64], return_tensors="pt", padding=True)
        with torch.inference_mode():
            output = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                max_new_tokens=320,
                do_sample=False,
            )
        continuations = output[:, batch["input_ids"].shape[1] :]
        answers += tokenizer.batch_decode(continuations, skip_special_tokens=True)
    return answers
