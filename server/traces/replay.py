"""A stored trace run again: as it was, or from one of its rounds on under other mods.

The prompt, the sampling parameters and the seed are the trace's. So the tokens are the same where
draws are reproducible: greedy, or with a seed. A branch keeps the output of the rounds before
`step` as the end of its prompt; its mods see it there, and do not take it back.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any

import msgspec
from vllm.exceptions import VLLMValidationError
from vllm.inputs.engine import tokens_input
from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

from mods.runtime.host.pool import HostPool
from mods.runtime.package import Package
from mods.sdk.errors import ModError
from server.api.guard import Guard, RefusedBodyError
from server.engine.call import Call, current_call
from server.mods.registry import ModRegistry
from server.traces.asked import Asked, Tracing, current_asked
from server.traces.finishing import of_client
from server.traces.record import Request
from server.traces.trace import Trace


class ReplayError(ModError):
    """The trace cannot be run again; the message says why."""

    status = 409
    type = "not_replayable"


@dataclass(frozen=True)
class Replayed:
    """request_id: of the new trace. kept: tokens of the parent's output that it began with."""

    request_id: str
    text: str
    token_ids: list[int]
    finish_reason: str
    kept: int


class Replayer:
    """What it takes to run something again.

    guard: a trace may have come from outside, so it is held to what a request's body is held to.
    """

    def __init__(
        self, engine: Any, registry: ModRegistry, pool: HostPool, guard: Guard | None = None
    ) -> None:
        self._engine, self._registry, self._pool = engine, registry, pool
        self._guard = guard

    async def run(
        self,
        trace: Trace,
        caller: str,
        *,
        step: int | None = None,
        mods: Sequence[str] | None = None,
        level: Tracing | None = None,
    ) -> Replayed:
        """step: the round from which to branch; None for the first. mods: by name, in place of the
        trace's own. Raises `ReplayError`, and what the engine and the mods raise.
        """
        request = trace.request
        prompt, kept = prompt_of(trace), [] if step is None else output_before(trace, step)
        if not prompt:
            raise ReplayError(f"trace {request.request_id!r} has no prompt tokens to run again")
        self._check([*prompt, *kept], request)
        packages = self._packages(request, caller, mods)
        params = params_of(request, len(kept))
        asked = Asked("/logs/replay", caller, _body(request), level or request.level)
        asked.parent_id, asked.parent_step = request.request_id, step
        current_asked.set(asked)
        own_id = f"replay-{uuid.uuid4().hex}"
        last: Any = None
        async with AsyncExitStack() as lent:
            current_call.set(await self._call(request, caller, packages, lent))
            generated = self._engine.generate(tokens_input([*prompt, *kept]), params, own_id)
            async for output in await lent.enter_async_context(aclosing(generated)):
                last = output.outputs[0]
        if last is None:
            raise ReplayError("the engine gave no output")
        new_id = asked.ids[0] if asked.ids else ""
        return Replayed(new_id, last.text, list(last.token_ids), str(last.finish_reason), len(kept))

    def _check(self, tokens: list[int], request: Request) -> None:
        """Raises `ReplayError`. How many tokens to draw is the engine's to bound: where the
        request did not say, the trace has what it came to."""
        if self._guard is None:
            return
        unchecked = ("n", "max_tokens", "min_tokens")
        sampling = {k: v for k, v in request.sampling.items() if k not in unchecked}
        try:
            self._guard.check({"token_ids": tokens, "sampling_params": sampling})
        except RefusedBodyError as error:
            raise ReplayError(f"the trace cannot be run here: {error}") from None

    def _packages(
        self, request: Request, caller: str, mods: Sequence[str] | None
    ) -> Sequence[Package]:
        names = [mod.name for mod in request.mods] if mods is None else mods
        packages = self._registry.resolve(caller, names)
        if mods is None:
            for used, package in zip(request.mods, packages, strict=True):
                if used.digest and used.digest != package.digest:
                    raise ReplayError(
                        f"mod {used.name!r} is another one now ({package.digest[:12]}, it was"
                        f" {used.digest[:12]}); name it in `mods` to use it as it is"
                    )
        return packages

    async def _call(
        self, request: Request, caller: str, packages: Sequence[Package], lent: AsyncExitStack
    ) -> Call | None:
        """lent: holds the mods' host."""
        if not packages:
            return None
        host = await lent.enter_async_context(
            self._pool.acquire(caller, packages, self._registry.shared(caller))
        )
        return Call(
            mods=list(packages),
            host=host,
            conversation=request.messages,
            tools=request.tools,
            response_format=request.response_format,
        )


def prompt_of(trace: Trace) -> list[int]:
    """The prompt before any mod changed it."""
    changed = [
        action.before
        for action in trace.actions
        if action.action_type == "adjust_prefill" and not action.overridden and action.before
    ]
    return changed[0] if changed else trace.request.user_prompt_token_ids


def output_before(trace: Trace, step: int) -> list[int]:
    """The output as it was when round `step` began. Raises `ReplayError`."""
    output: list[int] = []
    for event in trace.record().events:
        if event.event_type == "ForwardPass" and event.step == step:
            return output
        if event.event_type == "Added":
            output += event.added_tokens
        # A drawn token that was refused never came in.
        removed = len(event.removed_tokens) - (event.event_type == "Sampled")
        if removed > 0:
            del output[-removed:]
        if event.output_tokens:
            output = list(event.output_tokens)
    raise ReplayError(
        f"trace {trace.request.request_id!r} has no round {step};"
        f" it has {trace.story.forward_passes}"
    )


def params_of(request: Request, kept: int) -> SamplingParams:
    """The trace's sampling parameters, for what is left of it. Raises `ReplayError`."""
    given = of_client(json.loads(json.dumps(request.sampling)))
    structured = given.pop("structured_outputs", None)
    try:
        params = msgspec.convert(given, SamplingParams, strict=False, str_keys=True)
        if structured is not None:
            known = {k: v for k, v in dict(structured).items() if not k.startswith("_")}
            params.structured_outputs = StructuredOutputsParams(**known)
    except (VLLMValidationError, ValueError, TypeError, AssertionError) as error:
        raise ReplayError(f"the sampling parameters cannot be read again: {error}") from None
    if params.n > 1 and params.seed is not None:
        params.seed += request.choice
    params.n = 1
    if params.seed is not None and not -(2**63) <= params.seed < 2**63:
        raise ReplayError("the sampling parameters cannot be read again: seed is out of range")
    if params.max_tokens is not None:
        params.max_tokens = params.max_tokens - kept
        if params.max_tokens < 1:
            raise ReplayError("no tokens are left to draw from that round on")
    params.min_tokens = max(0, params.min_tokens - kept)
    params.output_kind = RequestOutputKind.FINAL_ONLY
    return params


def _body(request: Request) -> bytes:
    """What the new trace says was asked."""
    told = {
        "messages": request.messages,
        "tools": request.tools,
        "response_format": request.response_format,
        "prompt": request.user_prompt,
    }
    return msgspec.json.encode(dict(itertools.filterfalse(lambda item: not item[1], told.items())))
