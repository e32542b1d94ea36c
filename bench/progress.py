"""What a person sees while it measures: a bar for the row under way, a line for each one done."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench.entry import Entry
from bench.table import between, number


class Watch:
    """Told how far a row is. This one says nothing."""

    def expect(self, blocks: int) -> None:
        """So many blocks are to come."""

    def step(self) -> None:
        """One of them is done."""


class Bar(Watch):
    """Bars in a terminal, lines in a file. Within its `with`."""

    def __init__(self, rows: int, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[done]}"),
            TimeElapsedColumn(),
            console=console,
            auto_refresh=False,  # it shares the cores with what is measured
        )
        self._rows, self._finished = rows, 0
        self._every = self._bar.add_task("rows", total=rows, done=f"0/{rows}")
        self._task: TaskID | None = None
        self._blocks = self._done = 0

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def begin(self, name: str) -> None:
        """A row is next; its servers may have to start first."""
        self._task = self._bar.add_task(name, total=None, done="starting")
        self._bar.refresh()

    def expect(self, blocks: int) -> None:
        assert self._task is not None
        self._blocks, self._done = blocks, 0
        self._bar.update(self._task, total=blocks, completed=0, done=f"0/{blocks}")
        self._bar.refresh()

    def step(self) -> None:
        assert self._task is not None
        self._done += 1
        told = f"{self._done}/{self._blocks}"
        self._bar.update(self._task, completed=self._done, done=told)
        self._bar.refresh()

    def end(self, entry: Entry) -> None:
        """The row is done."""
        assert self._task is not None
        self._bar.remove_task(self._task)
        self._finished += 1
        told = f"{self._finished}/{self._rows}"
        self._bar.update(self._every, completed=self._finished, done=told)
        self._bar.console.print(line(entry), highlight=False, markup=False)
        self._bar.refresh()


def line(entry: Entry) -> str:
    """A row in a line: its value, its interval, whether it meets its target, its time."""
    if entry.estimate is None:
        return f"{entry.name}: {entry.error}"
    value = f"{number(entry.estimate.value)} {entry.unit}".strip()
    verdict = {"yes": ", met", "no": ", not met"}.get(entry.verdict, "")
    return f"{entry.name}: {value} ({between(entry.estimate)}){verdict}, {entry.seconds:.0f} s"
