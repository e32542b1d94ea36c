"""The models that are measured: the bundled one, and two of about 200 MB with random weights.

What a step costs does not depend on what the weights say, so the larger models are drawn from a
seed and kept in the data folder, never in the repository. Each is made once, by `make_model`.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from server.demo import MODEL_NAME, MODEL_PATH
from server.settings import Settings

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Recipe:
    """A Llama with random weights in bfloat16, embeddings shared with the head.

    tokenizer: `demo` is the bundled model's, 2,048 entries; `tekken` has 131,072 and comes with
    mistral_common.
    """

    tokenizer: str
    vocabulary: int
    hidden: int
    layers: int
    intermediate: int
    heads: int
    kv_heads: int
    head_size: int = 64
    context: int = 4096
    seed: int = 1

    @property
    def parameters(self) -> int:
        """How many numbers the weights are, norms left out."""
        queries, keys = self.heads * self.head_size, self.kv_heads * self.head_size
        attention = self.hidden * 2 * (queries + keys)
        feed_forward = 3 * self.hidden * self.intermediate
        return self.vocabulary * self.hidden + self.layers * (attention + feed_forward)

    @property
    def digest(self) -> str:
        """Changes with anything that decides the weights."""
        return hashlib.sha256(repr(sorted(asdict(self).items())).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Model:
    """A model by the name that it is served under. recipe: None for the bundled one."""

    name: str
    title: str
    recipe: Recipe | None = None

    @property
    def vocabulary(self) -> int:
        """Token ids below this one can be asked for."""
        return self.recipe.vocabulary if self.recipe else 2048

    def folder(self, home: Path | None = None) -> Path:
        """Where the model lies, made first if it is not there. `home`: the data folder.

        Raises `RuntimeError` with the script's last words if it cannot be made.
        """
        if self.recipe is None:
            return MODEL_PATH
        cache = (home or Settings.load().home).resolve() / "bench"
        folder = cache / f"{self.name.replace('/', '-')}-{self.recipe.digest}"
        if not (folder / "config.json").is_file():
            _make(self, folder)
        return folder


def _make(model: Model, folder: Path) -> None:
    """Run the script beside the place and move the result there: a half-made model is none."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [sys.executable, "-m", "bench.make_model", model.name, str(unfinished)]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise RuntimeError(f"{model.name} could not be made: {made.stderr[-2000:]}")
    unfinished.replace(folder)


DEMO = Model(MODEL_NAME, "the bundled demo model (5 M parameters)")
SMALL = Model(
    "bench/llama-100m",
    "a Llama of 102 M parameters, 204 MB, 2,048 tokens",
    Recipe("demo", 2048, 768, layers=16, intermediate=2048, heads=12, kv_heads=4),
)
WIDE = Model(
    "bench/llama-100m-131k",
    "a Llama of 100 M parameters, 199 MB, 131,072 tokens",
    Recipe("tekken", 131_072, 512, layers=11, intermediate=1408, heads=8, kv_heads=4),
)
MODELS = {model.name: model for model in (DEMO, SMALL, WIDE)}
