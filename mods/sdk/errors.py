"""What can go wrong with a mod, and the HTTP status it becomes.

ModError
├── InvalidActionError      422  an action that is illegal at its event, or malformed
├── ModRaisedError          422  the mod raised an exception
├── ReachExceededError      422  a take-back of tokens that may already have been shown
├── BudgetExceededError     422  the session used up its budget
├── EmittedError            400  the mod ended the request with `emit_error`
└── HostError               424  the mod's process missed its hard deadline or died
"""

from __future__ import annotations


class ModError(Exception):
    """A request that a mod made fail: what to tell the client, and with which status."""

    status: int = 422
    type: str = "mod_error"


class InvalidActionError(ModError, ValueError):
    """An action that is not legal at its event, or whose contents are out of range."""

    type = "invalid_action"


class ModRaisedError(ModError):
    """A mod raised an exception; the message names the mod, the event and the exception."""

    type = "mod_exception"


class ReachExceededError(InvalidActionError):
    """A mod took back more tokens than its declared reach lets it."""

    type = "reach_exceeded"


class BudgetExceededError(ModError):
    """The session forwarded more tokens, or forced more runs in a row, than it may."""

    type = "budget_exceeded"


class EmittedError(ModError):
    """The mod ended the request on purpose, with an error of its own wording."""

    status = 400
    type = "mod_emitted_error"


class HostError(ModError):
    """The process that runs the mod missed its hard deadline, or died."""

    status = 424
    type = "mod_host_error"


BY_TYPE: dict[str, type[ModError]] = {
    kind.type: kind
    for kind in (
        ModError,
        InvalidActionError,
        ModRaisedError,
        ReachExceededError,
        BudgetExceededError,
        EmittedError,
        HostError,
    )
}
"""Error classes by the `type` they carry over the wire."""
