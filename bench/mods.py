"""The mods whose cost is measured, as an author would write them."""

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

RUN_AT = 8
"""How many tokens the model has drawn when a forced run begins."""
RUN_FROM = 33
"""Token ids of a forced run count up from here."""
TAKE_BACK = 16
TAKE_BACK_FROM = TAKE_BACK + 1
"""The length of the output at which tokens are first taken back."""

_BY_STEPS = '''
from mods.sdk import ForwardPass, mod


@mod
def {name}(event, actions, tokenizer):
    """Put a run of {length} tokens in, one in each step of the engine."""
    if isinstance(event, ForwardPass) and 0 <= event.position - {start} < {length}:
        return actions.force_tokens([{first} + event.position - {start}])
    return actions.noop()
'''

_AT_ONCE = '''
from mods.sdk import ForwardPass, mod


@mod
def {name}(event, actions, tokenizer):
    """Put a run of {length} tokens in at once."""
    if isinstance(event, ForwardPass) and event.position == {start}:
        return actions.force_tokens(list(range({first}, {first} + {length})))
    return actions.noop()
'''

_TAKES_BACK = '''
from mods.sdk import Added, Finished, mod

lengths = {{}}


@mod(reach={count})
def {name}(event, actions, tokenizer):
    """Take {count} tokens back at {start} tokens, then at one more, {times} times in all."""
    if isinstance(event, Finished):
        lengths.pop(event.request_id, None)
    if isinstance(event, Added):
        length = lengths.setdefault(event.request_id, {start})
        if event.position == length < {start} + {times}:
            lengths[event.request_id] += 1
            return actions.backtrack({count})
    return actions.noop()
'''


def by_steps(name: str, length: int) -> str:
    """The source of a mod that forces one token in each of `length` steps."""
    return _BY_STEPS.format(name=name, length=length, start=RUN_AT, first=RUN_FROM)


def at_once(name: str, length: int) -> str:
    """The source of a mod that forces the same run in one action."""
    return _AT_ONCE.format(name=name, length=length, start=RUN_AT, first=RUN_FROM)


def takes_back(name: str, times: int) -> str:
    """The source of a mod that takes 16 tokens back, each time one token further on."""
    return _TAKES_BACK.format(name=name, times=times, start=TAKE_BACK_FROM, count=TAKE_BACK)
