"""The way in: one ASGI layer that finds the mods a request names, before vLLM sees it.

It reads a JSON body, takes the mods out of `model` and `mods`, resolves them (an unknown one is
a 404 that names those there are), makes sure their host runs, and leaves a `Call` for
`ModEngine.generate` to find. Requests without mods pass with their body as it came.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from mods.runtime.host.pool import HostPool
from mods.sdk.errors import ModError
from server.api.body import replay
from server.api.errors import error_response
from server.api.exit import Exit
from server.api.model_string import split_model
from server.api.required_tools import hold_required_tools
from server.api.shapes import Shape, has_shape, shape_of
from server.api.upfront import Upfront
from server.engine.call import Call, current_call
from server.mods.registry import ModRegistry
from server.traces.asked import LEVELS, Asked, current_asked

_REFUSED = {"use_beam_search": "beam search", "background": "background responses"}

_OURS = ("mods", "stream_removed", "mod_record", "trace")
"""Fields of the body that vLLM does not know."""

_ONLY_TEXT = ("/tokenize", "/count_tokens", "/render", "/derender")
"""Ends of routes that generate nothing: there a mod is looked up, and does not run."""


_CONSTRAINS = (b'"response_format"', b'"structured_outputs"', b'"tool_choice"', b'"format"')
"""What a body contains if it asks for a constraint."""

_NOT_FOR_MODELS = ("/v1/mods", "/sdk", "/v1/ingest", "/logs", "/pieces")
"""Beginnings of routes whose bodies name no mods to run, and may be large."""


class BadRequestError(Exception):
    """The body asks for what is ours in a way that cannot be understood. field: of the body."""

    def __init__(self, message: str, field: str = "mods") -> None:
        super().__init__(message)
        self.field = field


class Entrance:
    """An ASGI application around vLLM's own, whose state and routes it shows as its own."""

    def __init__(
        self,
        app: FastAPI,
        registry: ModRegistry,
        pool: HostPool,
        served_names: Callable[[], Iterable[str]],
        caller_of: Callable[[Request], str],
    ) -> None:
        self._app = app
        self.state, self.routes = app.state, app.routes
        self._registry, self._pool = registry, pool
        self._served_names, self._caller_of = served_names, caller_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _may_name_mods(scope):
            await self._app(scope, receive, send)
            return
        body = await _read_body(receive)
        if body is not None:
            async with AsyncExitStack() as lent:
                await self._serve(scope, body, receive, send, lent)

    async def _serve(
        self, scope: Scope, body: bytes, receive: Receive, send: Send, lent: AsyncExitStack
    ) -> None:
        """Answer a request whose body has come. lent: holds its host until it is answered."""
        if any(mark in body for mark in _CONSTRAINS):
            body, scope, send = _held_to_tools(body), _with_length(scope), Upfront(send)
        try:
            asked, body = _asked(Request(scope), self._caller_of(Request(scope)), body)
            current_asked.set(asked)
            found = _find_mods(body, self._served_names())
            if found is None:
                same = scope if asked.level is None else _with_length(scope)
                await self._app(same, replay(body, receive), send)
                return
            content, base, names = found
            rewritten = _rewritten(content, base)
            if scope["path"].rstrip("/").endswith(_ONLY_TEXT):
                self._registry.resolve(self._caller_of(Request(scope)), names)
                await self._app(_with_length(scope), replay(rewritten, receive), send)
                return
            if not has_shape(scope["path"], content):
                raise BadRequestError(
                    f"{scope['path']} takes no mods; chat completions, completions, responses and"
                    " messages do"
                )
            call = await self._call(Request(scope), content, names, lent)
        except BadRequestError as error:
            await error_response(400, "BadRequestError", str(error), error.field)(
                scope, receive, send
            )
        except ModError as error:
            await error_response(error.status, error.type, str(error), "model")(
                scope, receive, send
            )
        else:
            shape = shape_of(scope["path"], content)
            await serve_call(self._app, scope, replay(rewritten, receive), send, call, shape)

    async def _call(
        self, request: Request, content: dict[str, Any], names: list[str], lent: AsyncExitStack
    ) -> Call:
        caller = self._caller_of(request)
        packages = self._registry.resolve(caller, names)
        host = await lent.enter_async_context(
            self._pool.acquire(caller, packages, self._registry.shared(caller))
        )
        return Call(
            mods=list(packages),
            host=host,
            **asked_for(content),
            show_at_once=content.get("stream_removed", False),
            wants_every_logprob=request.url.path.rstrip("/").endswith("responses"),
            wants_record=content.get("mod_record", False),
        )


