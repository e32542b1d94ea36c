"""What is rehearsed, and what comes of it: a mod run against a scripted model, for its author.

Plain data, which travels between processes. `mods.sdk.testing.rehearsal` does the work.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mods.runtime.decisions import Usage

MAX_TOKENS = 512
MAX_ENTRIES = 1000
"""Events, actions, prints and failures of the run that is shown, of each kind."""


class Scene(msgspec.Struct, frozen=True):
    """What is to be rehearsed.

    prompt: the request's text. text: what the model writes; None for letters at random.
    messages: the conversation, for mods that ask for it; by default the prompt. laws: whether to
    judge as well as to show. seconds: after which no further run is begun.
    """

    prompt: str = "Hi"
    text: str | None = None
    max_tokens: int = 64
    messages: list[dict[str, Any]] = []
    laws: bool = True
    seconds: float = 5.0


class Piece(msgspec.Struct, frozen=True):
    """One token of the output. text: what it adds. mod: who forced it, None for a drawn one."""

    id: int
    text: str
    mod: str | None = None


class Broken(msgspec.Struct, frozen=True):
    """A law that does not hold. story: what the mod was told and answered, line by line.

    name: what the law says. script: the request, what the model wrote, and how the engine was.
    """

    law: int
    what: str
    story: list[str]
    name: str = ""
    script: str = ""


class Rehearsal(msgspec.Struct):
    """What came of it.

    tokens to failures: of the one run that is shown. status: the HTTP status that a client would
    have got, with the message. runs, calls: how many runs were judged, and how often handlers were
    called in them. acted: how often each mod answered something else than noop there, by
    `mod: action`. complete: whether all runs were made in time.
    """

    tokens: list[Piece] = []
    reason: str = ""
    status: int = 200
    message: str = ""
    usage: Usage = msgspec.field(default_factory=Usage)
    events: list[dict[str, Any]] = []
    actions: list[dict[str, Any]] = []
    prints: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    runs: int = 0
    calls: int = 0
    acted: dict[str, int] = {}
    broken: Broken | None = None
    complete: bool = True
