"""Run a mod, and check every law on what happened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mods.runtime.compile import Traits
from mods.runtime.decisions import SessionSpec
from mods.runtime.seat import Handler, LoadedMod
from mods.sdk.actions import AdjustedPrefill
from mods.sdk.events import Event
from mods.sdk.testing import laws, rounds
from mods.sdk.testing.chain import winner
from mods.sdk.testing.laws import Case, Law, LawBroken
from mods.sdk.testing.oracle import Oracle
from mods.sdk.testing.outcome import Outcome
from mods.sdk.testing.recorder import Recorder, Story, told
from mods.sdk.testing.scripted import ScriptedEngine, spec_for
from mods.sdk.testing.trouble import NO_TROUBLE, Trouble

LAWS: tuple[Law, ...] = (
    rounds.events_come_in_rounds,
    rounds.steps_count_rounds,
    laws.law_8_nothing_is_swallowed,
    laws.law_7_terminal_actions_end,
    laws.law_2_a_forced_run_enters_as_it_is,
    laws.law_3_a_backtrack_takes_the_newest,
    rounds.positions_count_output_tokens,
    laws.law_1_every_token_is_added_once,
    laws.law_6_ends_belong_to_the_session,
    laws.law_9_the_budget_holds,
    laws.law_10_nothing_shown_is_taken_back,
    laws.law_11_shapes_add_up,
)
"""The checks that a story and its outcome are enough for, the most telling first."""

TROUBLES = (
    NO_TROUBLE,
    Trouble(late=frozenset({1, 3, 4, 9})),
    Trouble(repeat=frozenset(range(20)), stale=frozenset(range(1, 20, 2))),
    Trouble(lost=frozenset({2, 6}), again=frozenset(range(20))),
)
"""Ways in which an engine may behave without any mod noticing."""

PROMPTS = ("hi", "a longer prompt, with é", "x")


def check_story(story: Story, outcome: Outcome, spec: SessionSpec) -> None:
    """Raise `LawBroken` if a story with its outcome breaks a law.

    Works on the story of any engine: leave `Outcome.decisions` None where they are not known.
    """
    case = Case(story, outcome, spec, _max_tokens(story, spec))
    for law in LAWS:
        law(case)


def check_laws(
    mod: Handler | LoadedMod | Sequence[LoadedMod],
    *,
    prompts: Iterable[str] = PROMPTS,
    engine: ScriptedEngine | None = None,
    **request: object,
) -> None:
    """Run a mod, or a chain, on each prompt and check the laws. Raises `LawBroken`.

    engine: one that is to be checked too; else the scripted one, in all its moods. request:
    fields of `SessionSpec`, `max_tokens` for instance. A mod must answer the same story in the
    same way: what it keeps between requests must not matter.
    """
    chain = _chain(mod)
    engines = [engine] if engine else [ScriptedEngine(trouble=trouble) for trouble in TROUBLES]
    for prompt in prompts:
        for each in engines:
            check_run(chain, spec_for(prompt, **request), each)  # type: ignore[arg-type]


def check_run(
    chain: Sequence[LoadedMod], spec: SessionSpec, engine: ScriptedEngine
) -> tuple[Story, Outcome]:
    """One session: by the laws, and against the model alone and the reference.

    Returns what the mods were told and what came of it. Raises `LawBroken`, with the story.
    """
    ours = Recorder()
    outcome = engine.run(spec, ours.chain(chain))
    story = ours.stories.get(spec.request_id, Story(spec.request_id))
    try:
        laws.law_5_nobody_hears_of_another(ours.stories, {spec.request_id})
        check_story(story, outcome, spec)
        _check_against_others(chain, spec, engine, story, outcome)
        if outcome.constrained:
            _check_unobserved(chain, spec, engine, outcome)
    except LawBroken as broken:
        broken.story = story
        raise
    return story, outcome


def _check_against_others(
    chain: Sequence[LoadedMod],
    spec: SessionSpec,
    engine: ScriptedEngine,
    story: Story,
    outcome: Outcome,
) -> None:
    """What the model writes alone, and what the reference tells the same mods."""
    plain = Oracle(spec, [], engine.model).run().tokens
    laws.law_4_a_noop_changes_nothing(Case(story, outcome, spec, spec.max_tokens), plain)
    theirs = Recorder()
    expected = Oracle(spec, theirs.chain(chain), engine.model).run()
    _check_same(story, theirs.stories[spec.request_id], outcome)
    if outcome.type == "broken_constraint" and not expected.failed:
        raise LawBroken(8, "it failed over a constraint that the reference keeps", outcome.message)


def _check_unobserved(
    chain: Sequence[LoadedMod], spec: SessionSpec, engine: ScriptedEngine, observed: Outcome
) -> None:
    """Where a constraint held, once more with nobody who listens to every round: where all mods
    sleep, the engine asks nobody, and what comes of it must be the same."""
    if "aborted" in (observed.reason, (alone := engine.run(spec, chain)).reason):
        return
    laws.law_10_nothing_shown_is_taken_back(Case(Story(spec.request_id), alone, spec, 0))
    got, want = ((o.tokens, o.reason, o.status) for o in (alone, observed))
    if got != want:
        raise LawBroken(0, "a mod that listens changes what comes of the others", (got, want))


def _check_same(story: Story, expected: Story, outcome: Outcome) -> None:
    """Law 0, all of it: the mods were told what the reference tells them."""
    if outcome.failed or outcome.reason == "aborted":
        return
    for got, want in zip(_heard(story), _heard(expected), strict=False):
        if told(got) != told(want):
            raise LawBroken(0, "the reference tells another story", (got, want))


def _heard(story: Story) -> Iterator[Event]:
    """All that anybody was told."""
    for turn in story.turns:
        yield turn.event
        yield from (said.heard for said in turn.answers if said.heard is not None)


def _chain(mod: Handler | LoadedMod | Sequence[LoadedMod]) -> list[LoadedMod]:
    if isinstance(mod, LoadedMod):
        return [mod]
    return [LoadedMod(mod, Traits("mod"))] if callable(mod) else list(mod)


def _max_tokens(story: Story, spec: SessionSpec) -> int:
    """The number of tokens to generate at most, after what a mod did at `Prefilled`."""
    action = winner(story.turns[0]) if story.turns else None
    if not isinstance(action, AdjustedPrefill):
        return spec.max_tokens
    return min(action.max_steps or spec.max_tokens, spec.max_context - len(action.tokens))
