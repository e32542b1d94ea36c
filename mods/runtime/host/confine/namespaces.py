"""Namespaces: the zygote leaves the server's network, and its hosts are born without one.

Once, for the zygote: its sockets lie in a folder, and paths lead from one network to another. Only
root may leave without a namespace of users, which would give new powers before it takes any; so
for others this layer is missing, and the filter of system calls stands alone.
"""

from __future__ import annotations

from mods.runtime.host.confine.kernel import unshare

KINDS = {"network": 0x40000000, "ipc": 0x08000000, "names": 0x04000000}
"""Flags of unshare(2): networks, System V objects and message queues, the machine's name."""


def leave() -> list[str]:
    """Leave what can be left. Returns which kinds."""
    left = []
    for kind, flag in KINDS.items():
        try:
            unshare(flag)
        except OSError:
            continue
        left.append(kind)
    return left
