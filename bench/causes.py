"""Why a number is what it is, written by hand after a look at a profile. By row."""

from __future__ import annotations

_BUSY = (
    "with 64 running, the new segment waits for the step under way before it can begin, and its own"
    " first step carries 64 rows beside its prefill"
)

CAUSES: dict[str, str] = {
    "stock-16": (
        "the whole tree uses 105 core-µs more a token: the gate's and the trace's layers around"
        " each output are some 20, and at rest the tree uses 3.5 % of a core, which is 65 at this"
        " rate. Of that, the writer's looks at the spool were 1.5 %; it has looked a quarter as"
        " often since. vLLM's own load generator (vllm-load) sees no difference"
    ),
    "backtrack-512-busy": _BUSY,
    "backtrack-1800-busy": _BUSY,
    "schema-first": (
        "a schema that was never seen costs the server half a millisecond and the worker one;"
        " sixteen come at once, so their prompts are spread over two steps instead of one, and the"
        " median shifts by as much as the tail"
    ),
    "schema-latency-1": "as for stock-16, and within the noise of both sides",
}
