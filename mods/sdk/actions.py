"""What a mod may answer: actions, made by named constructors, and where each is legal.

Mods do not build actions themselves: they call the `ActionBuilder` they are handed, which
encodes text where ids are expected and refuses what is malformed at the line that made it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from mods.sdk.constraints import Constraint, Ebnf, Lark, Regex, choice, json_schema
from mods.sdk.errors import InvalidActionError
from mods.sdk.events import EVENTS, Event, FloatRow


class SupportsEncode(Protocol):
    """The one thing a builder needs of a tokenizer."""

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]: ...


class SupportsConstraint(Protocol):
    """A strategy, or anything else that can say what it is as a constraint."""

    def constraint(self) -> Constraint: ...


@dataclass(frozen=True, slots=True)
class Action:
    """An answer to one event. `rank` decides between mods: the higher one takes the event."""

    name: ClassVar[str] = "action"
    rank: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Noop(Action):
    """Leave things as they are."""

    name: ClassVar[str] = "noop"


@dataclass(frozen=True, slots=True)
class AdjustedPrefill(Action):
    """Replace the prompt, and, if given, the number of tokens to generate at most."""

    name: ClassVar[str] = "adjust_prefill"
    rank: ClassVar[int] = 1

    tokens: list[int]
    max_steps: int | None = None


@dataclass(frozen=True, slots=True)
class AdjustedLogits(Action):
    """Shape the next draw: a whole row, or sparse edits, or a temperature.

    logits: float32, shape [vocabulary], in place of the model's. bias: added by token id.
    ban: ids that cannot be drawn. allow: the only ids that can. token_temp: the temperature
    of this one draw (0 is greedy; a greedy request may become sampled). constraint: what the
    tokens from this one on must be, until it is complete. until_complete: ask the mod nothing
    before then, and draw everything until then at `token_temp`.
    """

    name: ClassVar[str] = "adjust_logits"
    rank: ClassVar[int] = 1

    logits: FloatRow | None = None
    bias: Mapping[int, float] = field(default_factory=dict)
    ban: frozenset[int] = frozenset()
    allow: frozenset[int] | None = None
    token_temp: float | None = None
    constraint: Constraint | None = None
    until_complete: bool = False


@dataclass(frozen=True, slots=True)
class ForceTokens(Action):
    """Put these tokens next, without drawing."""

    name: ClassVar[str] = "force_tokens"
    rank: ClassVar[int] = 2

    tokens: list[int]


@dataclass(frozen=True, slots=True)
class Backtrack(Action):
    """Take the newest n tokens back, then put `tokens`, if any, in their place."""

    name: ClassVar[str] = "backtrack"
    rank: ClassVar[int] = 3

    n: int
    tokens: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ForceOutput(Action):
    """Replace all output with these tokens and end."""

    name: ClassVar[str] = "force_output"
    rank: ClassVar[int] = 4

    tokens: list[int]


@dataclass(frozen=True, slots=True)
class ToolCalls(Action):
    """End with tool calls, each in OpenAI's shape."""

    name: ClassVar[str] = "tool_calls"
    rank: ClassVar[int] = 4

    tool_calls: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class EmitError(Action):
    """End with an error of the mod's own wording, status 400."""

    name: ClassVar[str] = "emit_error"
    rank: ClassVar[int] = 4

    message: str


_ENDS = (ForceOutput, ToolCalls, EmitError)

LEGAL: dict[str, tuple[type[Action], ...]] = {
    "Prefilled": (Noop, AdjustedPrefill, *_ENDS),
    "ForwardPass": (Noop, ForceTokens, Backtrack, AdjustedLogits, *_ENDS),
    "Sampled": (Noop, ForceTokens, Backtrack, *_ENDS),
    "Added": (Noop, ForceTokens, Backtrack, *_ENDS),
    "Finished": (Noop,),
}
"""Which actions are legal at which event."""


def validate_action(event: Event, action: object) -> Action:
    """The action itself, if it may answer the event (None counts as noop).

    Raises `InvalidActionError`, naming the event, what was returned and what is allowed.
    """
    if action is None:
        return Noop()
    if type(action) in LEGAL[event.name]:
        return action  # type: ignore[return-value]
    allowed = ", ".join(kind.name for kind in LEGAL[event.name])
    given = action.name if isinstance(action, Action) else f"a {type(action).__name__}"
    raise InvalidActionError(f"{given} is not legal at {event.name}; allowed: {allowed}")


