"""The laws as checks over a story (what mods were told and answered) and its outcome.

Each function speaks of one law and raises `LawBroken` with the evidence. A check asks only what
follows from the story itself, so that it holds for whichever engine the story comes from.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from mods.runtime.decisions import SessionSpec, Shape
from mods.sdk.actions import (
    Action,
    AdjustedLogits,
    Backtrack,
    EmitError,
    ForceOutput,
    ForceTokens,
    Noop,
    ToolCalls,
    legal_names,
)
from mods.sdk.errors import HostError
from mods.sdk.events import Added, Event, Finished, ForwardPass, Sampled
from mods.sdk.testing.chain import merge_shapes, winner
from mods.sdk.testing.judge import Verdict, judge
from mods.sdk.testing.outcome import Outcome
from mods.sdk.testing.recorder import Said, Story, Turn
from mods.sdk.testing.tokenizer import ByteTokenizer

NAMES = {
    0: "events come in rounds, and the same story gets the same answers",
    1: "every token that enters is told of once",
    2: "a forced run enters as it is",
    3: "a backtrack takes the newest tokens",
    4: "a mod that does nothing changes nothing",
    5: "nobody hears of another's request",
    6: "ends are judged over the whole output",
    7: "a terminal action ends the request",
    8: "actions are legal, and errors are told",
    9: "the budget holds",
    10: "what a stream has shown stays",
    11: "what several mods ask for adds up",
}
"""What each law says, in short, by its number."""


class LawBroken(AssertionError):
    """A law does not hold. law: its number. what: in words. evidence: what shows it."""

    def __init__(self, law: int, what: str, evidence: object = None) -> None:
        super().__init__(f"law {law}: {what}" + (f": {evidence}" if evidence is not None else ""))
        self.law, self.what, self.evidence = law, what, evidence
        self.story: Story | None = None
        """What the mods were told and answered, where that is known."""


@dataclass
class Case:
    """A story with its outcome, and what was asked for."""

    story: Story
    outcome: Outcome
    spec: SessionSpec
    max_tokens: int
    tokenizer: ByteTokenizer = field(default_factory=ByteTokenizer)

    def consequences(self) -> Iterator[tuple[Turn, Action, Event]]:
        """Each turn that was carried out, the action that won, and the event that came next."""
        for turn, after in self.story.pairs():
            if after is None or turn.wrong():
                continue
            if isinstance(after.event, Finished) and self._stopped(turn):
                continue
            yield turn, winner(turn), after.event

    def output_at(self, newest: Event) -> list[int]:
        """The output after this event, as the `Added` events tell it."""
        output: list[int] = []
        for event in self.story.events:
            if isinstance(event, Added):
                output = output[: event.position - len(event.added_tokens)] + event.added_tokens
            if event is newest:
                break
        return output

    def _stopped(self, turn: Turn) -> bool:
        """Whether the session went no further for a reason of its own: it failed or was aborted."""
        if isinstance(winner(turn), EmitError):
            return False
        return self.outcome.failed or self.outcome.reason == "aborted"


def require(holds: bool, law: int, what: str, evidence: object = None) -> None:
    """Raise `LawBroken` unless it holds."""
    if not holds:
        raise LawBroken(law, what, evidence)


def law_1_every_token_is_added_once(case: Case) -> None:
    """Folding the `Added` events gives the output, step by step and at the end."""
    output: list[int] = []
    before: Event | None = None
    for event in case.story.events:
        if isinstance(event, Added):
            start = event.position - len(event.added_tokens)
            require(0 <= start <= len(output), 1, "tokens are missing or doubled", event)
            require(tuple(output[start:]) == event.removed, 1, "`removed` is not what went", event)
            output = output[:start] + event.added_tokens
            drawn = isinstance(before, Sampled) and event.added_tokens == [before.sampled_token]
            drawn = drawn or event.constrained
            require(event.forced or drawn, 1, "a token that was not drawn is not `forced`", event)
            require(bool(event.added_tokens), 1, "an `Added` of nothing", event)
        elif not isinstance(event, Finished):
            require(event.position <= len(output), 1, "tokens came in without an `Added`", event)
        before = event
    _check_final_tokens(case, output)


def _check_final_tokens(case: Case, output: list[int]) -> None:
    finished = case.story.events[-1]
    require(isinstance(finished, Finished), 1, "the story has no end", finished)
    assert isinstance(finished, Finished)
    kept = tuple(output[: finished.position])
    require(case.outcome.replaced or finished.tokens == kept, 1, "Finished.tokens", finished)
    if not case.outcome.failed and case.outcome.reason != "aborted":
        require(list(finished.tokens) == case.outcome.tokens, 1, "the output", case.outcome.tokens)


def law_2_a_forced_run_enters_as_it_is(case: Case) -> None:
    """The run takes the round, replaces the pending token, or is appended: next comes its
    `Added`. At most 64 in a row."""
    for turn, action, after in case.consequences():
        if isinstance(action, ForceTokens) and not _at_length(case, turn.event):
            _require_run(case, 2, action.tokens, turn.event.position, after)
    runs = 0
    for event in case.story.events:
        runs = 0 if isinstance(event, ForwardPass) else runs + getattr(event, "forced", False)
        require(not isinstance(event, Added) or runs <= 64, 2, "more than 64 runs in a row", event)


def law_3_a_backtrack_takes_the_newest(case: Case) -> None:
    """n tokens go, the pending one first, never more than there are."""
    for turn, action, after in case.consequences():
        if not isinstance(action, Backtrack):
            continue
        n = action.n - isinstance(turn.event, Sampled)
        length = max(0, turn.event.position - n)
        if action.tokens:
            _require_run(case, 3, action.tokens, length, after)
        else:
            right = isinstance(after, ForwardPass) and after.position == length
            require(right, 3, f"after a backtrack to {length}", after)


def _require_run(case: Case, law: int, run: list[int], start: int, after: Event) -> None:
    """The next event is the run's `Added` at this place, whole or cut at an end."""
    require(isinstance(after, Added) and after.forced, law, f"{run} was forced, but then", after)
    assert isinstance(after, Added)
    entered = after.added_tokens
    require(entered == list(run[: len(entered)]), law, f"{run} was forced, but then", after)
    require(after.position == start + len(entered), law, f"a run at {start}, but then", after)
    whole = len(entered) == len(run) or _verdict(case, case.output_at(after)) is not None
    require(whole, law, f"{run} was cut without an end", after)


