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


STRATEGIES = {"choices": "ChoicesStrat", "chars": "CharsStrat", "list": "ListStrat"}
"""Names of the measured strategies, with their classes. No text of theirs ends early."""

_WRITTEN = {
    "choices": 'ChoicesStrat([f"answer {n}: " + "the quick brown fox " * 40 for n in range(20)])',
    "chars": "CharsStrat(CharsMode.ALPHA, stop=2000, min=2000)",
    "list": (
        "ListStrat(CharsStrat(CharsMode.NUMERIC, stop=3, min=1), open='[', close=']',"
        " min=400, max=500)"
    ),
}

HELD_TO = {
    "choices": r"answer 1?[0-9]: (the quick brown fox ){40}",
    "chars": r"[A-Za-z]{2000}",
    "list": r"\[[0-9]{1,3}(, ?[0-9]{1,3}){399,499}\]",
}
"""What their whole texts look like, as regular expressions."""

_COMPILED = '''
from mods.sdk import ForwardPass, mod
from mods.sdk.strategies import CharsMode, CharsStrat, ChoicesStrat, ListStrat

STRATEGY = {strategy}


@mod(reach=0)
def {name}(event, actions, tokenizer):
    """Hold the whole answer to the strategy, and sleep meanwhile."""
    if isinstance(event, ForwardPass) and event.position == 0:
        return actions.constrain(STRATEGY, until_complete=True)
    return actions.noop()
'''

_STEP_BY_STEP = '''
from mods.sdk import Added, Finished, ForwardPass, Prefilled, mod
from mods.sdk.strategies import CharsMode, CharsStrat, ChoicesStrat, ListStrat

STRATEGY = {strategy}
running = {{}}


@mod(reach=0)
def {name}(event, actions, tokenizer):
    """Allow at each step the tokens that the strategy allows there."""
    if isinstance(event, Prefilled):
        strategy = STRATEGY.into_strategy(tokenizer)
        running[event.request_id] = strategy, strategy.start()
    elif isinstance(event, ForwardPass):
        strategy, state = running[event.request_id]
        return actions.allow(strategy.allowed_tokens(state))
    elif isinstance(event, Added):
        strategy, state = running[event.request_id]
        for token in event.added_tokens:
            strategy.step(state, token)
    elif isinstance(event, Finished):
        running.pop(event.request_id, None)
    return actions.noop()
'''


def compiled(name: str, strategy: str) -> str:
    """The source of a mod that holds each answer to this strategy."""
    return _COMPILED.format(name=name, strategy=_WRITTEN[strategy])


def step_by_step(name: str, strategy: str) -> str:
    """The source of a mod that does the same with a set of tokens for each step."""
    return _STEP_BY_STEP.format(name=name, strategy=_WRITTEN[strategy])
