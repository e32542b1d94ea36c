"""Which tokens may be drawn, as plain sets."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mods.runtime.decisions import SessionSpec


def both(one: Collection[int] | None, other: Collection[int] | None) -> frozenset[int] | None:
    """What two lists of allowed tokens have in common; None stands for all tokens."""
    if one is None or other is None:
        return None if one is other else frozenset(other if one is None else one)  # type: ignore[arg-type]
    return frozenset(one) & frozenset(other)


def too_early(spec: SessionSpec, length: int) -> Sequence[int]:
    """The ending tokens that may not be drawn as output token number `length`."""
    if length >= spec.min_tokens:
        return ()
    return [*(() if spec.ignore_eos else spec.eos), *spec.stop_token_ids]
