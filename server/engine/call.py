"""One HTTP request with mods: what came in with it, and what its sessions found out.

The way in makes it, `ModEngine.generate` finds it by context, the way out reads it. It never
travels through vLLM's own request objects, so no client can forge it.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from mods.runtime.decisions import Fail, Usage
from mods.runtime.host.client import Host
from mods.runtime.package import Package
from server.engine.local import LocalHost


@dataclass
class Choice:
    """What the way out must know of one finished choice. record: as the host gave it."""

    usage: Usage
    tool_calls: list[dict[str, Any]] | None = None
    record: dict[str, Any] | None = None


@dataclass(frozen=True)
class Removed:
    """Text that a stream showed and that was taken back since."""

    index: int
    text: str
    tokens: int


@dataclass
class Call:
    """One HTTP request with mods.

    show_at_once: the client prefers tokens at once plus `removed` events. wants_every_logprob: the
    route cannot print an absent one. wants_record: the client wants to be told token by token what
    the mods did. choices: by index in the response. failed_record: of the session that failed,
    where the client wants records.
    """

    mods: list[Package]
    host: Host | LocalHost
    conversation: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    response_format: dict[str, Any] | None = None
    show_at_once: bool = False
    wants_every_logprob: bool = False
    wants_record: bool = False
    prompts: int = 0
    choices: dict[int, Choice] = field(default_factory=dict)
    failure: Fail | None = None
    failed_record: dict[str, Any] | None = None
    removed: list[Removed] = field(default_factory=list)

    def usage(self) -> Usage:
        """Tokens by origin, over all choices."""
        total = Usage()
        for choice in self.choices.values():
            total.sampled += choice.usage.sampled
            total.forced += choice.usage.forced
            total.erased += choice.usage.erased
        return total


current_call: ContextVar[Call | None] = ContextVar("concordance_call", default=None)
"""The call that the running task serves, None for a request without mods."""
