"""What `/validate_constraints` takes and answers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from server.constraints.specs import Constraints


class Fault(BaseModel):
    """What is wrong with a constraint. part: where in a composite; position: in that part."""

    message: str
    part: str = Field("", description='For example "all_of[1]"; empty for the whole.')
    position: str | None = Field(
        None, description='For example "line 3, column 7" or "#/properties/age".'
    )


class ValidationRequest(BaseModel):
    """A constraint as `/generate` takes it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"constraints": {"type": "regex", "pattern": "[a-z]+"}}]},
    )

    constraints: Constraints


class Validation(BaseModel):
    """Whether a constraint can be used, and what it costs."""

    valid: bool
    digest: str = Field(description="The same for equal constraints.")
    warnings: list[str] = []
    compile_time_ms: float | None = Field(
        default=None, description="Of the first time it was tried."
    )
    mask_time_ms: float | None = Field(
        default=None, description="Processor time of a mask and a token, on average over a few."
    )
    size_bytes: int | None = Field(default=None, description="Of its grammars.")
    masks: int | None = Field(
        default=None, description="How many are computed for a token at most."
    )
    error: Fault | None = None
