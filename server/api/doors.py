"""Which scopes each route needs. What is not listed needs `admin`; a test holds the list complete.

A path is compared with the very patterns that the application routes by, so no odd spelling can
mean one thing here and another there. Where several routes fit, all their scopes are needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.routing import BaseRoute, compile_path

from server.api.page_paths import ADDRESSES, ASSETS
from server.keys.key import Scope

Needed = frozenset[Scope]

_ANY: Final[tuple[Scope, ...]] = ()
_INFER: Final[tuple[Scope, ...]] = ("infer",)
_MODS: Final[tuple[Scope, ...]] = ("mods",)
_TRACES: Final[tuple[Scope, ...]] = ("traces",)
_ADMIN: Final[tuple[Scope, ...]] = ("admin",)

UNLOCKED = ("/health", "/healthz", "/ping")
"""What answers without a key: whether the server lives."""
PAGE = (*ADDRESSES, f"{ASSETS}{{name}}")

NEEDED: Mapping[str, Sequence[Scope]] = {
    **dict.fromkeys(("/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"), _ANY),
    **dict.fromkeys(PAGE, _ANY),
    **dict.fromkeys(("/metrics", "/load", "/version", "/v1/models", "/v1/limits"), _ANY),
    **dict.fromkeys(
        (
            "/v1/chat/completions",
            "/v1/chat/completions/batch",
            "/v1/chat/completions/render",
            "/v1/chat/completions/derender",
            "/v1/completions",
            "/v1/completions/render",
            "/v1/completions/derender",
            "/v1/responses",
            "/v1/responses/render",
            "/v1/messages",
            "/v1/messages/count_tokens",
            "/v1/messages/render",
            "/v1/systemone",
            "/inference/v1/generate",
            "/invocations",
            "/generative_scoring",
            "/tokenize",
            "/detokenize",
            "/pieces",
            "/generate",
            "/generate/stream",
            "/validate_constraints",
        ),
        _INFER,
    ),
    **dict.fromkeys(("/v1/mods", "/v1/mods/{name}", "/sdk"), _MODS),
    **dict.fromkeys(("/v1/mods/dry-run", "/v1/mods/{name}/dry-run"), ("mods", "infer")),
    **dict.fromkeys(
        (
            "/logs",
            "/logs/stats",
            "/logs/export",
            "/logs/stream",
            "/logs/{request_id:name}",
            "/logs/{request_id:name}/tags",
            "/logs/{request_id:name}/tags/{tag:name}",
            "/logs/{request_id:name}/favourite",
            "/logs/{request_id:name}/notes",
            "/logs/{request_id:name}/notes/{number}",
            "/logs/{a:name}/diff/{b:name}",
            "/v1/ingest",
        ),
        _TRACES,
    ),
    "/logs/{request_id:name}/replay": ("traces", "infer"),
    # These reach other users' requests, or the engine itself.
    **dict.fromkeys(
        (
            "/add_user",
            "/inference/v1/abort_requests",
            "/v1/responses/{response_id}",
            "/v1/responses/{response_id}/cancel",
            "/scale_elastic_ep",
            "/is_scaling_elastic_ep",
            "/kv_event_sources",
        ),
        _ADMIN,
    ),
}
"""By the route's own path: what a key must be for. An empty list: any key."""


class Doors:
    """The routes of one application, with what they need.

    app: has `routes`, and a `root_path` that is no part of theirs.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._count = -1
        self._plain: dict[str, Needed | None] = {}
        self._patterns: list[tuple[Any, Needed | None]] = []
        self._open_ended: list[tuple[Any, Needed | None]] = []

    def needed(self, path: str) -> Needed | None:
        """The scopes for a path; none for a path that leads nowhere; None where no key is needed.

        path: percent-decoded, as in an ASGI scope.
        """
        self._read()
        path = self._below_root(path)
        # A pattern may fit more than the path it was made of: one that ends in a newline, too.
        patterns = self._open_ended if path in self._plain else self._patterns
        fitting = [needed for pattern, needed in patterns if pattern.match(path)]
        if path in self._plain:
            fitting.append(self._plain[path])
        if fitting and all(needed is None for needed in fitting):
            return None
        return frozenset().union(*(needed for needed in fitting if needed is not None))

    def is_page(self, path: str) -> bool:
        """Whether a person's browser asks here for the page, or a file of it."""
        path = self._below_root(path)
        return any(pattern.fullmatch(path) for pattern in _PAGES)

    def _below_root(self, path: str) -> str:
        root: str = (getattr(self._app, "root_path", "") or "").rstrip("/")
        if root and (path == root or path.startswith(root + "/")):
            return path[len(root) :]
        return path

    def _read(self) -> None:
        """Read the routes again if there are more of them."""
        routes: Sequence[BaseRoute] = self._app.routes
        if len(routes) == self._count:
            return
        self._plain, self._patterns, self._open_ended = {}, [], []
        for route in routes:
            path, needed = route.path, needed_by(route.path)  # type: ignore[attr-defined]
            fits = (route.path_regex, needed)  # type: ignore[attr-defined]
            self._patterns.append(fits)
            if "{" in path or not hasattr(route, "endpoint"):
                self._open_ended.append(fits)
            else:
                self._plain[path] = needed
        self._count = len(routes)


_PAGES = [compile_path(address)[0] for address in PAGE]


def needed_by(path: str) -> Needed | None:
    """What a route of this path needs."""
    return None if path in UNLOCKED else frozenset(NEEDED.get(path, _ADMIN))
