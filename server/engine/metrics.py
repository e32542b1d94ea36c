"""What mods cost, as Prometheus metrics beside vLLM's own, under `concordance_`."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

SESSIONS = Counter("concordance_sessions", "Sessions with mods, by how they ended.", ["outcome"])
SEGMENTS = Counter("concordance_segments", "vLLM requests that sessions with mods were made of.")
LATE = Counter("concordance_late_segments", "Segments ended because mods missed the soft deadline.")
TOKENS = Counter("concordance_tokens", "Tokens of sessions with mods, by origin.", ["origin"])
RUNNING = Gauge("concordance_sessions_running", "Sessions with mods that are under way.")
QUEUED = Gauge("concordance_requests_queued", "Requests that wait for a place in the engine.")