class ActionBuilder:
    """Makes actions for one event. Tokens may be ids or text; text is encoded.

    `hold()` and `release()` steer what a stream may show, `temperature()` the draws to come. They
    return a noop: use them alone or before another action.
    """

    holding: bool | None = None
    """True after `hold()`, False after `release()`, None if the mod called neither."""
    held: float | None = None
    """The temperature that is to hold from here on, if `warmed`."""
    warmed = False
    """Whether the mod called `temperature()`."""

    def __init__(self, event: Event | None = None, tokenizer: SupportsEncode | None = None) -> None:
        self.event = event
        self.tokenizer = tokenizer

    def noop(self) -> Noop:
        """Leave things as they are."""
        return Noop()

    def adjust_prefill(
        self, tokens: Sequence[int] | str, max_steps: int | None = None
    ) -> AdjustedPrefill:
        """Replace the prompt (at `Prefilled`)."""
        if max_steps is not None and (not isinstance(max_steps, int) or max_steps < 1):
            raise InvalidActionError(f"max_steps must be a positive integer, got {max_steps!r}")
        ids = self._ids(tokens, "adjust_prefill")
        if not ids:
            raise InvalidActionError("adjust_prefill needs at least one token")
        return AdjustedPrefill(ids, max_steps)

    def force_tokens(self, tokens: Sequence[int] | str) -> ForceTokens:
        """Put these tokens next, without drawing. An empty run is a noop."""
        return ForceTokens(self._ids(tokens, "force_tokens"))

    def backtrack(
        self,
        n: int | None = None,
        tokens: Sequence[int] | str | None = None,
        *,
        steps: int | None = None,
    ) -> Backtrack:
        """Take the newest n tokens back (`steps` is another name for n), then put `tokens`."""
        count = steps if n is None else n
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
            raise InvalidActionError(f"backtrack needs n >= 1 tokens, got {count!r}")
        return Backtrack(int(count), [] if tokens is None else self._ids(tokens, "backtrack"))

    def adjust_logits(
        self, logits: object = None, token_temp: float | None = None
    ) -> AdjustedLogits:
        """Draw from these logits (shape [vocabulary] or [1, vocabulary]), at this temperature."""
        row = None if logits is None else _row(logits)
        return AdjustedLogits(logits=row, token_temp=_temperature(token_temp))

    def bias(
        self, bias: Mapping[int | str, float], token_temp: float | None = None
    ) -> AdjustedLogits:
        """Add to the logits of these tokens. A text key biases every token it encodes to."""
        spread: dict[int, float] = {}
        for key, value in bias.items():
            amount = float(value)
            if np.isnan(amount):
                raise InvalidActionError(f"bias for {key!r} is not a number")
            for token in self._ids(key if isinstance(key, str) else [key], "bias"):
                spread[token] = amount
        return AdjustedLogits(bias=spread, token_temp=_temperature(token_temp))

    def ban(self, tokens: Iterable[int] | str) -> AdjustedLogits:
        """Forbid these tokens for the next draw."""
        return AdjustedLogits(ban=frozenset(self._ids(tokens, "ban")))

    def allow(self, tokens: Iterable[int] | str) -> AdjustedLogits:
        """Let the next draw be one of these tokens only."""
        ids = frozenset(self._ids(tokens, "allow"))
        if not ids:
            raise InvalidActionError("allow needs at least one token, or nothing could be drawn")
        return AdjustedLogits(allow=ids)

    def constrain(
        self,
        constraint: Constraint | SupportsConstraint | None = None,
        *,
        json: Mapping[str, Any] | str | bool | None = None,
        regex: str | None = None,
        lark: str | None = None,
        ebnf: str | None = None,
        choice: Sequence[str] | None = None,
        until_complete: bool = False,
        token_temp: float | None = None,
    ) -> AdjustedLogits:
        """From the next token on, let come only what this describes, until it is complete.

        Exactly one of: a constraint or a strategy; a JSON schema; a regular expression; a grammar
        in Lark or EBNF; a list of texts. Where the text is whole and may go on, the end of
        sequence ends it too. until_complete: sleep meanwhile. The mod then gets no `ForwardPass`
        and no `Sampled`, and one `Added` with all the tokens (`constrained` is True). token_temp:
        the temperature of the next draw; with until_complete, of every draw until then.
        """
        given = {
            "constraint": constraint,
            "json": json,
            "regex": regex,
            "lark": lark,
            "ebnf": ebnf,
            "choice": choice,
        }
        named = [name for name, value in given.items() if value is not None]
        if len(named) != 1:
            raise InvalidActionError(
                f"constrain takes exactly one of {', '.join(given)};"
                f" got {', '.join(named) or 'none'}"
            )
        return AdjustedLogits(
            token_temp=_temperature(token_temp),
            constraint=_constraint(named[0], given[named[0]]),
            until_complete=until_complete,
        )

    def force_output(self, tokens: Sequence[int] | str) -> ForceOutput:
        """Replace all output and end, with finish reason `stop`."""
        return ForceOutput(self._ids(tokens, "force_output"))

    def tool_calls(self, tool_calls: object) -> ToolCalls:
        """End with tool calls: one or a list of `{"function": {"name", "arguments"}}`."""
        return ToolCalls(_openai_tool_calls(tool_calls))

    def emit_error(self, message: str) -> EmitError:
        """End with an error that the client sees, status 400."""
        return EmitError(str(message))

    def hold(self) -> Noop:
        """From here on show nothing more, until `release()` or the end."""
        self.holding = True
        return Noop()

    def release(self) -> Noop:
        """Show what is there: this mod will not take it back."""
        self.holding = False
        return Noop()

    def temperature(self, temperature: float | None) -> Noop:
        """From here on draw at this temperature (0 is greedy), until the mod changes it.

        None gives the request's own back. At any event, alone or before another action. A draw
        for which the mod gives a `token_temp` has that one. Returns a noop.
        """
        self.held, self.warmed = _temperature(temperature), True
        return Noop()

    def _ids(self, tokens: Iterable[int] | str, where: str) -> list[int]:
        if isinstance(tokens, str):
            if self.tokenizer is None:
                raise InvalidActionError(f"{where}: text needs a tokenizer, give token ids")
            return list(self.tokenizer.encode(tokens, add_special_tokens=False))
        if isinstance(tokens, (int, np.integer)):
            tokens = [int(tokens)]
        try:
            return [_token_id(token) for token in tokens]
        except TypeError:
            raise InvalidActionError(
                f"{where} takes token ids or text, got {tokens!r:.80}"
            ) from None


