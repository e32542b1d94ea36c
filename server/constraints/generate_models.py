"""What `/generate` takes and answers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from server.constraints.models import Fault
from server.constraints.specs import Constraints


class GenerateRequest(BaseModel):
    """A prompt as it is, without a chat template, and what the output must be."""

    model_config = ConfigDict(
        extra="forbid",
        protected_namespaces=(),
        json_schema_extra={
            "examples": [
                {
                    "prompt": "A colour: ",
                    "constraints": {"type": "choice", "choices": ["red", "green"]},
                    "max_tokens": 16,
                }
            ]
        },
    )

    prompt: str
    constraints: Constraints | None = None
    model: str | None = Field(None, description="The served model, with mods behind a slash.")
    max_tokens: int | None = Field(None, ge=1, description="The server's default if not given.")
    temperature: float | None = Field(None, ge=0.0)
    top_p: float | None = Field(None, gt=0.0, le=1.0)
    top_k: int | None = Field(None, ge=-1)
    seed: int | None = None
    stop: str | list[str] | None = None
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="Anything; it comes back in the provenance."
    )


class Tokens(BaseModel):
    """Tokens by origin; null where the engine does not tell them apart.

    sampled: drawn by the model. forced: put in by a mod, or because the constraint left no
    choice. erased: taken back, and no part of the output.
    """

    prompt: int
    generated: int
    sampled: int | None = None
    forced: int | None = None
    erased: int | None = None


class Times(BaseModel):
    """received: in UTC, ISO 8601. The rest: milliseconds."""

    received: str
    first_token_ms: float | None = None
    generation_ms: float
    total_ms: float


class ModUsed(BaseModel):
    """A mod that ran. digest: of its name, entry and files."""

    name: str
    digest: str


class ConstraintUsed(BaseModel):
    """judged_by: who checked the text afterwards, by other means than the masks."""

    kind: str
    digest: str
    judged_by: list[str]


class ModelUsed(BaseModel):
    """path: what the server was started with. revision: a commit, where the weights have one."""

    model_config = ConfigDict(protected_namespaces=())

    name: str
    path: str
    revision: str | None


class Provenance(BaseModel):
    """All that the text came from."""

    model: ModelUsed
    constraint: ConstraintUsed | None
    sampling: dict[str, Any] = Field(description="Parameters as they were used.")
    seed: int | None
    mods: list[ModUsed]
    tokens: Tokens
    times: Times
    metadata: dict[str, Any]


class GenerateReply(BaseModel):
    """An output and where it came from."""

    id: str
    generated_text: str
    generated_code: str = Field(description="The same text, under the name that older clients use.")
    tokens_generated: int
    generation_time_ms: float
    finish_reason: str | None = Field(description="stop, length, tool_calls or abort.")
    constraint_violations: list[Fault] = Field(
        description="What is wrong with the text; empty for one that is whole and right."
    )
    provenance: Provenance
