"""On which terms hosts run: decided once, by the server's settings."""

from __future__ import annotations

import msgspec

DEFAULT_IMPORTS = ("stdlib", "numpy")


class Terms(msgspec.Struct, frozen=True):
    """trusted: mods run without a sandbox, as the server's own user. memory: bytes that a host
    may use beyond what it is born with. imports: what mods may import beside the SDK, by
    top-level name; `stdlib` stands for the standard library.
    """

    trusted: bool = False
    memory: int = 512 * 2**20
    imports: tuple[str, ...] = DEFAULT_IMPORTS


CONFINED = Terms()
"""As strangers' mods run."""
