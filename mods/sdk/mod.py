"""`@mod`: marks the function that is a mod, and says what it declares about itself.

A declaration is a promise that the runtime keeps the mod to: which events it hears, how far back
it may take, whether it reads logits. What is not declared is read from the source.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast, overload

from mods.sdk.events import EVENTS, Event

MOD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""What a mod may be called: it follows the model's name behind a `/`, and a `+` joins two."""

ModCallable = Callable[..., Any]
"""A handler: (event, actions, tokenizer) to an action, or None for noop. It may be `async`."""

_ON_ERROR = ("fail", "ignore")


@dataclass(frozen=True)
class Declaration:
    """What an author declared; None where the runtime is to find out itself.

    events: names of the events to be called at. reach: how many committed tokens the mod may
    take back. logits, confidence: whether it reads them. on_error: `fail` or `ignore`. deadline:
    seconds that one call may take, waits included.
    """

    name: str | None = None
    reach: int | None = None
    events: frozenset[str] | None = None
    logits: bool | None = None
    on_error: str = "fail"
    deadline: float | None = None
    confidence: bool | None = None


EventKind = type[Event] | str


@overload
def mod(function: ModCallable, /) -> ModCallable: ...
@overload
def mod(
    *,
    name: str | None = None,
    reach: int | None = None,
    events: Iterable[EventKind] | EventKind | None = None,
    logits: bool | None = None,
    on_error: str = "fail",
    deadline: float | None = None,
    confidence: bool | None = None,
) -> Callable[[ModCallable], ModCallable]: ...
def mod(
    function: ModCallable | None = None, /, **declared: Any
) -> ModCallable | Callable[[ModCallable], ModCallable]:
    """Mark a function as a mod: `@mod`, or `@mod(reach=64, events=[Added])`.

    Raises ValueError for a declaration that makes no sense, at the line that made it.
    """
    if function is not None:
        return create_mod(function, **declared)
    _declaration(**declared)
    return functools.partial(create_mod, **declared)


def create_mod(
    function: ModCallable,
    name: str | None = None,
    *,
    reach: int | None = None,
    events: Iterable[EventKind] | EventKind | None = None,
    logits: bool | None = None,
    on_error: str = "fail",
    deadline: float | None = None,
    confidence: bool | None = None,
) -> ModCallable:
    """A mod from any callable: what `@mod` does, without the decorator."""
    declaration = _declaration(name, reach, events, logits, on_error, deadline, confidence)
    call = _three_arguments(function)

    @functools.wraps(function)
    def handler(event: Any, actions: Any, tokenizer: Any = None) -> Any:
        return call(event, actions, tokenizer)

    @functools.wraps(function)
    async def waiting_handler(event: Any, actions: Any, tokenizer: Any = None) -> Any:
        return await call(event, actions, tokenizer)

    made: Any = waiting_handler if _is_async(function) else handler
    made.declaration = declaration
    return cast(ModCallable, made)


def declaration_of(function: object) -> Declaration | None:
    """What `@mod` left on a function, or None if it is not a mod."""
    found = getattr(function, "declaration", None)
    return found if isinstance(found, Declaration) else None


def _declaration(
    name: str | None = None,
    reach: int | None = None,
    events: Iterable[EventKind] | EventKind | None = None,
    logits: bool | None = None,
    on_error: str = "fail",
    deadline: float | None = None,
    confidence: bool | None = None,
) -> Declaration:
    if name is not None and not (isinstance(name, str) and MOD_NAME.fullmatch(name)):
        raise ValueError(
            f"@mod(name={name!r}): a name is 1 to 64 letters, digits, '_', '.' or '-', and starts"
            " with a letter or a digit; choose another or leave it out"
        )
    if reach is not None and (type(reach) is not int or reach < 0):
        raise ValueError(
            f"@mod(reach={reach!r}): reach is a whole number of tokens, 0 or more;"
            " leave it out if the mod may take back everything"
        )
    for what, given in (("logits", logits), ("confidence", confidence)):
        if given is not None and not isinstance(given, bool):
            raise ValueError(f"@mod({what}={given!r}): {what} is True or False; or leave it out")
    if on_error not in _ON_ERROR:
        raise ValueError(
            f"@mod(on_error={on_error!r}): expected 'fail' (an exception fails the request) or"
            " 'ignore' (it counts as a noop)"
        )
    names, seconds = _event_names(events), _seconds(deadline)
    return Declaration(name, reach, names, logits, on_error, seconds, confidence)


def _event_names(events: Iterable[EventKind] | EventKind | None) -> frozenset[str] | None:
    if events is None:
        return None
    one = isinstance(events, (str, type))
    kinds = [events] if one else list(cast(Iterable[EventKind], events))
    names = frozenset(_event_name(cast(EventKind, kind)) for kind in kinds)
    if not names:
        raise ValueError(
            "@mod(events=[]): a mod that hears nothing does nothing;"
            " name at least one event or leave it out"
        )
    return names


def _event_name(kind: EventKind) -> str:
    name = kind if isinstance(kind, str) else getattr(kind, "name", None)
    if name in EVENTS:
        return cast(str, name)
    raise ValueError(f"@mod(events=…): {kind!r} is no event; there are {', '.join(EVENTS)}")


def _seconds(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    number = isinstance(deadline, (int, float)) and not isinstance(deadline, bool)
    if not number or not math.isfinite(deadline) or deadline <= 0:
        raise ValueError(
            f"@mod(deadline={deadline!r}): deadline is a number of seconds above 0;"
            " leave it out for the server's"
        )
    return float(deadline)


def _three_arguments(function: ModCallable) -> ModCallable:
    """The function as one of (event, actions, tokenizer); one of two arguments is widened."""
    if not callable(function):
        raise ValueError(f"@mod: expected a function, got {function!r:.80}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ValueError(
            f"@mod: {_name_of(function)!r} is a generator; a handler returns one action: use return"
            " in place of yield"
        )
    if _takes(function, 3):
        return function
    if _takes(function, 2):
        return lambda event, actions, tokenizer: function(event, actions)
    raise ValueError(
        f"@mod: {_name_of(function)!r} must take (event, actions, tokenizer);"
        f" it takes {inspect.signature(function)}"
    )


def _is_async(function: ModCallable) -> bool:
    """Whether a function, or an object's `__call__`, is declared with `async def`."""
    call = getattr(function, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _takes(function: ModCallable, count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # a callable without a signature, such as one written in C
        return count == 3
    return True


def _name_of(function: ModCallable) -> str:
    return str(getattr(function, "__name__", function))
