"""What mods cost, as Prometheus metrics beside vLLM's own, under `concordance_`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import Counter, Gauge

SESSIONS = Counter("concordance_sessions", "Sessions with mods, by how they ended.", ["outcome"])
SEGMENTS = Counter("concordance_segments", "vLLM requests that sessions with mods were made of.")
LATE = Counter("concordance_late_segments", "Segments ended because mods missed the soft deadline.")
TOKENS = Counter("concordance_tokens", "Tokens of sessions with mods, by origin.", ["origin"])
MOD_CALLS = Counter("concordance_mod_calls", "Calls of mods' handlers.")
MOD_SECONDS = Counter("concordance_mod_seconds", "Seconds in mods' own code.")
RUNNING = Gauge("concordance_sessions_running", "Sessions with mods that are under way.")
QUEUED = Gauge("concordance_requests_queued", "Requests that wait for a place in the engine.")
UP = Gauge("concordance_engine_up", "1 while the engine serves, 0 while it is started again.")
RESTARTS = Counter("concordance_engine_restarts", "How often the engine was started again.")
CUT_OFF = Counter("concordance_slow_readers", "Clients cut off because they did not read.")


def count_calls(record: Mapping[str, Any]) -> None:
    """What a closed session's host says of its mods' calls; a stranger's word, so it is bounded."""
    for counter, name, most in ((MOD_CALLS, "calls", 1e7), (MOD_SECONDS, "seconds", 1e5)):
        value = record.get(name)
        if isinstance(value, (int, float)) and 0 <= value <= most:
            counter.inc(value)
