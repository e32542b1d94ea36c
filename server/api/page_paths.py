"""The addresses of the web page, which its files are served under."""

from __future__ import annotations

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
"""Those of `web/src/app/pages.tsx`. None of them is an API route."""