async def serve_call(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, call: Call, shape: Shape
) -> None:
    """Let vLLM's application answer a request, as one with this call's mods."""
    token = current_call.set(call)
    way_out = Exit(shape, call, send)
    try:
        await app(_with_length(scope), receive, way_out)
    except Exception:
        if call.failure is None or not way_out.streaming:
            raise
        await way_out.fail()
    finally:
        current_call.reset(token)


def _may_name_mods(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "POST":
        return False
    if scope["path"].startswith(_NOT_FOR_MODELS):
        return False
    kind = next((v for k, v in scope["headers"] if k == b"content-type"), b"application/json")
    return b"json" in kind.lower()


def _asked(request: Request, caller: str, body: bytes) -> tuple[Asked, bytes]:
    """What the trace is to know, and the body as the rest may see it: without `trace`.

    Most bodies name no `trace`, and are not even parsed here.
    """
    chosen = "x-request-id" in request.headers or b'"request_id"' in body
    asked = Asked(request.url.path, caller, body, chosen_id=chosen)
    asked.traceparent = request.headers.get("traceparent", "")
    if b'"trace"' not in body:
        return asked, body
    content = asked.content
    if "trace" not in content:
        return asked, body
    level = content.pop("trace")
    if level not in LEVELS:
        raise BadRequestError(
            f"trace must be one of {', '.join(LEVELS)}, got {level!r:.80}", "trace"
        )
    asked.level = level
    return asked, json.dumps(content).encode()


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body, or None if the client went away."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _with_length(scope: Scope) -> Scope:
    """Without the old length: the body was rewritten."""
    headers = [(k, v) for k, v in scope["headers"] if k != b"content-length"]
    return {**scope, "headers": headers}


def _held_to_tools(body: bytes) -> bytes:
    """The body, in which a tool that must be called is held to its schema."""
    if b'"tool_choice"' not in body:
        return body
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return body  # vLLM says what is wrong with it.
    changed = isinstance(content, dict) and hold_required_tools(content)
    return json.dumps(content).encode() if changed else body


def _find_mods(body: bytes, served: Iterable[str]) -> tuple[dict[str, Any], str, list[str]] | None:
    """The parsed body, the base model and the mods; None if it names no mods (or is no JSON)."""
    if not any(mark in body for mark in (b'"mods"', b"/", b"\\u")):
        return None
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None  # vLLM says what is wrong with it.
    if not isinstance(content, dict):
        return None
    listed = content.get("mods")
    if listed is not None and not _is_names(listed):
        raise BadRequestError(f"mods must be a list of names, got {listed!r:.80}")
    model = content.get("model")
    served = list(served)
    if not model and listed:
        model = content["model"] = served[0]
    split = split_model(model, served) if isinstance(model, str) else None
    if split is None and listed:
        raise BadRequestError(
            f"no model {model!r} is served for the mods; there are {', '.join(served)}"
        )
    if split is None:
        return None
    base, names = split
    names = names + list(listed or ())
    if not names:
        return None
    if not all(names):
        raise BadRequestError(f"the model string {model!r} names an empty mod")
    for name, what in _REFUSED.items():
        if content.get(name):
            raise BadRequestError(f"{what} cannot be combined with mods: leave out one of the two")
    for name in ("stream_removed", "mod_record"):
        if not isinstance(content.get(name, False), bool):
            raise BadRequestError(f"{name} must be true or false, got {content[name]!r:.80}")
    if content.get("mod_record") and content.get("stream"):
        raise BadRequestError("mod_record comes with a whole answer only: leave out stream")
    return content, base, names


def _rewritten(content: dict[str, Any], base: str) -> bytes:
    """The body as vLLM knows it."""
    rest = {k: v for k, v in content.items() if k not in _OURS}
    return json.dumps({**rest, "model": base}).encode()


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def asked_for(content: dict[str, Any]) -> dict[str, Any]:
    """What mods may know of a request: fields of a `Call`."""
    return {
        "conversation": _conversation(content),
        "tools": _dicts(content.get("tools")),
        "response_format": _format(content),
    }


def _conversation(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages, whichever route they came by."""
    given = content.get("messages", content.get("input"))
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    system = content.get("system", content.get("instructions"))
    head = [{"role": "system", "content": system}] if system else []
    return head + _dicts(given)


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _format(content: dict[str, Any]) -> dict[str, Any] | None:
    text = content.get("text")
    nested = text.get("format") if isinstance(text, dict) else None
    given = content.get("response_format") or nested
    return given if isinstance(given, dict) else None
