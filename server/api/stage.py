"""One request with mods, asked from within: what a dry run does on the server's own model.

It takes the way of every other request, through vLLM's routes and `ModEngine`, so it does what a
client's would. Only the mods' process is its own, and ends with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from mods.runtime.decisions import Usage
from mods.runtime.host.pool import HostPool
from mods.runtime.package import Package
from server.api.entrance import asked_for, serve_call
from server.api.shapes import shape_of
from server.engine.call import Call
from server.mods.performance import Performance, RefusedError
from server.traces.asked import Asked, current_asked

DRY_RUN = "/v1/mods/dry-run"
"""The endpoint that the trace names."""
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


class Stage:
    """Where mods perform. app: vLLM's own, without our guard: whoever asks was let in already."""

    def __init__(
        self, app: ASGIApp, pool: HostPool, served_names: Callable[[], Iterable[str]]
    ) -> None:
        self._app, self._pool, self._served_names = app, pool, served_names

    async def perform(
        self,
        packages: Sequence[Package],
        shared: Mapping[str, str],
        body: dict[str, Any],
        caller: str,
    ) -> Performance:
        """See `Perform`."""
        path = COMPLETIONS if "prompt" in body else CHAT
        body = {**body, "model": self._model(body.get("model"))}
        asked = Asked(DRY_RUN, caller, json.dumps(body).encode())
        async with self._pool.alone(packages, shared) as host:
            call = Call(
                mods=list(packages),
                host=host,
                wants_record=True,
                **asked_for(body),
            )
            answer = await self._ask(path, body, call, asked)
        return performance_of(answer, call)

    def _model(self, wanted: str | None) -> str:
        served = list(self._served_names())
        if wanted is not None and wanted not in served:
            raise RefusedError(404, f"no model {wanted!r:.80}; there are {', '.join(served)}")
        return wanted or served[0]

    async def _ask(
        self, path: str, body: dict[str, Any], call: Call, asked: Asked
    ) -> httpx.Response:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            token = current_asked.set(asked)
            try:
                await serve_call(self._app, scope, receive, send, call, shape_of(path, body))
            finally:
                current_asked.reset(token)

        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://inside") as client:
            return await client.post(path, json=body, timeout=None)


def performance_of(answer: httpx.Response, call: Call) -> Performance:
    """What came of it. Raises `RefusedError` if no mod was to blame for an error."""
    if call.failure is not None:
        failure = call.failure
        return Performance(
            text=None,
            finish_reason="error",
            usage=failure.usage or Usage(),
            record=call.failed_record or {},
            status=failure.status,
            message=failure.message,
        )
    if answer.status_code >= 400 or 0 not in call.choices:
        raise RefusedError(max(400, answer.status_code), _complaint(answer))
    chunks = _chunks(answer)
    choices = [choice for chunk in chunks for choice in chunk.get("choices") or ()]
    shown = [_text(choice) for choice in choices]
    reasons = [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
    done = call.choices[0]
    return Performance(
        text="".join(shown),
        finish_reason=str(reasons[-1]) if reasons else "",
        usage=done.usage,
        record=done.record or {},
        tool_calls=done.tool_calls or (),
        shown=[text for text in shown if text] if _streamed(answer) else (),
    )


def _streamed(answer: httpx.Response) -> bool:
    return str(answer.headers.get("content-type", "")).startswith("text/event-stream")


def _chunks(answer: httpx.Response) -> list[dict[str, Any]]:
    """The answer, or the events of a stream."""
    if not _streamed(answer):
        return [answer.json()]
    data = [
        line.removeprefix("data: ") for line in answer.text.splitlines() if line[:6] == "data: "
    ]
    return [json.loads(each) for each in data if each != "[DONE]"]


def _text(choice: Mapping[str, Any]) -> str:
    """A choice's text, in a chat or in a completion, whole or a piece."""
    said = choice.get("message") or choice.get("delta") or {}
    return str(said.get("content") or choice.get("text") or "")


def _complaint(answer: httpx.Response) -> str:
    try:
        error = answer.json()["error"]
        return str(error["message"])
    except (ValueError, KeyError, TypeError):
        return f"the model answered {answer.status_code} {answer.reason_phrase}"
