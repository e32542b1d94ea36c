"""What a host may not do. Called once in the child, after the fork and before any author's code."""

from __future__ import annotations

import resource


def confine() -> None:
    """Give up what a mod does not need. Everything that a sandbox adds is called from here.

    At this point the host has its socket, its page and its modules; it needs no new file but the
    arenas that the worker announces, no network, and no other process.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
