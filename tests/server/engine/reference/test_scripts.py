"""Random legal scripts: the loop tells the story that a literal reading of the laws tells.

The other side is the kit's oracle, which shares neither machine nor cache with the loop: it
computes the bundled model from the first token at every step.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mods.runtime.decisions import SessionSpec
from mods.sdk.actions import AdjustedPrefill
from mods.sdk.events import Event, ForwardPass
from mods.sdk.testing import Oracle, Outcome, Recorder, Story
from mods.sdk.testing.chain import winner
from mods.sdk.testing.check import LAWS
from mods.sdk.testing.laws import Case
from mods.sdk.testing.recorder import told
from mods.sdk.testing.script import Script
from mods.sdk.testing.tokenizer import SENTINEL
from server.engine.reference.generation import Generation
from server.engine.reference.loop import ReferenceLoop
from tests.server.engine.reference.asking import COUNT, ask, greedy
from tests.server.engine.reference.scripts import chains


class PlainModel:
    """The bundled model, computed from its first token every time."""

    def __init__(self, loop: ReferenceLoop) -> None:
        self._model = loop.backend.model  # type: ignore[attr-defined]

    def logits(self, context: Any) -> Any:
        with torch.no_grad():
            return self._model(torch.tensor([list(context)])).logits[0, -1].float().numpy()


def outcome_of(made: Generation, shown: list[list[int]]) -> Outcome:
    """A generation, as the kit of laws wants it."""
    failure = made.failure
    return Outcome(
        made.tokens,
        made.finish_reason,
        200 if failure is None else failure.status,
        None if failure is None else failure.type,
        "" if failure is None else failure.message,
        prompt=made.prompt,
        stop_reason=made.stop_reason,
        tool_calls=made.tool_calls,
        passed_ends=made.passed_ends,
        replaced=made.replaced,
        usage=made.usage,
        shown=list(shown),
        record=made.record,
    )


def check_laws_on(loop: ReferenceLoop, story: Story, outcome: Outcome, spec: SessionSpec) -> None:
    first = winner(story.turns[0])
    limit = spec.max_tokens
    if isinstance(first, AdjustedPrefill):
        limit = min(first.max_steps or limit, spec.max_context - len(first.tokens))
    for law in LAWS:
        law(Case(story, outcome, spec, limit, tokenizer=loop.mods_tokenizer))


def without_logits(event: Event) -> tuple[object, ...]:
    return told(replace(event, _logits=None) if isinstance(event, ForwardPass) else event)


@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(chains, st.integers(1, 10), st.sampled_from([[], ["a", "5"], [", 2"]]))
def test_any_legal_script_gives_what_the_plain_reading_of_the_laws_gives(
    loop: ReferenceLoop, chain: list[Script], max_tokens: int, stop: list[str]
) -> None:
    ours, theirs = Recorder(loop.backend.vocabulary), Recorder(loop.backend.vocabulary)
    mods = ours.chain([script.mod() for script in chain])
    params = greedy(max_tokens=max_tokens, stop=stop)
    session = loop.session(ask(loop, COUNT), params, mods, sentinel=SENTINEL)
    shown: list[list[int]] = [[]]
    for piece in loop.stream(session):
        shown.append(shown[-1] + piece.tokens)
    spec, made = session.spec, session.generation

    oracle = Oracle(spec, theirs.chain([script.mod() for script in chain]), PlainModel(loop))
    oracle.tokenizer = loop.mods_tokenizer
    want = oracle.run()

    events = [without_logits(event) for event in ours.stories[spec.request_id].events]
    expected = [without_logits(event) for event in theirs.stories[spec.request_id].events]
    shown_too_early = made.failure is not None and "already shown" in made.failure.message
    if made.failure is not None:
        events, expected = events[:-1], expected[:-1]
    assert events == expected
    if shown_too_early:
        return
    assert made.finish_reason == want.reason
    assert made.record["actions"] == want.record["actions"]
    if made.failure is None:
        assert made.tokens == want.tokens
        assert (made.stop_reason, made.tool_calls) == (want.stop_reason, want.tool_calls)
        assert (made.usage, made.passed_ends) == (want.usage, want.passed_ends)
    check_laws_on(loop, ours.stories[spec.request_id], outcome_of(made, shown), spec)
