"""The mods whose cost is measured, as an author would write them.

What they ask of the server differs: `branches` only that it is told, `reads` also the logits of
every step, `undoes` a restart of vLLM's request every sixteenth round.
"""

from __future__ import annotations

BRANCHES = '''
from mods.sdk import Added, Finished, ForwardPass, Prefilled, Sampled, mod


@mod
def branches(event, actions, tokenizer):
    """Look at every event, and change nothing."""
    if isinstance(event, Prefilled):
        seen = event.context_info.prompt_len
    elif isinstance(event, ForwardPass):
        seen = event.position
    elif isinstance(event, Sampled):
        seen = event.sampled_token
    elif isinstance(event, Added):
        seen = len(event.added_tokens)
    elif isinstance(event, Finished):
        seen = len(event.tokens)
    return actions.noop()
'''

READS = '''
from mods.sdk import ForwardPass, mod


@mod
def reads(event, actions, tokenizer):
    """Find the likeliest token of every step, and change nothing."""
    if isinstance(event, ForwardPass):
        likeliest = int(event.logits.to_numpy().argmax())
    return actions.noop()
'''

UNDOES = '''
from mods.sdk import Added, mod


@mod(reach=4)
def undoes(event, actions, tokenizer):
    """Take the newest four tokens back in every sixteenth round."""
    if isinstance(event, Added) and event.step % 16 == 15:
        return actions.backtrack(4)
    return actions.noop()
'''

MODS = {"branches": BRANCHES, "reads": READS, "undoes": UNDOES}
"""Name to source."""

SILENT = ("branches", "reads")
"""Those that leave every output as it is."""
