"""The addresses of the web page. Its files hold no secrets, so they are open where a key is asked:
a person who has none yet must be able to enter it."""

from __future__ import annotations

import re

ASSETS = "/assets/"

ADDRESSES = (
    "/",
    "/requests",
    "/requests/{id}",
    "/compare/{a}/{b}",
    "/playground",
    "/mods",
    "/mods/{name}",
    "/overview",
)
"""Those of `web/src/app/App.tsx`. None of them is an API route."""

_PAGE = re.compile(
    "|".join(re.sub(r"\{\w+\}", "[^/]+", address) for address in [*ADDRESSES, f"{ASSETS}{{name}}"])
)


def is_page(method: str, path: str) -> bool:
    """Whether this asks for the page itself, and for nothing that the server knows."""
    return method in ("GET", "HEAD") and _PAGE.fullmatch(path) is not None
