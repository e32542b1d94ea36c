"""The addresses of the web page, which its files are served under."""

from __future__ import annotations

ASSETS = "/assets/"

ADDRESSES = (
    "/",
    "/requests",
    "/requests/{id:path}",
    "/compare/{a:path}/{b:path}",
    "/playground",
    "/mods",
    "/mods/{name}",
    "/overview",
)
"""Those of `web/src/app/pages.tsx`. None of them is an API route. A request's id may have a `/`."""
