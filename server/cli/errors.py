"""A command that cannot be carried out, for a reason that the person at the terminal can act on."""

from __future__ import annotations


class CommandError(Exception):
    """What went wrong and what to do, in one line; `status` is the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
