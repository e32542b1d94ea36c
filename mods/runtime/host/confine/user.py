"""Another user than the server's, where the server is root, and nothing of root's powers."""

from __future__ import annotations

import os

from mods.runtime.host.confine.kernel import give_up_capabilities, prctl

FIRST = 2_000_000_000
"""Added to a host's process id: a user that nobody else is, and that no host shares."""
NOBODY = 65_534
_PR_SET_DUMPABLE = 4


def become_nobody() -> str:
    """Change to a user of this process's own, and give up all capabilities.

    Returns what came of it, in words. Who is not root stays who they are. Raises OSError if
    capabilities cannot be given up.
    """
    found = _change_user() if os.geteuid() == 0 else "the server's, which is not root"
    give_up_capabilities()
    # Others of the same user may not look into this process.
    prctl(_PR_SET_DUMPABLE, 0)
    return found


def _change_user() -> str:
    for user, words in ((FIRST + os.getpid(), "its own"), (NOBODY, "nobody")):
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        except OSError:
            continue
        return words
    return "the server's, root without its powers"
