"""The lock: everything that a host gives up, in the order in which it can still be given up.

Called once in a host, after the fork and before any author's code. What the host needs is there
by then: its modules are imported, its page is mapped, its listener is open, and arenas come over
the connection as open descriptors. Nothing of the lock can be undone by the process itself.
"""

from __future__ import annotations

import os
from contextlib import suppress

from mods.runtime.host.confine import filter, landlock
from mods.runtime.host.confine.limits import die_first, limit, no_dump
from mods.runtime.host.confine.terms import Terms
from mods.runtime.host.confine.user import become_nobody
from mods.runtime.host.parent import die_with

KEPT = ("LANG", "TZ")
"""The variables of the environment that are left."""


def lock(terms: Terms, parent: int) -> dict[str, str]:
    """Confine this process for good. Returns what is not the same everywhere, in words.

    parent: the pid to die with. Raises OSError if anything that must hold cannot be had: then no
    mod may run here. Mods that are trusted are not confined.
    """
    no_dump()
    if terms.trusted:
        die_first()
        return {}
    for name in [name for name in os.environ if name not in KEPT]:
        del os.environ[name]
    limit(terms.memory)
    user = become_nobody()
    # A change of user makes the kernel forget with whom this process dies.
    die_with(parent)
    found = {"user": user, "landlock": "missing"}
    with suppress(OSError):
        found["landlock"] = f"version {landlock.restrict()}"
    filter.install(os.getpid())
    return found
