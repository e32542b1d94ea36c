"""The web page, served as it was built, and what it needs that no other route gives.

The built files lie in `server/web/static`, so that no machine needs Node to show them. The page
has addresses of its own (`/requests/…`); each is answered with the same `index.html`.
"""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from server.api.page_paths import ADDRESSES, ASSETS
from server.api.pieces import TokenPieces

BUILT = Path(__file__).parents[1] / "web" / "static"

MAX_PIECES = 20_000

_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)

GUARDED = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
"""Nothing from elsewhere, nothing inline, in nobody's frame."""

_KINDS = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
"""Said here, and not by what the machine knows: browsers run no script of another kind."""

_HASHED = {**GUARDED, "cache-control": "public, max-age=31536000, immutable"}
_FRESH = {**GUARDED, "cache-control": "no-cache"}


class Tokens(BaseModel):
    """Token ids."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"tokens": [1, 2]}]})
    tokens: list[Annotated[int, Field(ge=0)]] = Field(max_length=MAX_PIECES)


class Pieces(BaseModel):
    """What each of them reads as, in the same order."""

    pieces: list[str]


def mount_page(app: FastAPI, known: TokenPieces, built: Path = BUILT) -> None:
    """Serve the page. known: of the model's tokens. Where nothing is built, `/` says so."""
    app.include_router(_routes(known, built))


def _routes(known: TokenPieces, built: Path) -> APIRouter:
    router = APIRouter(tags=["page"])
    assets = _assets(built)

    def index(request: Request) -> Response:
        path = built / "index.html"
        if not path.is_file():
            raise HTTPException(404, "the page is not built: run `npm ci && npm run build` in web/")
        return _file(path, request, _FRESH)

    def asset(name: str, request: Request) -> Response:
        path = assets.get(name)
        if path is None:
            raise HTTPException(404, f"the page has no file {name!r:.80}")
        # A name with a hash is of these very bytes for ever; an icon may change.
        return _file(path, request, _HASHED if path.suffix in (".js", ".css") else _FRESH)

    @router.post("/pieces")
    def pieces(given: Tokens) -> Pieces:
        """The text of each token by itself, for showing tokens one by one."""
        return Pieces(pieces=known.of(given.tokens))

    for address in ADDRESSES:
        router.add_api_route(
            address, index, methods=["GET", "HEAD"], include_in_schema=False, response_model=None
        )
    router.add_api_route(
        f"{ASSETS}{{name}}",
        asset,
        methods=["GET", "HEAD"],
        include_in_schema=False,
        response_model=None,
    )
    return router


def _file(path: Path, request: Request, headers: dict[str, str]) -> Response:
    kind = _KINDS.get(path.suffix, "application/octet-stream")
    headers = {**headers, "vary": "accept-encoding"}
    plain, packed = _contents(path, path.stat().st_mtime_ns)
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(plain, media_type=kind, headers=headers)
    return Response(packed, media_type=kind, headers={**headers, "content-encoding": "gzip"})


@cache
def _contents(path: Path, changed: int) -> tuple[bytes, bytes]:
    """As it is, and compressed: once for each version of a file, all less than a megabyte."""
    plain = path.read_bytes()
    return plain, gzip.compress(plain, mtime=0)


def _assets(built: Path) -> dict[str, Path]:
    """By name. What is asked for is looked up here, never on the disk."""
    folder = built / "assets"
    return {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
