"""What goes over the wire at `POST /v1/mods/dry-run` and `POST /v1/mods/{name}/dry-run`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mods.runtime.decisions import Usage
from mods.runtime.files import PackageError
from mods.runtime.host.hearsay import plain
from mods.runtime.package import Package
from mods.runtime.rehearsal import MAX_TOKENS, Broken, Rehearsal, Scene
from server.mods.models import ModUpload
from server.mods.performance import Performance
from server.mods.told import OutputToken, Print, ToldRecord, output_tokens, printed, told_record

MAX_TEXT = 512
"""Characters of a prompt, and of what the scripted model is to write, in a rehearsal."""

_SAMPLING = ("model", "max_tokens", "temperature", "top_p", "seed", "stop", "stream")
_SCRIPTED, _REAL = (
    ("text", "laws"),
    ("model", "temperature", "top_p", "seed", "stop", "stream", "raw"),
)


class DryRun(BaseModel):
    """What is to be run. Everything may be left out."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"prompt": "Hi"}, {"scripted": True, "text": "Well! Yes!"}]
        },
    )

    prompt: str = Field("Hi", min_length=1, max_length=65_536, description="The request's text.")
    messages: list[dict[str, Any]] = Field(
        default_factory=list, max_length=64, description="The conversation; by default the prompt."
    )
    model: str | None = Field(None, description="One that is served; by default the first.")
    max_tokens: int = Field(64, ge=1, le=MAX_TOKENS)
    temperature: float | None = Field(None, ge=0, description="By default 0: greedy.")
    top_p: float | None = None
    seed: int | None = None
    stop: list[str] | None = Field(None, max_length=16)
    tools: list[dict[str, Any]] | None = Field(None, max_length=64)
    response_format: dict[str, Any] | None = None
    stream: bool = Field(False, description="Tell, too, which pieces of text a stream shows.")
    raw: bool = Field(False, description="Let the model go on from the prompt: no chat template.")
    scripted: bool = Field(
        False, description="Run on a scripted model instead of the server's, and check the laws."
    )
    text: str | None = Field(
        None,
        max_length=MAX_TEXT,
        description="What the scripted model writes; null for letters at random.",
    )
    laws: bool = Field(True, description="With `scripted`: whether to check the laws, too.")

    def check(self) -> None:
        """Raises `PackageError` (400) for fields that do not go together."""
        for name in _REAL if self.scripted else _SCRIPTED:
            if name in self.model_fields_set:
                needed = "leave out `scripted`" if self.scripted else "add `scripted`: true"
                raise PackageError(f"{name!r} does not go with this model: {needed}", param=name)
        if self.scripted and len(self.prompt) > MAX_TEXT:
            raise PackageError(
                f"the scripted model takes {MAX_TEXT} characters of prompt, got {len(self.prompt)}",
                param="prompt",
            )
        if self.raw and self.messages:
            raise PackageError(
                "a raw prompt has no messages: leave out one of the two", param="raw"
            )

    def scene(self) -> Scene:
        return Scene(self.prompt, self.text, self.max_tokens, self.messages, self.laws)

    def body(self) -> dict[str, Any]:
        """The body of a chat completion, or of a completion for a raw prompt."""
        given = {name: getattr(self, name) for name in _SAMPLING}
        if self.raw:
            given["prompt"] = self.prompt
        else:
            said = [{"role": "user", "content": self.prompt}]
            given |= {"messages": self.messages or said, "tools": self.tools}
        given["response_format"] = self.response_format
        body = {name: value for name, value in given.items() if value is not None}
        return {"temperature": 0.0, **body}


class DryRunUpload(DryRun, ModUpload):
    """A mod that is run and not registered, and what it is to be run on."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"source": "…", "prompt": "Hi", "max_tokens": 32}]},
    )

    def upload(self) -> dict[str, Any]:
        """The part that `POST /v1/mods` takes."""
        given = self.model_dump(exclude_none=True)
        return {name: given[name] for name in ModUpload.model_fields if name in given}


class Used(BaseModel):
    """A mod of the chain."""

    name: str
    digest: str


class BrokenLaw(BaseModel):
    """name: what the law says. script: the request, what the model wrote, and how the engine was.
    story: what the mod was told and answered, line by line.
    """

    law: int
    name: str
    what: str
    script: str
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
    events: list[dict[str, Any]] = Field(description="What the mods were told, in order.")
    actions: list[dict[str, Any]] = Field(description="Each with its step, event and position.")
    prints: list[Print]
    failures: list[dict[str, Any]]
    tool_calls: list[dict[str, Any]] = []
    shown: list[str] | None = Field(
        default=None, description="With `stream`: the pieces of text that it showed."
    )
    laws: Laws | None = Field(default=None, description="With `scripted`.")


def rehearsed(packages: Sequence[Package], scene: Scene, came: Rehearsal) -> DryRunReply:
    """What a host says of itself is a stranger's word: texts are made fit for a terminal."""
    return DryRunReply(
        mods=_used(packages),
        text="".join(piece.text for piece in came.tokens),
        tokens=output_tokens(came.tokens),
        finish_reason=came.reason,
        status=came.status,
        message=plain(came.message),
        usage=_counts(came.usage),
        events=came.events,
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


def performed(packages: Sequence[Package], asked: DryRun, came: Performance) -> DryRunReply:
    """What came of a run on the server's model. The record is a stranger's word here, too."""
    told = ToldRecord.model_validate(told_record(came.record))
    text = came.text if came.text is not None else "".join(token.text for token in told.tokens)
    return DryRunReply(
        mods=_used(packages),
        text=text,
        tokens=told.tokens,
        finish_reason=came.finish_reason,
        status=came.status,
        message=plain(came.message),
        usage=_counts(came.usage),
        events=told.events,
        actions=told.actions,
        prints=told.prints,
        failures=told.failures,
        tool_calls=[dict(call) for call in came.tool_calls],
        shown=list(came.shown) if asked.stream else None,
    )


def _used(packages: Sequence[Package]) -> list[Used]:
    return [Used(name=package.name, digest=package.digest) for package in packages]


def _counts(usage: Usage) -> dict[str, int]:
    return {
        "sampled_tokens": usage.sampled,
        "forced_tokens": usage.forced,
        "erased_tokens": usage.erased,
    }


def _broken(broken: Broken) -> BrokenLaw:
    story = [plain(line) for line in broken.story]
    return BrokenLaw(
        law=broken.law,
        name=plain(broken.name),
        what=plain(broken.what),
        script=plain(broken.script),
        story=story,
    )
