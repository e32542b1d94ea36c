"""What goes over the wire at `POST /v1/mods/{name}/dry-run`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mods.runtime.host.hearsay import plain
from mods.runtime.package import Package
from mods.runtime.rehearsal import MAX_TOKENS, Broken, Rehearsal, Scene
from server.mods.told import OutputToken, Print, output_tokens, printed

MAX_TEXT = 512
"""Characters of a prompt, and of what the scripted model is to write."""


class DryRun(BaseModel):
    """What is to be rehearsed. Everything may be left out."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"prompt": "Hi", "text": "Well! Yes!"}]}
    )

    prompt: str = Field("Hi", min_length=1, max_length=MAX_TEXT, description="The request's text.")
    text: str | None = Field(
        None, max_length=MAX_TEXT, description="What the model writes; null for letters at random."
    )
    max_tokens: int = Field(64, ge=1, le=MAX_TOKENS)
    messages: list[dict[str, Any]] = Field(
        default_factory=list, max_length=64, description="The conversation; by default the prompt."
    )
    laws: bool = Field(True, description="Whether to check the laws, too.")

    def scene(self) -> Scene:
        return Scene(self.prompt, self.text, self.max_tokens, self.messages, self.laws)


class Used(BaseModel):
    """A mod of the chain."""

    name: str
    digest: str


class BrokenLaw(BaseModel):
    """story: what the mod was told and answered, line by line."""

    law: int
    what: str
    story: list[str]


class Laws(BaseModel):
    """runs, calls: how much was checked. acted: how often each mod did something, by what it did.

    complete: false if the time was over before all runs were made.
    """

    checked: bool
    runs: int
    calls: int
    acted: dict[str, int]
    complete: bool
    broken: BrokenLaw | None


class DryRunReply(BaseModel):
    """What came of it. status, message: what a client would have been answered."""

    object: Literal["mod.dry_run"] = "mod.dry_run"
    mods: list[Used]
    text: str
    tokens: list[OutputToken]
    finish_reason: str
    status: int
    message: str
    usage: dict[str, int]
    actions: list[dict[str, Any]] = Field(description="Each with its step, event and position.")
    prints: list[Print]
    failures: list[dict[str, Any]]
    laws: Laws


def reply_of(packages: Sequence[Package], scene: Scene, came: Rehearsal) -> DryRunReply:
    """What a host says of itself is a stranger's word: texts are made fit for a terminal."""
    return DryRunReply(
        mods=[Used(name=package.name, digest=package.digest) for package in packages],
        text="".join(piece.text for piece in came.tokens),
        tokens=output_tokens(came.tokens),
        finish_reason=came.reason,
        status=came.status,
        message=plain(came.message),
        usage={
            "sampled_tokens": came.usage.sampled,
            "forced_tokens": came.usage.forced,
            "erased_tokens": came.usage.erased,
        },
        actions=came.actions,
        prints=printed(came.prints),
        failures=came.failures,
        laws=Laws(
            checked=scene.laws,
            runs=came.runs,
            calls=came.calls,
            acted=came.acted,
            complete=came.complete,
            broken=None if came.broken is None else _broken(came.broken),
        ),
    )


def _broken(broken: Broken) -> BrokenLaw:
    story = [plain(line) for line in broken.story]
    return BrokenLaw(law=broken.law, what=plain(broken.what), story=story)
