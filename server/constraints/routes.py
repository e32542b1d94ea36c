"""`POST /validate_constraints`: what using a constraint would come to, without generating."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, FastAPI, Request

from mods.runtime.grammar.trial import Trial
from mods.sdk.constraints import Constraint, digest
from mods.sdk.errors import ConstraintError
from server.constraints.admission import Admission
from server.constraints.errors import ConstraintRoute
from server.constraints.models import Fault, Validation, ValidationRequest
from server.mods.caller import caller_of

router = APIRouter(tags=["constraints"], route_class=ConstraintRoute)


def mount_constraints(app: FastAPI, admission: Admission) -> None:
    """Serve this file's route, and let `/generate` find the admission."""
    app.state.concordance_admission = admission
    app.include_router(router)


def admission_of(request: Request) -> Admission:
    return cast(Admission, request.app.state.concordance_admission)


@router.post("/validate_constraints")
async def validate_constraints(
    given: ValidationRequest,
    admission: Annotated[Admission, Depends(admission_of)],
    caller: Annotated[str, Depends(caller_of)],
) -> Validation:
    """Compile a constraint, try it out, and say what it costs or what is wrong with it."""
    constraint = given.constraints
    try:
        trial = await admission.trial(constraint, caller)
    except ConstraintError as error:
        fault = Fault(message=error.reason, part=error.part, position=error.position)
        return Validation(valid=False, digest=digest(constraint), error=fault)
    return validation_of(constraint, trial)


def validation_of(constraint: Constraint, trial: Trial) -> Validation:
    """What to tell of a constraint that can be used."""
    grammar = trial.grammar
    return Validation(
        valid=True,
        digest=digest(constraint),
        warnings=list(grammar.warnings),
        compile_time_ms=trial.compile_ms,
        mask_time_ms=trial.mask_ms,
        size_bytes=grammar.size,
        masks=len(grammar.parts),
    )
