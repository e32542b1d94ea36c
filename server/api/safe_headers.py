"""Headers that every answer has: what a browser must not do with it."""

from __future__ import annotations

from starlette.types import Message, Send
from starlette.types import Scope as Connection

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

POLICY = b"content-security-policy"

_DATA = b"default-src 'none'; frame-ancestors 'none'"
"""For what is no page: nothing in it may run or be loaded."""
_PAGE = (
    b"default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    b" img-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none';"
    b" form-action 'self'; frame-ancestors 'none'"
)
_DOCS = (
    b"default-src 'none'; script-src 'unsafe-inline' https://cdn.jsdelivr.net; style-src"
    b" 'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com; font-src"
    b" https://fonts.gstatic.com; img-src data: https://fastapi.tiangolo.com; worker-src blob:;"
    b" connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""For FastAPI's own pages, which load their scripts from elsewhere."""
_DOCS_PAGES = ("/docs", "/redoc", "/docs/oauth2-redirect")


def with_safe_headers(scope: Connection, send: Send) -> Send:
    """A `send` that adds them to whatever the application answers."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            names = {name.lower() for name, _ in headers}
            policy = (POLICY, _policy(scope["path"], dict(headers).get(b"content-type", b"")))
            headers += [each for each in (*_ALWAYS, policy) if each[0] not in names]
            message = {**message, "headers": headers}
        await send(message)

    return sending


def _policy(path: str, kind: bytes) -> bytes:
    if not kind.startswith(b"text/html"):
        return _DATA
    return _DOCS if path.endswith(_DOCS_PAGES) else _PAGE
