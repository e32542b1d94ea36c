"""Every route of the server, by everybody who might try it, in every spelling: as intended.

The routes are the real application's; what they would do is not reached. What comes through the
gate is answered with a status of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.routing import Match
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from server.api.doors import NEEDED, UNLOCKED, Doors, needed_by
from server.keys.key import SCOPES
from tests.server.api.gates import THROUGH, Keys, client_of, gate_before

ONLY = {scope: f"only-{scope}" for scope in SCOPES}
"""Users with a single scope."""
ALL_BUT = {scope: f"all-but-{scope}" for scope in ("infer", "mods", "traces")}
"""Users with all ordinary scopes but one."""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    keys = Keys(tmp_path_factory.mktemp("home"))
    for held, user in ONLY.items():
        keys.add(user, held)
    for scope, user in ALL_BUT.items():
        keys.add(user, *({"infer", "mods", "traces"} - {scope}))
    keys.add("gone", *SCOPES)
    keys.file.add([key.revoked() for key in keys.file.read() if key.user == "gone"])
    return keys


def routes_of(app: Any) -> list[tuple[str, str]]:
    """Method and path, with something in the place of each parameter."""
    found = []
    for route in app.routes:
        path = re.sub(r"\{[^}]+\}", "7", route.path)
        methods = sorted(getattr(route, "methods", None) or {"GET", "WEBSOCKET"})
        kinds = ["WEBSOCKET"] if type(route).__name__.endswith("WebSocketRoute") else methods
        if type(route).__name__ == "Mount":
            kinds, path = ["GET", "POST"], path + "/below"
        found += [(kind, path) for kind in kinds]
    return found


def intended(app: Any, user: str, path: str) -> set[int]:
    """The statuses that are as intended."""
    templates = [route.path for route in app.routes if route.path_regex.match(path)]
    if templates and all(template in UNLOCKED for template in templates):
        return {THROUGH}
    if user in ("nobody", "wrong", "gone"):
        return {401}
    needed = {scope for template in templates for scope in needed_by(template) or ()}
    scopes: set[str] = {scope for scope in SCOPES if user == ONLY[scope]}
    if user in ALL_BUT.values():
        scopes = {scope for scope, name in ALL_BUT.items() if name != user}
    return {THROUGH} if "admin" in scopes or needed <= scopes else {403}


def headers_of(keys: Keys, user: str) -> dict[str, str]:
    if user == "nobody":
        return {}
    return {"authorization": "Bearer ck_wrong"} if user == "wrong" else keys.headers(user)


EVERYBODY = ("nobody", "wrong", "gone", *ONLY.values(), *ALL_BUT.values())


async def test_every_route_lets_in_whom_it_should(whole_app: Any, keys: Keys) -> None:
    gate = gate_before(whole_app, keys.home)
    answered = Counter[int]()
    async with client_of(gate, "odd.example.org") as client:
        for method, path in routes_of(whole_app):
            if method == "WEBSOCKET":
                continue
            for user in EVERYBODY:
                answer = await client.request(method, path, headers=headers_of(keys, user))
                assert {answer.status_code} == intended(whole_app, user, path), (
                    method, path, user,
                )  # fmt: skip
                answered[answer.status_code] += 1
    assert min(answered[status] for status in (THROUGH, 401, 403)) > 100


def test_every_socket_lets_in_whom_it_should(whole_app: Any, keys: Keys) -> None:
    client = TestClient(gate_before(whole_app, keys.home))
    sockets = [path for method, path in routes_of(whole_app) if method == "WEBSOCKET"]
    assert sockets
    for path in sockets:
        for user in EVERYBODY:
            try:
                with client.websocket_connect(path, headers=headers_of(keys, user)):
                    status = THROUGH
            except WebSocketDisconnect:
                status = 403
            assert (status == THROUGH) == (THROUGH in intended(whole_app, user, path))


def test_every_route_is_listed_and_every_listed_one_exists(whole_app: Any) -> None:
    """A new route is for administrators until it stands in the list."""
    there = {route.path for route in whole_app.routes}
    assert there - {*NEEDED, *UNLOCKED} == set()
    assert {*NEEDED, *UNLOCKED} - there == set()


RULES = (
    (r"/(health|healthz|ping)", None),
    (r"/|/requests.*|/compare.*|/playground|/mods.*|/overview|/assets/.*", ""),
    (r"/(docs.*|redoc|openapi\.json|metrics|load|version|v1/models|v1/limits)", ""),
    (r"/v1/mods/(.*/)?dry-run", "infer mods"),
    (r"/v1/mods.*|/sdk", "mods"),
    (r"/logs/.*/replay", "infer traces"),
    (r"/logs.*|/v1/ingest", "traces"),
    (r".*abort_requests|/v1/responses/\{.*", "admin"),
    (r"/v1/(chat/completions|completions|messages|responses|systemone).*", "infer"),
    (
        r"/inference/v1/generate|/invocations|/generat.*|/(de)?tokenize|/pieces|/validate_.*",
        "infer",
    ),
    (r".*", "admin"),
)
"""What was meant, in other words than the list's. The first that fits counts."""


