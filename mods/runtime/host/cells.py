"""How many token ids one step can carry for one host."""

from __future__ import annotations

from mods.runtime.decisions import END_SEGMENT, Decision, Shape

MAX_CELLS = 2**17
"""Token ids in one host's decisions for one step: every id costs the engine some 50 ns, and
everybody waits for it. The first row that has any is taken whatever it has."""


def bound_cells(decisions: list[Decision]) -> None:
    """End the segments of the rows that would be too much. They get their turn in a later step."""
    spent = 0
    for index, decision in enumerate(decisions):
        if not isinstance(decision, Shape):
            continue
        cells = len(decision.bias) + len(decision.ban) + len(decision.allow or ())
        if cells and spent and spent + cells > MAX_CELLS:
            decisions[index] = END_SEGMENT
        else:
            spent += cells
