"""`"<base>/<mod>+<mod>"`: which model, and which mods, a `model` string names."""

from __future__ import annotations

from collections.abc import Iterable


def split_model(model: str, served: Iterable[str]) -> tuple[str, list[str]] | None:
    """The served name and the mods in order, or None if no served name fits.

    Served names may contain slashes, so the longest one that fits wins.
    """
    for name in sorted(served, key=len, reverse=True):
        if model == name:
            return name, []
        if model.startswith(f"{name}/"):
            return name, model[len(name) + 1 :].split("+")
    return None