def test_the_list_says_what_was_meant(whole_app: Any) -> None:
    for route in whole_app.routes:
        meant = next(scopes for rule, scopes in RULES if re.fullmatch(rule, route.path))
        needed = needed_by(route.path)
        said = None if needed is None else " ".join(sorted(needed))
        assert said == meant, route.path


def test_a_route_that_is_not_listed_is_for_administrators() -> None:
    assert needed_by("/anything/else") == frozenset(["admin"])


ODD = (
    lambda path: path + "/",
    lambda path: "/" + path,
    lambda path: path.replace("/", "//"),
    lambda path: path.upper(),
    lambda path: path.title(),
    lambda path: "/." + path,
    lambda path: "/x/.." + path,
    lambda path: path + "/..",
    lambda path: path + "%00",
    lambda path: path + "%0a",
    lambda path: path + ";x=1",
    lambda path: path + "?health",
    lambda path: path + "#/health",
    lambda path: "/health" + path,
    lambda path: "/health/.." + path,
    lambda path: "/health%2F.." + path,
    lambda path: "/health;" + path,
    lambda path: quote(path, safe=""),
    lambda path: "/" + "".join(f"%{ord(each):02x}" for each in path[1:]),
    lambda path: "/" + "".join(f"%25{ord(each):02x}" for each in path[1:]),
    lambda path: path.replace("/", "%2f"),
    lambda path: path.replace("/", "\\"),
    lambda path: path.replace("o", "%ef%bd%8f"),
    lambda path: "http://127.0.0.1/health" + path,
)
"""Other spellings of a path, as they go over the wire."""


def scope_of(method: str, wire: str) -> dict[str, Any]:
    """What the web server makes of a request line."""
    from urllib.parse import unquote

    raw = wire.partition("#")[0]
    path, _, query = raw.partition("?")
    return {
        "type": "http", "method": method, "path": unquote(path), "raw_path": path.encode(),
        "query_string": query.encode(), "root_path": "", "headers": [], "http_version": "1.1",
        "scheme": "http", "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 1),
    }  # fmt: skip


async def asked(gate: Any, scope: dict[str, Any]) -> int:
    """The status that a request gets."""
    statuses = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    await gate(scope, receive, send)
    return int(statuses[0])


def leads_to(app: Any, scope: dict[str, Any]) -> list[str]:
    """The routes that the application itself would take."""
    return [route.path for route in app.routes if route.matches(dict(scope))[0] != Match.NONE]


async def test_no_spelling_of_a_path_gets_more_than_the_path(whole_app: Any, keys: Keys) -> None:
    gate = gate_before(whole_app, keys.home)
    tried = 0
    for method, plain in routes_of(whole_app):
        for odd in ODD:
            scope = scope_of("GET" if method == "WEBSOCKET" else method, odd(plain))
            reached = set(leads_to(whole_app, scope))
            for user in ("nobody", "only-infer", "only-mods", "only-traces"):
                headers = [(k.encode(), v.encode()) for k, v in headers_of(keys, user).items()]
                status = await asked(gate, {**scope, "headers": headers})
                held = user.removeprefix("only-")
                locked = reached - set(UNLOCKED) or (set() if reached else {"nowhere"})
                if user == "nobody":
                    assert (status == 401) == bool(locked), (odd(plain), status)
                else:
                    needed = {scope for each in locked & set(NEEDED) for scope in NEEDED[each]}
                    assert status == (THROUGH if needed <= {held} else 403), (odd(plain), user)
                tried += 1
    assert tried > 5_000


