"""One request of `/generate`: what it asks of the engine, and what comes of it.

It speaks to the engine as vLLM's own routes do, through `EngineClient.generate`, so that mods
and constraints work as on any other route.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from vllm.exceptions import VLLMValidationError
from vllm.inputs.engine import tokens_input
from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams

from mods.sdk.constraints import Constraint, digest
from server.constraints.admission import Admission
from server.constraints.generate_models import (
    ConstraintUsed,
    GenerateReply,
    GenerateRequest,
    ModelUsed,
    ModUsed,
    Provenance,
    Times,
    Tokens,
)
from server.constraints.models import Fault
from server.constraints.reading import Carried
from server.engine.call import Call, current_call

_SAMPLING = ("max_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "stop")
"""What the provenance tells of the sampling parameters."""


@dataclass
class Progress:
    """What came so far. first: when the first token came, in seconds of the monotonic clock."""

    text: str = ""
    tokens: int = 0
    prompt_tokens: int = 0
    finish_reason: str | None = None
    first: float | None = None
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0

    def add(self, output: RequestOutput) -> str:
        """Take in a delta, or the whole. Returns the new text."""
        (choice,) = output.outputs
        if self.first is None and choice.token_ids:
            self.first = time.monotonic()
        self.text += choice.text
        self.tokens += len(choice.token_ids)
        self.prompt_tokens = len(output.prompt_token_ids or ())
        self.finish_reason = choice.finish_reason
        self.ended = time.monotonic()
        text: str = choice.text
        return text


class Generation:
    """One request. `whole()` or `deltas()`, then `reply()`."""

    def __init__(
        self, engine: Any, admission: Admission, given: GenerateRequest, model: str
    ) -> None:
        self._engine, self._admission, self._given, self._model = engine, admission, given, model
        self._constraint: Constraint | None = given.constraints
        self._id = f"gen-{uuid4().hex}"
        self._received, self._since = datetime.now(UTC), time.monotonic()
        self._call: Call | None = current_call.get()
        self.progress = Progress()

    async def admit(self, caller: str) -> None:
        """Raises `ConstraintError` before anything is begun."""
        if self._constraint is not None:
            await self._admission.admit(self._constraint, caller)

    async def deltas(self, kind: RequestOutputKind) -> AsyncGenerator[str, None]:
        """The text as it comes, once with FINAL_ONLY. Raises what the engine raises."""
        tokens = self._engine.renderer.tokenizer.encode(self._given.prompt)
        self._params = self._sampling_params(len(tokens), kind)
        self.progress = Progress()
        outputs = self._engine.generate(
            tokens_input(tokens, prompt=self._given.prompt), self._params.clone(), self._id
        )
        async with aclosing(outputs):
            async for output in outputs:
                text = self.progress.add(output)
                if text:
                    yield text

    async def reply(self, caller: str) -> GenerateReply:
        """The answer, once all has come; the text is judged here."""
        progress = self.progress
        judges, faults = await self._judged(caller)
        spent = _milliseconds(progress.ended - progress.began)
        return GenerateReply(
            id=self._id,
            generated_text=progress.text,
            generated_code=progress.text,
            tokens_generated=progress.tokens,
            generation_time_ms=spent,
            finish_reason=progress.finish_reason,
            constraint_violations=faults,
            provenance=Provenance(
                model=self._model_used(),
                constraint=self._constraint_used(judges),
                sampling=self._sampling(),
                seed=self._params.seed,
                mods=[ModUsed(name=m.name, digest=m.digest) for m in self._mods()],
                tokens=self._tokens(),
                times=self._times(spent),
                metadata=self._given.metadata,
            ),
        )

    def _sampling_params(self, prompt: int, kind: RequestOutputKind) -> SamplingParams:
        """The request's own values, then the server's defaults, then vLLM's."""
        config = self._engine.model_config
        room = config.max_model_len - prompt
        if room < 1:
            raise VLLMValidationError(
                f"the prompt has {prompt} tokens, {config.max_model_len - 1} are the most",
                parameter="prompt",
            )
        values = {**config.get_diff_sampling_param()}
        for name in ("max_tokens", "temperature", "top_p", "top_k", "seed", "stop"):
            value = getattr(self._given, name)
            if value is not None:
                values[name] = value
        values["max_tokens"] = min(values.get("max_tokens") or room, room)
        params = SamplingParams(**values, output_kind=kind, skip_special_tokens=True)
        if self._constraint is not None:
            params.structured_outputs = Carried(self._constraint)
        return params

    async def _judged(self, caller: str) -> tuple[list[str], list[Fault]]:
        if self._constraint is None:
            return [], []
        finished = self.progress.finish_reason == "stop"
        verdict = await self._admission.judge(
            self._constraint, self.progress.text, finished=finished, caller=caller
        )
        if verdict is None:
            return [], []
        faults = [
            Fault(message=one.message, part=one.part, position=one.position)
            for one in verdict.violations
        ]
        return list(verdict.judges), faults

    def _model_used(self) -> ModelUsed:
        config = self._engine.model_config
        revision = config.revision or getattr(config.hf_config, "_commit_hash", None)
        return ModelUsed(name=self._model, path=str(config.model), revision=revision)

    def _constraint_used(self, judges: list[str]) -> ConstraintUsed | None:
        if self._constraint is None:
            return None
        kind = str(self._constraint.__struct_config__.tag)
        return ConstraintUsed(kind=kind, digest=digest(self._constraint), judged_by=judges)

    def _sampling(self) -> dict[str, Any]:
        return {name: getattr(self._params, name) for name in _SAMPLING}

    def _mods(self) -> list[Any]:
        return list(self._call.mods) if self._call is not None else []

    def _tokens(self) -> Tokens:
        tokens = Tokens(prompt=self.progress.prompt_tokens, generated=self.progress.tokens)
        if self._call is not None:
            usage = self._call.usage()
            tokens.sampled, tokens.forced = usage.sampled, usage.forced
            tokens.erased = usage.erased
        elif self._constraint is None:
            tokens.sampled, tokens.forced, tokens.erased = tokens.generated, 0, 0
        return tokens

    def _times(self, spent: float) -> Times:
        first = self.progress.first
        streams = self._params.output_kind != RequestOutputKind.FINAL_ONLY
        return Times(
            received=self._received.isoformat(),
            first_token_ms=_milliseconds(first - self._since) if first and streams else None,
            generation_ms=spent,
            total_ms=_milliseconds(time.monotonic() - self._since),
        )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
