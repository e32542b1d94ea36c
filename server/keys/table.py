"""The keys in memory: what every request is checked against, in some two microseconds."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from server.keys.key import Key, digest_of


class KeyTable:
    """Every key that is known, revoked ones too.

    Only grows: keys are added and revoked, never taken out and never made valid again. So what is
    known here and what is kept elsewhere can be brought together in any order.
    """

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._keys: dict[str, Key] = {}
        self._by_digest: dict[str, Key] = {}
        self.add(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def all(self) -> list[Key]:
        """The oldest first."""
        return sorted(self._keys.values(), key=lambda key: (key.created_at, key.id))

    @property
    def any_live(self) -> bool:
        return any(key.live for key in self._keys.values())

    def get(self, id: str) -> Key | None:
        return self._keys.get(id)

    def add(self, keys: Iterable[Key]) -> bool:
        """Take these in, and what was revoked of those that are here. Returns whether that
        changed anything."""
        changed = False
        for key in keys:
            known = self._keys.get(key.id)
            if known is None or (known.live and not key.live):
                self._keys[key.id] = self._by_digest[key.digest] = key
                changed = True
        return changed

    def check(self, secret: str) -> Key | None:
        """The live key of this secret."""
        digest = digest_of(secret)
        key = self._by_digest.get(digest)
        # The dictionary compares hashes of what nobody can choose; the rest takes constant time.
        if key is None or not hmac.compare_digest(key.digest, digest):
            return None
        return key if key.live else None
