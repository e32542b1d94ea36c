"""What a request was let in with: who asks, and what they may do. The gate hands it on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from starlette.types import Scope as Connection

from server.keys.key import SCOPES, Key, Scope

LOCAL = "local"
"""The caller of an open server, and of the keys given on the command line."""

_PLACE = "concordance.pass"


class Pass(NamedTuple):
    """key: its id, empty where there is none."""

    user: str
    scopes: frozenset[Scope]
    key: str = ""

    def allows(self, needed: Iterable[Scope]) -> bool:
        return "admin" in self.scopes or self.scopes.issuperset(needed)

    @property
    def is_admin(self) -> bool:
        return "admin" in self.scopes

    @property
    def reads(self) -> str | None:
        """Whose traces the bearer may see; None for everybody's."""
        return None if self.is_admin else self.user


OPEN = Pass(LOCAL, frozenset(SCOPES))
"""Whoever comes where no key is asked for."""

OPERATOR = Pass(LOCAL, frozenset(SCOPES), "operator")
"""Who has the key that the server was started with."""


NOBODY = Pass("", frozenset())
"""Who comes without a key where none is needed."""


def pass_of(key: Key) -> Pass:
    return Pass(key.user, frozenset(key.scopes), key.id)


def hand_on(scope: Connection, held: Pass) -> Connection:
    """The connection as everything behind the gate sees it."""
    return {**scope, _PLACE: held}


def held_by(scope: Connection) -> Pass:
    """What the connection was let in with."""
    held = scope.get(_PLACE, OPEN)
    assert isinstance(held, Pass)
    return held
