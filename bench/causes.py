"""Why a number is what it is, written by hand after a look at a profile. By row."""

from __future__ import annotations

_STOCK = (
    "the gate's and the trace's layers around each output cost the server 22 core-µs a token, which"
    " is 0.6 % of two cores at 16 at once and far less at 1; at rest it uses 1.3 % of a core, stock"
    " vLLM 1.1 %. The rest is noise between runs: with five servers side by side, ours gave 1.004"
    " (1 at once) and 0.995 (16), and two more processes of stock vLLM 0.999 to 1.002"
)
_BUSY = (
    "with 64 running, the new segment waits for the step under way before it can begin, and its own"
    " first step carries 64 rows beside its prefill"
)

CAUSES: dict[str, str] = {
    "stock-1": _STOCK,
    "stock-16": _STOCK,
    "backtrack-512-busy": _BUSY,
    "backtrack-1800-busy": _BUSY,
    "schema-first": (
        "a schema that was never seen costs the server half a millisecond and the worker one;"
        " sixteen come at once, so their prompts are spread over two steps instead of one, and the"
        " median shifts by as much as the tail"
    ),
    "schema-latency-1": "as for stock-16, and within the noise of both sides",
}
