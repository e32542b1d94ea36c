"""`ModEngine`: vLLM's engine client, whose `generate` runs mods.

Everything above the engine in vLLM (chat, completions, responses, messages, tools, metrics)
talks to an `EngineClient`; so does it to this one. A request without mods goes straight
through. Everything that is not about mods is the wrapped engine's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable
from contextlib import aclosing
from typing import Any

from vllm.engine.protocol import EngineClient
from vllm.exceptions import VLLMValidationError
from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.utils.async_utils import merge_async_iterators

from mods.runtime.decisions import SessionSpec
from processors.rows import EXTRA_ARGS_KEY
from server.engine.call import Call, current_call
from server.engine.given import Given
from server.engine.health import Health
from server.engine.sentinel import choose_sentinel
from server.engine.session import Session, session_numbers

_NOT_OURS = ("reasoning_ended", "reasoning_parser_kwargs", "prompt_text")
"""Arguments of `generate` that only matter for vLLM's own structured outputs and logs."""


MAX_CHOICES = 128
"""Choices of one request with mods: each is a session of its own."""


class ModEngine:
    """An `EngineClient` around another. Registered as one; attributes are the inner engine's."""

    def __init__(self, engine: EngineClient, health_timeout: float = 5.0) -> None:
        self._engine = engine
        self._tokenizer = engine.renderer.tokenizer
        self._vocabulary = engine.model_config.get_vocab_size()
        generation = engine.input_processor.generation_config_fields or {}
        self._sentinel = choose_sentinel(
            self._tokenizer, self._vocabulary, _as_ids(generation.get("eos_token_id"))
        )
        self._health = Health(engine, health_timeout)
        self._sessions: dict[str, list[Session]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def check_health(self) -> None:
        """Raise unless the engine lives and answers within the health timeout."""
        await self._health.check()

    async def abort(self, request_id: str | Iterable[str], **arguments: Any) -> None:
        """Abort requests by vLLM's ids, those with mods among them."""
        ids = [request_id] if isinstance(request_id, str) else list(request_id)
        for session in [session for id_ in ids for session in self._sessions.get(id_, ())]:
            await session.abort()
        rest = [id_ for id_ in ids if id_ not in self._sessions]
        if rest:
            await self._engine.abort(rest, **arguments)

    def generate(
        self, prompt: Any, sampling_params: SamplingParams, request_id: str, **arguments: Any
    ) -> AsyncGenerator[RequestOutput, None]:
        """vLLM's `generate`. With mods (found by context) it runs one session a choice."""
        if EXTRA_ARGS_KEY in (sampling_params.extra_args or {}):
            raise VLLMValidationError(
                f"the extra argument {EXTRA_ARGS_KEY!r} is reserved", parameter="vllm_xargs"
            )
        call = current_call.get()
        if call is None:
            untouched: AsyncGenerator[RequestOutput, None] = self._engine.generate(
                prompt, sampling_params, request_id, **arguments
            )
            return untouched
        _refuse_what_cannot_be_kept(prompt, sampling_params, self._sentinel)
        number, call.prompts = call.prompts, call.prompts + 1
        given = Given(
            self._engine,
            self._tokenizer,
            request_id,
            {name: value for name, value in arguments.items() if name not in _NOT_OURS},
            prompt.get("cache_salt"),
            prompt.get("prompt"),
            prompt.get("arrival_time"),
            self._end_of_sequence(),
        )
        return self._run(given, call, prompt["prompt_token_ids"], sampling_params, number)

    async def _run(
        self, given: Given, call: Call, prompt: list[int], params: SamplingParams, number: int
    ) -> AsyncGenerator[RequestOutput, None]:
        sessions = [
            self._session(given, call, prompt, params, index, number * params.n + index)
            for index in range(params.n)
        ]
        self._sessions[given.request_id] = sessions
        if len(sessions) == 1:
            outputs: AsyncIterator[RequestOutput] = sessions[0].outputs()
        else:
            outputs = _together([session.outputs() for session in sessions], params.output_kind)
        try:
            async for output in outputs:
                yield output
        finally:
            self._sessions.pop(given.request_id, None)
            await outputs.aclose()  # type: ignore[attr-defined]

    def _session(
        self,
        given: Given,
        call: Call,
        prompt: list[int],
        params: SamplingParams,
        index: int,
        choice: int,
    ) -> Session:
        if params.n > 1 and params.seed is not None:
            params = params.clone()
            params.seed = (params.seed or 0) + index
        spec = self._spec(given.request_id, call, list(prompt), params)
        return Session(given, call, spec, params, index, choice, self._in_background)

    def _spec(
        self, request_id: str, call: Call, prompt: list[int], params: SamplingParams
    ) -> SessionSpec:
        """What the machine must know. Ends are vLLM's own, read off its generation config."""
        context = self._engine.model_config.max_model_len
        own = params.clone()
        own.update_from_generation_config(
            self._engine.input_processor.generation_config_fields or {},
            getattr(self._tokenizer, "eos_token_id", None),
        )
        number = next(session_numbers)
        return SessionSpec(
            session=number,
            request_id=f"{request_id}.{number}",
            prompt=prompt,
            max_tokens=min(params.max_tokens or context, context - len(prompt)),
            max_context=context,
            vocabulary=self._vocabulary,
            sentinel=self._sentinel,
            eos=[own._eos_token_id] if own._eos_token_id is not None else [],
            ignore_eos=params.ignore_eos,
            stop_token_ids=list(own.stop_token_ids or ()),
            stop=[params.stop] if isinstance(params.stop, str) else list(params.stop or ()),
            skip_special_tokens=params.skip_special_tokens,
            min_tokens=params.min_tokens,
            conversation=call.conversation,
            tools=call.tools,
            response_format=call.response_format,
        )

    def _end_of_sequence(self) -> int:
        eos = getattr(self._tokenizer, "eos_token_id", None)
        return self._sentinel if eos is None else int(eos)

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run to the end whatever becomes of the request, which may be cancelled already."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


EngineClient.register(ModEngine)


def _as_ids(value: int | list[int] | None) -> list[int]:
    if value is None:
        return []
    return [value] if isinstance(value, int) else list(value)


def _refuse_what_cannot_be_kept(prompt: Any, params: SamplingParams, sentinel: int) -> None:
    """Raise `VLLMValidationError` (400) for what a session with mods would only approximate."""
    if not isinstance(prompt, dict) or prompt.get("type") != "token":
        raise VLLMValidationError("mods work on text prompts only: this one has other inputs")
    if params.structured_outputs is not None:
        raise VLLMValidationError(
            "constraints (response_format, structured_outputs, tool_choice required or named)"
            " cannot be combined with mods: leave out one of the two",
            parameter="response_format",
        )
    for name in ("thinking_token_budget", "repetition_detection"):
        if getattr(params, name, None) is not None:
            raise VLLMValidationError(f"{name} cannot be combined with mods", parameter=name)
    if params.n > MAX_CHOICES:
        raise VLLMValidationError(
            f"n must be {MAX_CHOICES} or less with mods, got {params.n}", parameter="n"
        )
    if sentinel in (params.stop_token_ids or ()):
        raise VLLMValidationError(
            f"token {sentinel} cannot be a stop token with mods", parameter="stop_token_ids"
        )


async def _together(
    generators: list[AsyncIterator[RequestOutput]], kind: RequestOutputKind
) -> AsyncGenerator[RequestOutput, None]:
    """Merge a request's choices as vLLM does: deltas as they come, or one output in the end."""
    final: dict[int, RequestOutput] = {}
    async with aclosing(merge_async_iterators(*generators)) as merged:
        async for index, output in merged:
            if output.finished:
                final[index] = output
            output.finished = len(final) == len(generators)
            if kind != RequestOutputKind.FINAL_ONLY:
                yield output
    if kind == RequestOutputKind.FINAL_ONLY:
        whole = final[0]
        whole.outputs = [final[index].outputs[0] for index in sorted(final)]
        yield whole
