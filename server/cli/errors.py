"""A command that cannot be carried out, for a reason that the person at the terminal can act on."""

from __future__ import annotations


class CommandError(Exception):
    """What went wrong and what to do, in one line; `status` is the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def located(message: str, file: str | None, line: int | None) -> str:
    """A message behind the file and line of a mod that it is about, unless it names the line."""
    if line is None or f"line {line}" in message:
        return message
    return f"{file or 'the mod'}, line {line}: {message}"
