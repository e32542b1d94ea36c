"""How far shipping has come: written beside the spool by who ships, read by who wants to know."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from server.traces.segment import segments

NAME = "ingest.json"


class ShippingStatus(Struct):
    """Counts are of traces, since the process `pid` started; bytes before `position` of segment
    `segment` are shipped, and all older segments. away: it is waiting for where traces go.
    """

    pid: int = 0
    segment: int = 0
    position: int = 0
    shipped: int = 0
    refused: int = 0
    damaged: int = 0
    away: bool = False

    def save(self, folder: Path) -> None:
        """Put it in place at once, so that no reader sees half of it. Raises `OSError`."""
        fresh = folder / f"{NAME}.new"
        fresh.write_bytes(msgspec.json.encode(self))
        os.replace(fresh, folder / NAME)

    @classmethod
    def load(cls, folder: Path) -> ShippingStatus:
        """What was saved last; nothing shipped, if nothing was."""
        try:
            return msgspec.json.decode((folder / NAME).read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError):
            return cls()


def lag(folder: Path) -> int:
    """Bytes of the spool that are not shipped yet."""
    status, waiting = ShippingStatus.load(folder), 0
    for number, path in segments(folder):
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            continue
        if number > status.segment:
            waiting += size
        elif number == status.segment:
            waiting += max(0, size - status.position)
    return waiting
