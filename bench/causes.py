"""Why a number is what it is, written by hand after a look at a profile. By row."""

from __future__ import annotations

CAUSES: dict[str, str] = {}
