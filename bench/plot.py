"""The rows as a picture: each value with its interval, its noise and its target, by panels.

Ratios are all in it; other numbers only where there is a target that gives them a scale. Drawn
with Pillow, which comes with vLLM; twice as large and then shrunk, which smooths the lines.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.entry import Entry
from bench.estimate import Estimate

SCALE = 2
WIDTH, ROW_HEIGHT, PANEL_HEAD, AXIS = 900, 26, 34, 26
LEFT, RIGHT = 190, 860
LEGEND = "dot: median   line: 95% interval   grey: noise floor around it   mark: target"
INK, GREY, LIGHT, GOOD, BAD = "#202020", "#707070", "#e2e2e2", "#1a7f4b", "#c05a00"


@dataclass(frozen=True)
class Panel:
    """Rows that share an axis from `low` to `high`."""

    title: str
    rows: list[Entry]
    low: float
    high: float

    def place(self, value: float) -> float:
        """Where a value lies, in picture points from the left."""
        inside = min(max(value, self.low), self.high)
        return LEFT + (RIGHT - LEFT) * (inside - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round numbers on the axis, some five of them."""
        raw = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= raw)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [round(step * number, 6) for number in range(first, last + 1)]

    @property
    def height(self) -> int:
        return PANEL_HEAD + ROW_HEIGHT * len(self.rows) + AXIS


def panels(entries: Iterable[Entry]) -> list[Panel]:
    """Ratios near 1, ratios far from it, and other units, each on an axis of its own."""
    by_title: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.estimate is not None and (entry.target or not entry.unit):
            by_title.setdefault(_title(entry, entry.estimate), []).append(entry)
    return [Panel(title, rows, *_range(rows)) for title, rows in by_title.items()]


def _title(entry: Entry, estimate: Estimate) -> str:
    if entry.unit:
        return entry.unit
    near = 0.8 < estimate.value < 1.25
    return "ratio, near 1" if near else "ratio, times as fast"


def _range(rows: Sequence[Entry]) -> tuple[float, float]:
    """An axis that holds every interval and target, with some room."""
    values = [value for entry in rows for value in _values(entry)]
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.1
    from_zero = rows[0].unit or low < high / 2
    return (0.0 if from_zero else low - room), high + room


def _values(entry: Entry) -> list[float]:
    assert entry.estimate is not None
    bound = [entry.target.bound] if entry.target else []
    return [entry.estimate.low, entry.estimate.high, *bound]


def draw(entries: Sequence[Entry], path: Path) -> None:
    """Write a PNG."""
    from PIL import Image, ImageDraw

    found = panels(entries)
    height = sum(panel.height for panel in found) + 30
    image = Image.new("RGB", (WIDTH * SCALE, height * SCALE), "white")
    canvas = Canvas(ImageDraw.Draw(image))
    top = 10
    for panel in found:
        _draw_panel(canvas, panel, top)
        top += panel.height
    canvas.text(LEFT, top + 8, LEGEND, GREY, "lm")
    image.resize((WIDTH, height), Image.Resampling.LANCZOS).save(path, optimize=True)


class Canvas:
    """Pillow's drawing in picture points."""

    def __init__(self, target: Any) -> None:
        from PIL import ImageFont

        self._target = target
        self._fonts = {size: ImageFont.load_default(size * SCALE) for size in (11, 13)}

    def text(self, x: float, y: float, text: str, fill: str, anchor: str, size: int = 11) -> None:
        place = (x * SCALE, y * SCALE)
        self._target.text(place, text, fill=fill, anchor=anchor, font=self._fonts[size])

    def line(self, x0: float, y0: float, x1: float, y1: float, fill: str, width: int) -> None:
        points = [value * SCALE for value in (x0, y0, x1, y1)]
        self._target.line(points, fill=fill, width=width * SCALE)

    def dot(self, x: float, y: float, radius: float, fill: str) -> None:
        corners = [(x - radius), (y - radius), (x + radius), (y + radius)]
        self._target.ellipse([value * SCALE for value in corners], fill=fill)


def _draw_panel(canvas: Canvas, panel: Panel, top: int) -> None:
    bottom = top + panel.height - AXIS
    canvas.text(LEFT, top + 14, panel.title, INK, "lm", 13)
    for value in panel.ticks():
        x = panel.place(value)
        canvas.line(x, top + PANEL_HEAD - 6, x, bottom, LIGHT, 1)
        canvas.text(x, bottom + 9, f"{value:g}", GREY, "mm")
    for number, entry in enumerate(panel.rows):
        _draw_row(canvas, panel, entry, top + PANEL_HEAD + ROW_HEIGHT * number + ROW_HEIGHT // 2)


def _draw_row(canvas: Canvas, panel: Panel, entry: Entry, y: int) -> None:
    """The noise as a grey band, the interval as a line, the target as a mark across it."""
    estimate = entry.estimate
    assert estimate is not None
    canvas.text(LEFT - 10, y, entry.name, INK, "rm")
    if entry.floor is not None and not entry.unit:
        noise = [
            panel.place(estimate.value * bound) for bound in (entry.floor.low, entry.floor.high)
        ]
        canvas.line(noise[0], y, noise[1], y, LIGHT, 12)
    if entry.target is not None:
        mark = panel.place(entry.target.bound)
        canvas.line(mark, y - 9, mark, y + 9, INK, 2)
    colour = {"yes": GOOD, "no": BAD}.get(entry.verdict, GREY)
    canvas.line(panel.place(estimate.low), y, panel.place(estimate.high), y, colour, 2)
    canvas.dot(panel.place(estimate.value), y, 4, colour)
