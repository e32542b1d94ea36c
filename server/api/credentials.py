"""Which key a request came with: where clients put it, and where browsers do.

A browser that opens the page can send no key of its own; it asks its person for a name and a
password, and the password is the key. From then on it sends both with whatever goes to the server,
so they count only where no page of another site is behind the request.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import urlsplit

from starlette.datastructures import Headers

CHALLENGE = 'Basic realm="Concordance: the password is your API key", charset="UTF-8"'


def secret_in(headers: Headers) -> str:
    """The key that a request came with; empty if none."""
    # The second is what clients of the messages route send.
    for name in ("x-user-api-key", "x-api-key"):
        given = headers.get(name, "").strip()
        if given:
            return given
    scheme, _, secret = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "basic":
        return _password(secret.strip()) if _comes_from_here(headers) else ""
    return secret.strip() if scheme.lower() == "bearer" else ""


def _password(given: str) -> str:
    """The password, or the name where a person put the key there."""
    try:
        name, _, password = base64.b64decode(given, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return (password or name).strip()


def _comes_from_here(headers: Headers) -> bool:
    """Whether a browser says, or does not deny, that no page of another site sent the request.

    A link may lead here from anywhere; a form that another page sends names its origin.
    """
    followed_a_link = headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not followed_a_link:
        return False
    host = headers.get("host", "").lower()
    return all(_place(origin) == host for origin in headers.getlist("origin"))


def _place(origin: str) -> str:
    """Host and port of an origin, as the Host header has them; empty for none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
