"""Two sides in turn, A B B A a round, so that a slow minute of the machine falls on both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from typing import Any

from bench.load import Load
from bench.measure import Block, Ratio, ratio_of
from bench.mods import SILENT

ORDER = "ABBA"
CHECKED_PROMPTS = 4


@dataclass(frozen=True)
class Comparison:
    """Requests with a mod (or, for the noise floor, without one) against requests without mods.

    rounds: each round's blocks, those without mods first.
    """

    concurrency: int
    mod: str | None
    rounds: list[tuple[Block, Block]]

    @property
    def sides(self) -> tuple[Block, Block]:
        """All rounds together: without mods, with the mod."""
        without, with_mod = zip(*self.rounds, strict=True)
        return reduce(add, without), reduce(add, with_mod)

    def ratio(self, value: Callable[[Block], float]) -> Ratio:
        """With the mod over without mods, by rounds."""
        return ratio_of((value(without), value(with_mod)) for without, with_mod in self.rounds)

    def as_json(self) -> dict[str, Any]:
        with_mod = self.sides[1]
        return {
            "concurrency": self.concurrency,
            "mod": self.mod,
            "tokens_per_second": self._values(speed),
            "core_us_per_token": self._values(cost),
            "drawn_per_token": with_mod.drawn / with_mod.tokens,
            "segments": with_mod.segments,
            "late_segments": with_mod.late,
        }

    def _values(self, value: Callable[[Block], float]) -> dict[str, Any]:
        """Both sides over all rounds, and the ratio with its interval."""
        without, with_mod = map(value, self.sides)
        ratio = {name: round(number, 4) for name, number in asdict(self.ratio(value)).items()}
        return {"without": round(without, 2), "with": round(with_mod, 2), "ratio": ratio}


def speed(block: Block) -> float:
    """Output tokens a second."""
    return block.tokens_per_second


def cost(block: Block) -> float:
    """Core-microseconds per output token."""
    return block.microseconds_per_token


async def one_round(
    load: Load, concurrency: int, mod: str | None, step: Callable[[], None]
) -> tuple[Block, Block]:
    """A B B A. Calls `step` after each block; returns both sides' blocks together."""
    sides: dict[str, list[Block]] = {"A": [], "B": []}
    for side in ORDER:
        sides[side].append(await load.block(concurrency, mod if side == "B" else None))
        step()
    return reduce(add, sides["A"]), reduce(add, sides["B"])


async def check_answers(load: Load, mod: str) -> None:
    """Raise `RuntimeError` unless the mod does what its cost is measured for."""
    for _ in range(CHECKED_PROMPTS):
        prompt = load.fresh()
        plain, modded = await load.ask(prompt, None), await load.ask(prompt, mod)
        texts = plain["choices"][0]["text"], modded["choices"][0]["text"]
        erased = modded["usage"].get("erased_tokens", 0)
        if mod in SILENT and (texts[0] != texts[1] or erased):
            raise RuntimeError(f"mod {mod} changes nothing, and yet the answers differ: {texts}")
        if mod not in SILENT and not erased:
            raise RuntimeError(f"mod {mod} takes tokens back, and yet none were: {modded['usage']}")
