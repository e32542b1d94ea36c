"""The reference loop, and Hugging Face's own `generate`, over one model: `bench.child` runs it.

    python -m bench.reference_child MODEL_FOLDER

A question has `kind` (`loop` or `generate`), `prompts` (lists of token ids), `tokens` (of each
answer) and `source` (of the mod that the loop runs, or nothing). The answer has `wall` (seconds)
and `ids` (of each prompt's answer).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from vllm.sampling_params import SamplingParams

from bench.child import answer_all
from mods.runtime.load import load_chain
from mods.runtime.package import Package
from server.engine.reference.loop import ReferenceLoop


class Answers:
    """Both ways over the same weights, in bfloat16 as the servers have them."""

    def __init__(self, folder: Path) -> None:
        self._loop = ReferenceLoop.load(folder, dtype=torch.bfloat16)

    def __call__(self, question: dict[str, Any]) -> dict[str, Any]:
        work = {"loop": self._run_loop, "generate": self._generate}[question["kind"]]
        began = time.perf_counter()
        ids = work(question)
        return {"wall": time.perf_counter() - began, "ids": ids}

    def _run_loop(self, question: dict[str, Any]) -> list[list[int]]:
        """One prompt after the other: the loop knows no batches."""
        source = question.get("source")
        chain = load_chain([Package.from_source(source, path="mod.py")], {}) if source else []
        params = SamplingParams(temperature=0, max_tokens=question["tokens"], ignore_eos=True)
        return [self._loop.generate(prompt, params, chain).tokens for prompt in question["prompts"]]

    def _generate(self, question: dict[str, Any]) -> list[list[int]]:
        """All prompts, of one length, as one batch."""
        prompts = torch.tensor(question["prompts"])
        with torch.inference_mode():
            whole = self._loop.backend.model.generate(  # type: ignore[attr-defined]
                prompts,
                attention_mask=torch.ones_like(prompts),
                do_sample=False,
                max_new_tokens=question["tokens"],
                min_new_tokens=question["tokens"],
            )
        ids: list[list[int]] = whole[:, prompts.shape[1] :].tolist()
        return ids


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    answer_all(Answers(parser.parse_args().folder))


if __name__ == "__main__":
    main()
