"""Whether a request to an open server comes from this machine, and not through a web page.

An open server listens on loopback only. A page in a browser on the same machine could still reach
it: by a name of its own that it has resolved to 127.0.0.1, or over a WebSocket, which browsers let
go anywhere. Both show in the headers.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; a name counts if it is `localhost`."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def is_nearby(headers: Headers, origins: Collection[str] = ()) -> bool:
    """Whether Host, and Origin where there is one, name this machine.

    origins: other pages that the operator allows; `*` for all.
    """
    hosts = headers.getlist("host")
    return (
        len(hosts) == 1
        and is_loopback(_host_in(f"//{hosts[0]}"))
        and all(
            is_loopback(_host_in(page)) or page in origins or "*" in origins
            for page in headers.getlist("origin")
        )
    )


def _host_in(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