def for_event(event: Event, tokenizer: SupportsEncode | None = None) -> ActionBuilder:
    """The builder that a mod is handed together with the event."""
    return ActionBuilder(event, tokenizer)


def legal_names(event_name: str) -> list[str]:
    """The names of the actions that are legal at an event, in the table's order."""
    if event_name not in EVENTS:
        raise KeyError(f"{event_name!r} is no event; there are {', '.join(EVENTS)}")
    return [kind.name for kind in LEGAL[event_name]]


def _token_id(token: object) -> int:
    if isinstance(token, bool) or not isinstance(token, (int, np.integer)):
        raise TypeError(f"{token!r} is no token id")
    return int(token)


def _temperature(value: float | None) -> float | None:
    if value is None:
        return None
    number = float(value)
    if not (0.0 <= number < float("inf")):
        raise InvalidActionError(f"a temperature must be 0 or more and finite, got {value!r}")
    return number


def _constraint(kind: str, given: Any) -> Constraint:
    try:
        if kind == "json":
            return json_schema(given)
        if kind == "choice":
            return choice(given)
    except ValueError as error:
        raise InvalidActionError(f"constrain: {error}") from None
    if kind == "constraint":
        made = given.constraint() if hasattr(given, "constraint") else given
        if not isinstance(made, Constraint):
            raise InvalidActionError(
                f"constrain takes a constraint or a strategy, got {given!r:.80}"
            )
        return made
    if not isinstance(given, str):
        raise InvalidActionError(f"constrain: {kind} must be text, got {given!r:.80}")
    return _FROM_TEXT[kind](given)


_FROM_TEXT: dict[str, type[Regex] | type[Lark] | type[Ebnf]] = {
    "regex": Regex,
    "lark": Lark,
    "ebnf": Ebnf,
}


def _row(logits: object) -> FloatRow:
    values = logits.to_numpy() if hasattr(logits, "to_numpy") else logits
    try:
        row = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError):
        raise InvalidActionError(
            f"adjust_logits takes a numpy array or anything with .to_numpy(), got {logits!r:.80}"
        ) from None
    if row.ndim == 2 and row.shape[0] == 1:
        row = row[0]
    if row.ndim != 1:
        raise InvalidActionError(
            f"logits must have shape [vocabulary] or [1, vocabulary], got {list(row.shape)}"
        )
    if np.isnan(row).any():
        raise InvalidActionError("logits contain NaN")
    if not np.isfinite(row.max()):
        raise InvalidActionError("logits must have a finite maximum, or nothing could be drawn")
    return row


def _openai_tool_calls(given: object) -> list[dict[str, Any]]:
    calls = given if isinstance(given, (list, tuple)) else [given]
    if not calls:
        raise InvalidActionError("tool_calls needs at least one call")
    return [_openai_tool_call(call) for call in calls]


def _openai_tool_call(call: object) -> dict[str, Any]:
    if not isinstance(call, Mapping):
        raise InvalidActionError(f"a tool call is a dict, got {call!r:.80}")
    function = call.get("function", call)
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise InvalidActionError(f"a tool call needs function.name, got {call!r:.80}")
    arguments = function.get("arguments", "{}")
    if not isinstance(arguments, str):
        try:
            arguments = json.dumps(arguments)
        except (TypeError, ValueError):
            raise InvalidActionError(
                f"the arguments of {function['name']!r} cannot be written as JSON"
            ) from None
    return {
        "id": str(call.get("id") or f"call_{uuid.uuid4().hex[:24]}"),
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments},
    }
