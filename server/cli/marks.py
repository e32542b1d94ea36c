"""Everything that was ever written in one output, in the order of writing: what stayed, and what
was drawn or forced and taken back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Plain = Mapping[str, Any]


@dataclass(frozen=True)
class Mark:
    """One token. position: where it stood. mod: who forced it, None for the model."""

    position: int
    text: str
    mod: str | None = None
    erased: bool = False


@dataclass(frozen=True)
class Stretch:
    """Marks in a row of one kind. start: position of the first. marks: which of all they are."""

    start: int
    marks: range
    mod: str | None
    erased: bool
    text: str


class Marks:
    """Follows events. tokens: the final output, each with `id`, `text` and `mod`."""

    def __init__(self, tokens: Sequence[Plain], events: Sequence[Plain]) -> None:
        self._tokens = tokens
        self.all: list[Mark] = []
        self._alive: list[tuple[int, int | None]] = []
        """Of the output so far: each token's place in `all`, and its id if it is known."""
        self._pending: Plain | None = None
        self._anchors: dict[tuple[Any, ...], int] = {}
        for event in events:
            self._take(event)
        self._settle()

    def place_of(self, action: Plain) -> int:
        """Beside which mark an action stands: the first one that it put in, where it did."""
        asked = tuple(action.get(key) for key in ("event", "step", "position"))
        place = self._anchors.get(asked, len(self.all))
        replaces = action.get("event") == "Sampled" and action.get("tokens")
        return place + 1 if replaces else place

    def stretches(self) -> Iterator[Stretch]:
        """The marks, cut where their source changes, or whether they stayed."""
        start = 0
        for at in range(1, len(self.all) + 1):
            first = self.all[start]
            if at == len(self.all) or _kind(self.all[at]) != _kind(first):
                text = "".join(mark.text for mark in self.all[start:at])
                yield Stretch(first.position, range(start, at), first.mod, first.erased, text)
                start = at

    def _take(self, event: Plain) -> None:
        new = list(event.get("tokens") or ()) if event["event"] == "Added" else []
        pending, self._pending = self._pending, None
        if pending is not None and [pending] != new:
            self.all.append(Mark(len(self._alive), str(pending["text"]), None, True))
        if event["event"] != "Finished":
            self._reach(int(event["position"]) - len(new))
        for token in new:
            mod = event.get("mod") if event.get("forced") else None
            self._write(token, mod)
        if event["event"] == "Sampled":
            self._pending = event["token"]
        key = (event["event"], event["step"], event["position"])
        self._anchors.setdefault(key, len(self.all))

    def _write(self, token: Plain, mod: str | None) -> None:
        self._alive.append((len(self.all), token["id"]))
        self.all.append(Mark(len(self._alive) - 1, str(token["text"]), mod))

    def _reach(self, length: int) -> None:
        """The output had this many tokens: strike what is over, write what nobody told of."""
        for place, _ in self._alive[length:]:
            self.all[place] = replace(self.all[place], erased=True)
        del self._alive[length:]
        for token in self._tokens[len(self._alive) : length]:
            self._write(token, token["mod"])

    def _settle(self) -> None:
        """What is alive is the final output; its texts are whole there."""
        told = [known for _, known in self._alive]
        if told != [token["id"] for token in self._tokens][: len(told)]:
            self._reach(0)
        self._reach(len(self._tokens))
        for (place, _), token in zip(self._alive, self._tokens, strict=True):
            self.all[place] = replace(self.all[place], text=str(token["text"]), mod=token["mod"])


def _kind(mark: Mark) -> tuple[str | None, bool]:
    return mark.mod, mark.erased
