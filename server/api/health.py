"""`/health` and `/healthz`: whether the engine lives and moves, and the reason if it does not."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from vllm.v1.engine.exceptions import EngineDeadError

from server.api.readiness import Readiness

router = APIRouter()


@router.get("/health")
@router.get("/healthz")
async def health(request: Request) -> JSONResponse:
    """200 with what runs, which models, traces and the sandbox; or 503 with the reason."""
    state = request.app.state
    readiness: Readiness = getattr(state, "concordance_readiness", None) or Readiness()
    if readiness.state != "serving":
        away = {"status": readiness.state, "reason": readiness.reason}
        return JSONResponse(away, status_code=503)
    try:
        await state.engine_client.check_health()
    except EngineDeadError as error:
        reason = str(error.__cause__ or (error.args[-1] if error.args else error))
        return JSONResponse({"status": "unhealthy", "reason": reason}, status_code=503)
    models = [model.name for model in state.openai_serving_models.base_model_paths]
    told: dict[str, Any] = {"status": "ok", "backend": state.concordance_backend, "models": models}
    kept = getattr(state, "concordance_traces", None)
    if kept is not None:
        told["traces"] = kept.health()
    return JSONResponse({**told, "sandbox": state.concordance_sandbox})