OPEN = {re.sub(r"\{[^}]+\}", "7", path) for path in UNLOCKED}
"""The paths, with something in the place of each parameter."""

HOSTS = ("", "health", "localhost", "127.0.0.1:8000", "example.org/health", "a b", "\xff", "[", "@")


async def test_no_host_header_gets_anybody_in(whole_app: Any, keys: Keys) -> None:
    gate = gate_before(whole_app, keys.home)
    for method, path in routes_of(whole_app):
        if path in OPEN or method == "WEBSOCKET":
            continue
        for host in HOSTS:
            named = [(b"host", host.encode("latin-1")), (b"x-forwarded-host", b"localhost")]
            forwarded = [(b"x-original-url", b"/health"), (b"x-forwarded-for", b"127.0.0.1")]
            scope = {**scope_of(method, path), "headers": named + forwarded}
            assert await asked(gate, scope) == 401, (path, host)


async def test_an_open_server_answers_to_names_of_this_machine_only(
    whole_app: Any, tmp_path: Path
) -> None:
    gate = gate_before(whole_app, tmp_path)
    for method, path in routes_of(whole_app):
        if path in OPEN or method == "WEBSOCKET":
            continue
        for host in HOSTS:
            scope = {**scope_of(method, path), "headers": [(b"host", host.encode("latin-1"))]}
            nearby = host in ("localhost", "127.0.0.1:8000")
            assert await asked(gate, scope) == (THROUGH if nearby else 403), (path, host)


def test_other_sites_are_allowed_nothing_unless_the_operator_says_so(whole_app: Any) -> None:
    (cors,) = [
        each.kwargs for each in whole_app.user_middleware if each.cls.__name__ == "CORSMiddleware"
    ]
    assert cors["allow_origins"] == []
    assert not cors["allow_credentials"]


ENDS = ["/", "//", ".", "..", ";", "%2f", "%00", "%0a", "\n", "a", "7"]
NAMES = ["v1", "mods", "logs", "health", "ping", "metrics", "add_user", "completions", "stream"]
pieces = st.sampled_from([*ENDS, *NAMES])


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces, max_size=9).map(lambda parts: "/" + "".join(parts)), st.booleans())
def test_whatever_a_path_is_it_needs_all_that_its_routes_need(
    whole_app: Any, path: str, post: bool
) -> None:
    scope = scope_of("POST" if post else "GET", path)
    reached = leads_to(whole_app, scope)
    given_scopes = Doors(whole_app).needed(scope["path"])
    for template in reached:
        needed = needed_by(template)
        assert needed is None or (given_scopes is not None and needed <= given_scopes)
    assert reached or given_scopes == frozenset()


async def test_a_root_path_is_no_way_around(keys: Keys) -> None:
    from fastapi import FastAPI

    async def route() -> dict[str, str]:
        return {}

    app = FastAPI(root_path="/api")
    for path in ("/health", "/v1/mods", "/api/health"):
        app.add_api_route(path, route, methods=["GET"])
    gate = gate_before(app, keys.home, app)
    async with client_of(gate) as client:
        statuses = {
            path: (await client.get(path)).status_code
            for path in ("/health", "/api/health", "/v1/mods", "/api/v1/mods", "/api/api/health")
        }
    assert statuses == {
        "/health": 200, "/api/health": 200, "/v1/mods": 401, "/api/v1/mods": 401,
        "/api/api/health": 401,
    }  # fmt: skip


def test_httpx_is_asked_nothing_that_it_would_tidy_up() -> None:
    """Why requests of odd spelling are made by hand here."""
    assert httpx.URL("http://a/x/../y").path == "/y"
