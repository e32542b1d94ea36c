"""What compiling a constraint leaves: plain data that travels to wherever a matcher is needed."""

from __future__ import annotations

import msgspec


class Grammar(msgspec.Struct, frozen=True):
    """A constraint as llguidance reads it.

    digest: of the constraint and the options that it was compiled with. parts: grammar texts,
    usually one. names: where each comes from in the constraint, for messages. groups: numbers of
    parts; a text is allowed if in every group at least one part allows it. Without any, every part
    must. plain: special tokens and broken characters are kept out, which the parts do not do.
    """

    digest: str
    parts: tuple[str, ...]
    names: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...] = ()
    plain: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all grammar texts."""
        return sum(len(part.encode()) for part in self.parts)