def law_4_a_noop_changes_nothing(case: Case, plain: list[int]) -> None:
    """Where every answer was a noop, the output is what the model alone writes."""
    if all(isinstance(winner(turn), Noop) and not turn.wrong() for turn in case.story.turns):
        require(case.outcome.tokens == plain, 4, "noops changed the output", case.outcome.tokens)


def law_5_nobody_hears_of_another(stories: Collection[str], asked: Collection[str]) -> None:
    """Mods hear of the requests that they were asked about, and of no others.

    stories: the ids of the requests that they heard of. asked: those of their own.
    """
    others = set(stories) - set(asked)
    require(not others, 5, "events of other requests", others)


def law_6_ends_belong_to_the_session(case: Case) -> None:
    """At the first end the output stops, unless a mod goes on past it."""
    output: list[int] = []
    for turn, after in case.story.pairs():
        event = turn.event
        if not isinstance(event, Added):
            continue
        output = output[: event.position - len(event.added_tokens)]
        for token in event.added_tokens[:-1]:
            output.append(token)
            require(_verdict(case, output) is None, 6, "a run went on past an end", event)
        output.append(event.added_tokens[-1])
        require(len(output) <= case.max_tokens, 6, "more than max_tokens", event)
        ended = _verdict(case, output) is not None
        going = isinstance(winner(turn), (ForceTokens, Backtrack)) or turn.wrong()
        if after and not case.outcome.failed and case.outcome.reason != "aborted":
            over = isinstance(after.event, Finished)
            require(over or not ended or bool(going), 6, "an end was ignored", after.event)
            terminal = isinstance(winner(turn), (ForceOutput, ToolCalls))
            require(not over or ended or terminal, 6, "it ended without an end", event)
    _check_reason(case)


def _check_reason(case: Case) -> None:
    """The finish reason is that of the newest token."""
    outcome = case.outcome
    if outcome.reason not in ("stop", "length") or outcome.replaced:
        return
    verdict = _verdict(case, outcome.tokens)
    said = (outcome.reason, outcome.stop_reason)
    right = verdict is not None and said == (verdict.reason, verdict.stop_reason)
    require(right, 6, f"it should have ended by {verdict}", said)


def _verdict(case: Case, output: list[int]) -> Verdict | None:
    return judge(case.spec, case.max_tokens, output, case.tokenizer) if output else None


