"""Seeded draws that survive a restart, and a prompt that is prefilled in chunks, on the CPU.

vLLM keeps one generator for a seeded request. A session's next segment is a new request, whose
generator would start over; it is given the state in which the last one stopped. And vLLM takes
the draw of an unfinished prompt back through a generator's offset, which CPU generators lack
(the worker would die); that draw is undone here instead.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch

from processors.rows import Row

KEPT_SESSIONS = 4096
"""Sessions whose generator state is kept between segments, 5 kB each; the oldest goes first."""


class Seeds:
    """Generator states by session, and the draws to undo after this step."""

    def __init__(self) -> None:
        self._states: OrderedDict[int, torch.Tensor] = OrderedDict()
        self._live: dict[int, tuple[Row, torch.Generator]] = {}
        self._undo: list[tuple[torch.Generator, torch.Tensor]] = []

    def before_draw(
        self,
        generators: Mapping[int, torch.Generator],
        rows: Mapping[int, Row],
        unfinished: Sequence[int],
        forced: Sequence[int],
    ) -> None:
        """Restore, remember and prepare to undo. The draw of `forced` rows is void."""
        skip = set(unfinished)
        for index, generator in generators.items():
            row = rows.get(index)
            if row is not None and index not in skip:
                self._continue(row, generator)
        self._undo = [
            (generators[index], generators[index].get_state())
            for index in {*unfinished, *forced}
            if index in generators
        ]

    def after_draw(self) -> None:
        """Undo the draws of rows whose sample was thrown away."""
        for generator, state in self._undo:
            generator.set_state(state)
        for row, generator in self._live.values():
            self._states[row.args.session] = generator.get_state()
            self._states.move_to_end(row.args.session)
        while len(self._states) > KEPT_SESSIONS:
            self._states.popitem(last=False)
        self._live.clear()
        self._undo = []

    def _continue(self, row: Row, generator: torch.Generator) -> None:
        session = row.args.session
        if not row.output and session in self._states:
            generator.set_state(self._states[session])
        self._live[session] = (row, generator)
