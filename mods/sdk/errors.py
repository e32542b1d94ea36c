"""What can go wrong with a mod, and the HTTP status it becomes.

ModError
├── InvalidActionError      422  an action that is illegal at its event, or malformed
├── ModRaisedError          422  the mod raised an exception
├── ReachExceededError      422  a take-back of tokens that may already have been shown
├── BudgetExceededError     422  the session used up its budget
├── BrokenConstraintError   422  tokens that the constraint in force does not allow, or a dead end
├── ConstraintError         400  a constraint that cannot be compiled, or is too large or too slow
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


class BrokenConstraintError(ModError):
    """A constraint was broken, or could not be kept; the message says where."""

    type = "broken_constraint"


class ConstraintError(ModError, ValueError):
    """A constraint that cannot be held to: malformed, unsupported, impossible, or too costly.

    part: where in a composite it is, such as "all_of[1]"; empty for the whole. position: where in
    that part's own text, such as "line 3, column 7" or "#/properties/age".
    """

    status = 400
    type = "invalid_constraint"

    def __init__(self, reason: str, *, part: str = "", position: str | None = None) -> None:
        self.reason, self.part, self.position = reason, part, position
        super().__init__(": ".join(filter(None, (part, position, reason))))

    def within(self, part: str) -> ConstraintError:
        """The same error, told from one composite further out."""
        inner = f"{part}.{self.part}" if self.part else part
        return ConstraintError(self.reason, part=inner, position=self.position)

    def __reduce__(self) -> tuple[object, ...]:
        return _constraint_error, (self.reason, self.part, self.position)


def _constraint_error(reason: str, part: str, position: str | None) -> ConstraintError:
    return ConstraintError(reason, part=part, position=position)


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
        BrokenConstraintError,
        ConstraintError,
        EmittedError,
        HostError,
    )
}
"""Error classes by the `type` they carry over the wire."""
