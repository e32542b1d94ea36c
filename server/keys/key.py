"""A key: whose it is and what it may do. What is kept of its secret is a SHA-256, nothing more.

A secret has 256 random bits, so that a fast hash keeps it as well as a slow one would.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

Scope = Literal["infer", "mods", "traces", "admin"]
"""infer: run the model. mods: upload and change one's own mods. traces: read and change one's own
traces. admin: all of it, everybody's traces, and users and keys."""

SCOPES: tuple[Scope, ...] = get_args(Scope)
USUAL: tuple[Scope, ...] = ("infer", "mods", "traces")
"""What a key may do unless somebody says otherwise."""

PREFIX = "ck_"
"""What a secret begins with, so that it is known for one where it should not be."""

_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class BadKeyError(ValueError):
    """A user or scopes that no key can have; the message says what is possible."""


class Key(Struct, frozen=True, kw_only=True):
    """id: names the key where its secret must not be. digest: of the secret, 64 hex digits.

    created_at, revoked_at: UTC, in whole microseconds. A key that was revoked is kept, and never
    becomes valid again.
    """

    id: str
    user: str
    scopes: tuple[Scope, ...]
    digest: str
    created_at: datetime
    revoked_at: datetime | None = None

    @property
    def live(self) -> bool:
        return self.revoked_at is None

    def revoked(self) -> Key:
        """The same key, from now on without use."""
        return self if self.revoked_at else replace(self, revoked_at=datetime.now(UTC))


def new_key(user: str, scopes: Iterable[str] = USUAL) -> tuple[Key, str]:
    """A fresh key and its secret, which is kept nowhere. Raises `BadKeyError`."""
    secret = PREFIX + secrets.token_urlsafe(32)
    key = Key(
        id=secrets.token_hex(6),
        user=check_user(user),
        scopes=check_scopes(scopes),
        digest=digest_of(secret),
        created_at=datetime.now(UTC),
    )
    return key, secret


def digest_of(secret: str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def check_user(user: str) -> str:
    """The user's name, if it is one. Raises `BadKeyError`."""
    if not _USER.fullmatch(user):
        raise BadKeyError(
            f"{user!r:.100} is no user's name: expected a letter or a digit, then up to 63 letters,"
            " digits and . _ @ -"
        )
    return user


def check_scopes(scopes: Iterable[str]) -> tuple[Scope, ...]:
    """The scopes, each once and in the usual order. Raises `BadKeyError`."""
    given = set(scopes)
    unknown = sorted(given - set(SCOPES))
    if unknown or not given:
        raise BadKeyError(
            f"expected scopes out of {', '.join(SCOPES)}, got {', '.join(unknown) or 'none'}"
        )
    return tuple(scope for scope in SCOPES if scope in given)
