"""What was done with keys and mods, by whom: a file to which a line of JSON is added each time.

One write each, to a file opened for appending: lines of several processes do not mix. Nothing
secret is in it: keys go by their ids, bodies by their digests.
"""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

log = logging.getLogger("concordance.keys")


class Audit:
    """`logs/audit.jsonl` in a data folder, readable for the server's own user."""

    def __init__(self, home: Path) -> None:
        self.path = home / "logs" / "audit.jsonl"

    def write(self, event: str, **fields: Any) -> None:
        """Add a line. What cannot be written is logged, and nobody's request fails of it."""
        line = {"time": datetime.now(UTC), "event": event, **fields}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            file = os.open(self.path, flags, 0o600)
            try:
                os.write(file, msgspec.json.encode(line) + b"\n")
            finally:
                os.close(file)
        except OSError as error:
            log.error("the audit log %s cannot be written: %s", self.path, error)
