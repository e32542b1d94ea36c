"""Random legal scripts for mods over the bundled model, with short runs and long ones."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from mods.sdk.testing.script import Line, Script

tokens = st.sampled_from([1, 3, 47, 48, 50, 90, 300, 301, 700, 1500, 2047])
runs = st.one_of(st.lists(tokens, max_size=3), st.lists(tokens, min_size=8, max_size=10)).map(tuple)
lines = st.builds(
    Line,
    kind=st.sampled_from(
        ["force_tokens", "backtrack", "adjust_logits", "noop"] * 3
        + ["force_output", "tool_calls", "adjust_prefill"]
    ),
    tokens=runs,
    n=st.integers(1, 6),
    bias=st.dictionaries(tokens, st.sampled_from([-20.0, -3.0, 3.0, 20.0]), max_size=3),
    ban=st.frozensets(tokens, max_size=3),
    allow=st.none() | st.frozensets(tokens, min_size=6),
    temperature=st.sampled_from([None, 0.0]),
    row=st.booleans(),
    max_steps=st.none() | st.integers(1, 12),
    steer=st.sampled_from([None] * 6 + ["hold", "release"]),
)
REACHES = (None, 0, 2, 20)
scripts = st.builds(
    Script,
    lines=st.dictionaries(st.integers(0, 20), lines, max_size=7),
    reach=st.sampled_from(REACHES),
    logits=st.booleans(),
)
chains = st.lists(scripts, min_size=1, max_size=2).map(
    lambda chain: [replace(script, name=f"mod{i}") for i, script in enumerate(chain)]
)
