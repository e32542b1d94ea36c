"""The kit of laws over the real engine: random legal mods, each judging its own story."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import mods.sdk.testing.script as script_module
from tests.engine.live import Live

LAWFUL = """
import random
from mods.sdk import *
from mods.sdk import conversation
from mods.sdk.testing import LawBroken, Outcome, Recorder, check_story
from script import Line, perform
from mods.runtime.decisions import Usage

VOCABULARY = 2048
recorder = Recorder(VOCABULARY)
dice, told, checked, broken = {}, {}, [], []


def ids(roll, most):
    return tuple(roll.randrange(100, 2000) for _ in range(roll.randrange(1, most)))


def line(roll):
    steer = roll.choice([None] * 12 + ["hold"])
    kind = roll.choices(
        ["noop", "force_tokens", "backtrack", "adjust_logits", "force_output", "tool_calls"],
        [80, 5, 6, 8, 0.3, 0.3],
    )[0]
    shape = roll.randrange(5)
    return Line(
        kind=kind,
        tokens=ids(roll, 14) if roll.random() < 0.7 or kind.startswith("force") else (),
        n=roll.randrange(1, 7),
        bias={t: roll.uniform(-5, 5) for t in ids(roll, 5)} if shape == 0 else {},
        ban=frozenset(ids(roll, 5)) if shape == 1 else frozenset(),
        allow=frozenset(range(100, 1000)) if shape == 2 else None,
        temperature=roll.choice([0.0, 0.7, 1.5]) if shape == 3 else None,
        row=shape == 4,
        steer=steer,
    )


def script(event, actions, tokenizer):
    return perform(line(dice[event.request_id]), event, actions)


watched = recorder.wrap(script)


@mod(logits=True)
def lawful(event, actions, tokenizer):
    rid = event.request_id
    if isinstance(event, Prefilled):
        asked = get_conversation()[-1]["content"]
        if asked == "report":
            return actions.force_output(f"{len(checked)} {broken[:3]}")
        dice[rid], told[rid] = random.Random(asked), conversation._current.get()
    if rid not in dice:
        return actions.noop()
    answer = watched(event, actions, tokenizer)
    if isinstance(event, Finished):
        judge(event)
    return answer


def judge(event):
    story, spec = recorder.stories.pop(event.request_id), told.pop(event.request_id)
    del dice[event.request_id]
    if event.reason not in ("stop", "length", "tool_calls"):
        return
    last = next((a for t in reversed(story.turns) for a in t.actions() if a.rank == 4), None)
    usage = Usage(event.sampled, event.forced, event.erased)
    outcome = Outcome(list(event.tokens), event.reason, prompt=spec.prompt, usage=usage)
    outcome.tool_calls = getattr(last, "tool_calls", None)
    outcome.replaced = isinstance(last, ForceOutput)
    try:
        check_story(story, outcome, spec)
    except LawBroken as error:
        broken.append(f"{spec.request_id}: {error}")
    checked.append(event.request_id)
"""


@pytest.mark.parametrize("concurrent", [1, 32])
def test_random_legal_mods_obey_the_laws(live: Live, concurrent: int) -> None:
    files = {"lawful.py": LAWFUL, "script.py": Path(script_module.__file__).read_text()}
    mod = f"lawful_{concurrent}"
    answer = live.post("/v1/mods", {"name": mod, "files": files})
    assert answer.status_code in (200, 201), answer.text
    wanted = 20 * concurrent if concurrent == 1 else 160

    def ask(number: int) -> int:
        more = {"stream": True} if number % 3 == 0 else {}
        answer = live.chat(
            f"play {number}", mod, max_tokens=50, ignore_eos=number % 2 == 0,
            temperature=number % 5 / 4, **more,
        )  # fmt: skip
        return answer.status_code

    with ThreadPoolExecutor(concurrent) as pool:
        statuses = list(pool.map(ask, range(wanted)))
    assert set(statuses) <= {200, 422}, statuses
    report = live.say("report", mod)
    checked, broken = report.split(" ", 1)
    assert broken == "[]"
    assert int(checked) > wanted * 0.8, json.dumps(statuses)