def _at_length(case: Case, event: Event) -> bool:
    return isinstance(event, Added) and event.position >= case.max_tokens


def law_7_terminal_actions_end(case: Case) -> None:
    """ForceOutput is the output; ToolCalls are the tool calls; EmitError is a 400."""
    outcome = case.outcome
    for _, action, after in case.consequences():
        if not isinstance(action, (ForceOutput, ToolCalls, EmitError)):
            continue
        require(isinstance(after, Finished), 7, f"{action.name} did not end the session", after)
        if isinstance(action, ForceOutput):
            said = outcome.tokens, outcome.reason
            require(said == (list(action.tokens), "stop"), 7, "force_output", said)
        elif isinstance(action, ToolCalls):
            calls = outcome.tool_calls, outcome.reason
            require(calls == (action.tool_calls, "tool_calls"), 7, "tool_calls", calls)
        else:
            error = outcome.status, outcome.message
            require(error == (400, action.message), 7, "emit_error", error)


def law_8_nothing_is_swallowed(case: Case) -> None:
    """What a mod raises, or answers illegally, fails its request with 422 and says why."""
    for turn, after in case.story.pairs():
        said = turn.wrong()
        if said is None or isinstance(turn.event, Finished) or _was_cancelled(case, said):
            continue
        over = after is not None and isinstance(after.event, Finished)
        require(over, 8, f"{said.answer!r} did not end the session", after)
        require(case.outcome.status == 422, 8, "the status", case.outcome.status)
        _check_message(case.outcome, turn.event, said.answer)


def _was_cancelled(case: Case, said: Said) -> bool:
    """Whether a handler that waited was stopped: the client went away, or the time was over."""
    stopped = case.outcome.reason == "aborted" or case.outcome.status == HostError.status
    return isinstance(said.answer, CancelledError) and stopped


def _check_message(outcome: Outcome, event: Event, answer: object) -> None:
    """The message names the event; for an illegal action, also the action and what is allowed."""
    named = [event.name]
    if isinstance(answer, Action):
        legal = legal_names(event.name)
        named += [answer.name, *(() if answer.name in legal else legal)]
        require(outcome.type == "invalid_action", 8, "the error's type", outcome.type)
    missing = [name for name in named if name not in outcome.message]
    require(not missing, 8, f"the message does not name {missing}", outcome.message)


def law_9_the_budget_holds(case: Case) -> None:
    """Tokens drawn or forced are at most 4 * max_tokens + 1,024."""
    drawn = sum(isinstance(event, Sampled) for event in case.story.events)
    runs = (e.added_tokens for e in case.story.events if isinstance(e, Added) and e.forced)
    work, budget = drawn + sum(map(len, runs)), 4 * case.max_tokens + 1024
    require(work <= budget + case.max_tokens, 9, f"the budget is {budget}", work)


def law_10_nothing_shown_is_taken_back(case: Case) -> None:
    """Each thing shown begins with what was shown before. A replaced output is the server's to
    judge: only it knows what has left."""
    shown = case.outcome.shown[:-1] if case.outcome.replaced else case.outcome.shown
    for earlier, later in pairwise(shown):
        kept = tuple(later[: len(earlier)]) == tuple(earlier)
        require(kept, 10, "what was shown was taken back", (earlier, later))


def law_11_shapes_add_up(case: Case) -> None:
    """Where shapes won, the engine was told their sum. Needs an engine that kept decisions.

    A mod that sleeps is not in the story, and may have a temperature of its own.
    """
    if case.outcome.decisions is None:
        return
    mods = {said.mod for turn in case.story.turns for said in turn.answers}
    told = [(at, said) for at, said in case.outcome.decisions if isinstance(said, Shape)]
    for turn, action, after in case.consequences():
        if isinstance(action, AdjustedLogits) and isinstance(after, Sampled):
            want = merge_shapes(turn.actions())
            allow = want.allow and {t for t in want.allow - want.ban if t != case.spec.sentinel}
            asleep = mods - {said.mod for said in turn.answers}
            right = any(
                at == turn.event.position
                and (said.bias, set(said.ban), said.row)
                == (dict(want.bias), set(want.ban), want.logits is not None)
                and (asleep or said.temperature == want.token_temp)
                and (None if said.allow is None else set(said.allow)) == allow
                for at, said in told
            )
            require(right, 11, f"no decision carries {want}", told)


Law = Callable[[Case], None]
