"""A rehearsal: a mod run against the scripted model, to see what it does and whether the laws hold.

One run is shown token by token. Then the mod is run again and again, on other prompts and texts
and by an engine in all its moods, and each run is judged. Who calls it bounds the time; what comes
back is bounded in size.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from mods.runtime.decisions import SessionSpec, Usage
from mods.runtime.handlers import UNWATCHED, Watch
from mods.runtime.rehearsal import MAX_ENTRIES, Broken, Piece, Rehearsal, Scene
from mods.runtime.seat import LoadedMod
from mods.runtime.waiting import may_wait
from mods.sdk.actions import ActionBuilder
from mods.sdk.events import Event
from mods.sdk.testing.check import TROUBLES, check_run
from mods.sdk.testing.laws import NAMES, LawBroken
from mods.sdk.testing.model import HashModel, Model, TextModel
from mods.sdk.testing.outcome import Outcome
from mods.sdk.testing.recorder import Story
from mods.sdk.testing.scripted import ScriptedEngine, spec_for
from mods.sdk.testing.telling import lines_of
from mods.sdk.testing.tokenizer import ByteTokenizer

OTHER_PROMPT = "What is the capital of France?"
TEXT = (
    "<think>Let me see. 2 + 2 = 4!</think>\n\nWell, I am sorry, but I cannot. Sure: here it is."
    ' {"name": "Ann", "age": 7}\nann@example.org, 555-0100. The end. The end. The end.'
)
"""What the model writes in some of the runs: of many things a little, for a mod to act on."""

_LAWS = {
    "invalid_action": 8,
    "mod_exception": 8,
    "mod_host_error": 8,
    "broken_constraint": 8,
    "reach_exceeded": 10,
    "budget_exceeded": 9,
}
"""The law that a mod's own failure is about, by the failure's type."""


def rehearse(
    chain: Sequence[LoadedMod], scene: Scene | None = None, watch: Watch = UNWATCHED
) -> Rehearsal:
    """Run a chain, and judge it. watch: told of each call of a handler, in every run."""
    scene = scene or Scene()
    over = time.monotonic() + scene.seconds
    watched = [_watched(mod, number, watch) for number, mod in enumerate(chain)]
    shown = _show(watched, scene)
    acted: Counter[str] = Counter()
    for engine, spec in _runs(scene) if scene.laws else ():
        if time.monotonic() > over:
            shown.complete = False
            break
        shown.runs += 1
        shown.broken = _judge(watched, engine, spec, shown, acted)
        if shown.broken is not None:
            break
    shown.acted = dict(acted)
    return shown


def _show(chain: Sequence[LoadedMod], scene: Scene) -> Rehearsal:
    """The run that is shown."""
    spec = _spec(scene.prompt, scene)
    spec.tells_events = True
    outcome = ScriptedEngine(_model(scene.prompt, scene.text)).run(spec, chain)
    record = outcome.record
    return Rehearsal(
        tokens=_pieces(outcome),
        reason=outcome.reason,
        status=outcome.status,
        message=outcome.message,
        usage=outcome.usage or Usage(),
        events=record.get("events", [])[:MAX_ENTRIES],
        actions=record.get("actions", [])[:MAX_ENTRIES],
        prints=record.get("logs", [])[:MAX_ENTRIES],
        failures=record.get("failures", [])[:MAX_ENTRIES],
    )


def _runs(scene: Scene) -> Iterator[tuple[ScriptedEngine, SessionSpec]]:
    """Prompts and texts, each by the engine in each of its moods."""
    prompt = scene.prompt
    for said, text in dict.fromkeys(
        [(prompt, scene.text), (prompt, None), (prompt, TEXT), (OTHER_PROMPT, None)]
    ):
        for trouble in TROUBLES:
            engine = ScriptedEngine(_model(said, text), trouble=trouble)
            yield engine, _spec(said, scene, text)


def _judge(
    chain: Sequence[LoadedMod],
    engine: ScriptedEngine,
    spec: SessionSpec,
    shown: Rehearsal,
    acted: Counter[str],
) -> Broken | None:
    """What is wrong with one run, None if nothing is."""
    try:
        story, outcome = check_run(chain, spec, engine)
    except LawBroken as broken:
        story = broken.story or Story(spec.request_id)
        return _broken(broken.law, f"{broken.what}: {broken.evidence}", story, engine, spec)
    shown.calls += int(outcome.record.get("calls", 0))
    acted.update(_answers(outcome))
    if outcome.status not in (200, 400):
        law = _LAWS.get(outcome.type or "", 8)
        return _broken(law, outcome.message, story, engine, spec)
    return None


def _broken(law: int, what: str, story: Story, engine: ScriptedEngine, spec: SessionSpec) -> Broken:
    """The counter-example, for somebody to read and to run again."""
    writes = getattr(engine.model, "text", None)
    mood = engine.trouble.in_words()
    script = (
        f"prompt {bytes(spec.prompt).decode(errors='replace')!r}, at most {spec.max_tokens} tokens;"
        f" the model writes {'letters at random' if writes is None else repr(writes)[:300]}"
        + (f"; the engine: {mood}" if mood else "")
    )
    return Broken(law, what[:1000], lines_of(story), NAMES[law], script)


def _answers(outcome: Outcome) -> Iterator[str]:
    for entry in outcome.record.get("actions", []):
        if "mod" in entry:
            yield f"{entry['mod']}: {entry['action']}"


def _spec(prompt: str, scene: Scene, text: str | None = None) -> SessionSpec:
    """A request long enough for the text."""
    messages = scene.messages or [{"role": "user", "content": prompt}]
    length = max(scene.max_tokens, len((text or "").encode()) + 1)
    return spec_for(prompt, length, conversation=messages)


def _model(prompt: str, text: str | None) -> Model:
    if text is None:
        return HashModel("abcdé ,.!\n", eos_bonus=-2.0)
    return TextModel(text, len(prompt.encode()))


def _pieces(outcome: Outcome) -> list[Piece]:
    """The output, each token with the text that is whole with it."""
    tokenizer, said = ByteTokenizer(), ""
    pieces = []
    ids = [int(token) for token in outcome.written]
    for at, token in enumerate(outcome.written):
        text = tokenizer.decode(ids[: at + 1], skip_special_tokens=True).rstrip("\ufffd")
        pieces.append(Piece(ids[at], text[len(said) :], token.mod))
        said = text
    return pieces


def _watched(mod: LoadedMod, number: int, watch: Watch) -> LoadedMod:
    """The mod, with somebody told of each call. A wait takes no time here, so it is no pause."""

    def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        watch.call_begins(number)
        try:
            return mod.handler(event, actions, tokenizer)
        finally:
            watch.call_ends()

    async def waits(event: Event, actions: ActionBuilder, tokenizer: Any) -> object:
        watch.call_begins(number)
        try:
            return await mod.handler(event, actions, tokenizer)  # type: ignore[misc]
        finally:
            watch.call_ends()

    return replace(mod, handler=waits if may_wait(mod.handler) else handler)
