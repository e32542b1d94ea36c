"""`/healthz`: whether the engine lives and moves, with the reason where it does not."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from vllm.v1.engine.exceptions import EngineDeadError

router = APIRouter()


@router.get("/healthz")
async def healthz(request: Request) -> JSONResponse:
    """200 `{"status": "ok"}`, or 503 with the reason."""
    try:
        await request.app.state.engine_client.check_health()
    except EngineDeadError as error:
        reason = str(error.__cause__ or (error.args[-1] if error.args else error))
        return JSONResponse({"status": "unhealthy", "reason": reason}, status_code=503)
    models = [model.name for model in request.app.state.openai_serving_models.base_model_paths]
    return JSONResponse({"status": "ok", "models": models})
