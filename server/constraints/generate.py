"""`POST /generate` and `/generate/stream`: text under a constraint, with all that it came from."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from vllm.exceptions import GracefulHTTPError, VLLMClientError
from vllm.sampling_params import RequestOutputKind

from mods.sdk.errors import ModError
from server.api.errors import error_body
from server.api.gone import unless_gone
from server.constraints.errors import ConstraintRoute, content_of
from server.constraints.generate_models import GenerateReply, GenerateRequest
from server.constraints.generation import Generation
from server.constraints.routes import admission_of
from server.mods.caller import caller_of

router = APIRouter(tags=["generate"], route_class=ConstraintRoute)

Caller = Annotated[str, Depends(caller_of)]


class UnknownModelError(ModError):
    """The request names a model that is not served."""

    status = 404
    type = "NotFoundError"


def mount_generate(app: FastAPI) -> None:
    """Serve these routes; `mount_constraints` must have been called."""
    app.include_router(router)


@router.post("/generate")
async def generate(given: GenerateRequest, request: Request, caller: Caller) -> GenerateReply:
    """Generate, and answer once all is there."""
    generation = _generation(given, request)
    await generation.admit(caller)
    return await unless_gone(request, _whole(generation, caller))


@router.post("/generate/stream", response_class=StreamingResponse)
async def generate_stream(
    given: GenerateRequest, request: Request, caller: Caller
) -> StreamingResponse:
    """Generate, and tell the text as it comes, in server-sent events.

    Each has a `text`; the last one is the answer of `/generate`, or an event named `error`.
    """
    generation = _generation(given, request)
    await generation.admit(caller)
    return StreamingResponse(_events(generation, caller), media_type="text/event-stream")


def _generation(given: GenerateRequest, request: Request) -> Generation:
    state = request.app.state
    served = [model.name for model in state.openai_serving_models.base_model_paths]
    if given.model is not None and given.model not in served:
        raise UnknownModelError(f"no model {given.model!r:.80}; there are {', '.join(served)}")
    return Generation(state.engine_client, admission_of(request), given, given.model or served[0])


async def _whole(generation: Generation, caller: str) -> GenerateReply:
    async with aclosing(generation.deltas(RequestOutputKind.FINAL_ONLY)) as deltas:
        async for _ in deltas:
            pass
    return await generation.reply(caller)


async def _events(generation: Generation, caller: str) -> AsyncGenerator[str, None]:
    """A stream has begun, so whatever goes wrong is an event in it."""
    try:
        async with aclosing(generation.deltas(RequestOutputKind.DELTA)) as deltas:
            async for text in deltas:
                yield _event({"text": text, "tokens_generated": generation.progress.tokens})
        yield _event((await generation.reply(caller)).model_dump())
    except (ModError, GracefulHTTPError, VLLMClientError) as error:
        yield _event(_content(error), "error")
    yield "data: [DONE]\n\n"


def _content(error: ModError | GracefulHTTPError | VLLMClientError) -> dict[str, Any]:
    if isinstance(error, ModError):
        return content_of(error)
    status = int(error.http_status) if isinstance(error, GracefulHTTPError) else 400
    return error_body(status, "BadRequestError" if status == 400 else "mod_error", str(error))


def _event(content: dict[str, Any], name: str | None = None) -> str:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(content, ensure_ascii=False)}\n\n"
