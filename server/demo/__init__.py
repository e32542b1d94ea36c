"""The demo model: small enough to commit, good enough that a mod visibly changes its answers."""

from pathlib import Path

MODEL_NAME = "concordance/demo"
MODEL_PATH: Path = Path(__file__).resolve().parent / "model"
