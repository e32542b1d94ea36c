"""What goes over the wire at `/v1/mods` and `/sdk`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from server.mods.caller import BUILT_IN, EVERYBODY
from server.mods.registry import RegisteredMod

_EXAMPLE = """from mods.sdk import mod, Added

@mod
def shout(event, actions, tokenizer):
    if isinstance(event, Added) and not event.forced:
        return actions.force_tokens("!")
"""


class ModUpload(BaseModel):
    """A mod: exactly one of `source`, `files` (or `bundle`) and `import_path`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "shout", "source": _EXAMPLE}]}
    )

    name: str | None = Field(
        None,
        description="How requests name it, behind the model: `<model>/<name>`. 1 to 64 letters,"
        " digits, `_`, `.` or `-`. Defaults to the name in `@mod(name=…)`, then the function's.",
    )
    description: str | None = Field(None, description="Defaults to the function's docstring.")
    language: str | None = Field(None, description="`python`.")
    source: str | None = Field(None, description="Python source, for a mod of one file.")
    module: str | None = Field(None, description="What that file is called, without `.py`.")
    files: dict[str, str] | None = Field(
        None,
        description="Relative path to Python source, for a mod of several files, which may import"
        " each other. At most 64 files and 1 MiB.",
    )
    bundle: dict[str, str] | None = Field(None, description="Another name for `files`.")
    import_path: str | None = Field(
        None, description="`pkg.module` or `pkg.module:function`, installed on the server."
    )
    entrypoint: str | None = Field(
        None,
        description="`function` or `module:function`. Needed only if more than one is marked"
        " with `@mod`.",
    )


class SharedUpload(BaseModel):
    """Helper modules that all your mods may import by name: `name` and `source`, or `files`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "helpers", "source": "X = 1\n"}]}
    )

    name: str | None = Field(None, description="The module's name, for example `helpers`.")
    source: str | None = Field(None, description="Its Python source.")
    files: dict[str, str] | None = Field(None, description="Relative path to Python source.")


class File(BaseModel):
    """One file. size: bytes of UTF-8."""

    path: str
    size: int
    source: str | None = None


class Mod(BaseModel):
    """A mod that requests can name."""

    object: Literal["mod"] = "mod"
    name: str
    description: str
    entry: str = Field(description="`module:function`.")
    digest: str = Field(description="sha256 over name, entry and files.")
    events: list[str] = Field(description="The events at which it is called.")
    reach: int | None = Field(
        description="How many tokens it may take back; null is no bound, and holds all text."
    )
    logits: bool = Field(description="Whether it reads logits.")
    confidence: bool = Field(description="Whether it asks how sure the model is.")
    on_error: str = Field(description="`fail` or `ignore`.")
    deadline: float | None = Field(description="Seconds one wait may take; null is the server's.")
    created: int = Field(description="Seconds since the epoch.")
    shared: bool = Field(description="Whether it is for everybody, from the server's start on.")
    built_in: bool = Field(description="Whether it is a stock mod, which came with the server.")
    set_aside: str | None = Field(
        description="Why the mod may not run: its process fell again and again. Null if it may."
    )
    files: list[File]


class RegisteredReply(Mod):
    """The mod as it was registered."""

    replaced: bool = Field(description="Whether it took the place of an earlier one.")


class ModList(BaseModel):
    """All mods that the caller may name."""

    object: Literal["list"] = "list"
    data: list[Mod]


class Deleted(BaseModel):
    """What was deleted."""

    object: Literal["mod"] = "mod"
    name: str
    deleted: Literal[True] = True


class SharedList(BaseModel):
    """The caller's helper modules."""

    object: Literal["list"] = "list"
    data: list[File]


class Error(BaseModel):
    """What went wrong. param: the field at fault. file, line: where in the mod."""

    message: str
    type: str
    param: str | None = None
    code: int
    file: str | None = None
    line: int | None = None


class ErrorReply(BaseModel):
    """An error, in OpenAI's shape."""

    error: Error


def files_of(files: dict[str, str], source: bool = False) -> list[File]:
    return [
        File(path=path, size=len(text.encode()), source=text if source else None)
        for path, text in files.items()
    ]


def mod_of(registered: RegisteredMod, set_aside: str | None, source: bool = False) -> Mod:
    package, traits = registered.package, registered.traits
    return Mod(
        name=package.name,
        description=package.description,
        entry=package.entry,
        digest=package.digest,
        events=sorted(traits.events),
        reach=traits.reach,
        logits=traits.logits,
        confidence=traits.confidence,
        on_error=traits.on_error,
        deadline=traits.deadline,
        created=int(registered.created),
        shared=registered.owner in (EVERYBODY, BUILT_IN),
        built_in=registered.owner == BUILT_IN,
        set_aside=set_aside,
        files=files_of(package.files, source),
    )
