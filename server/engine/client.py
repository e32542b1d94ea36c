"""`ModEngine`: vLLM's engine client, whose `generate` runs mods.

Everything above the engine in vLLM (chat, completions, responses, messages, tools, metrics)
talks to an `EngineClient`; so does it to this one. A request without mods goes straight
through. Everything that is not about mods is the wrapped engine's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable
from contextlib import aclosing
from functools import partial
from typing import Any

import vllm.envs as envs
from vllm.engine.protocol import EngineClient
from vllm.exceptions import VLLMValidationError
from vllm.outputs import RequestOutput
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.utils.async_utils import merge_async_iterators

from mods.runtime.decisions import Fail, SessionSpec
from mods.sdk.errors import ConstraintError, ModError
from processors.rows import EXTRA_ARGS_KEY
from server.constraints.reading import read_structured_outputs
from server.engine.call import Call, current_call
from server.engine.given import Given, place_of, queue_place
from server.engine.gone import EngineGoneError, told_if_gone
from server.engine.grammars import EngineGrammars
from server.engine.health import Health
from server.engine.local import LocalHost
from server.engine.oversized import refuse_oversized
from server.engine.reasoning import Reasoning
from server.engine.sentinel import choose_sentinel
from server.engine.session import ModFailure, Session, session_numbers
from server.engine.slots import Slots
from server.engine.spec import session_spec, with_ends
from server.engine.unfinished import unfinished
from server.limits.meter import metered
from server.traces.record import ModUse
from server.traces.watching import UNOBSERVED, Observer

_NOT_OURS = ("reasoning_ended", "reasoning_parser_kwargs", "prompt_text")
"""Arguments of `generate` that only matter for vLLM's own structured outputs and logs."""


PREFILL_RUN = {"cpu": 4, "cuda": 8}
"""From how many tokens on a forced run enters as one prefill, by device. On a CPU a new segment
costs about two and a half steps, however long the run; on a GPU it has not been measured."""

MAX_CHOICES = 128
"""Choices of one request with mods: each is a session of its own."""


class ModEngine:
    """An `EngineClient` around another. Registered as one; attributes are the inner engine's."""

    def __init__(
        self,
        engine: EngineClient,
        grammars: EngineGrammars,
        local: LocalHost,
        health_timeout: float = 5.0,
        jumps: bool = True,
        observer: Observer = UNOBSERVED,
    ) -> None:
        """local: runs sessions without mods. jumps: whether tokens that a constraint leaves no
        choice about may enter unsampled. observer: makes the traces."""
        self._engine, self._grammars, self._local = engine, grammars, local
        self._observer = observer
        self._jumps = jumps
        self._tokenizer = engine.renderer.tokenizer
        self._vocabulary = engine.model_config.get_vocab_size()
        generation = engine.input_processor.generation_config_fields or {}
        self._sentinel = choose_sentinel(
            self._tokenizer, self._vocabulary, _as_ids(generation.get("eos_token_id"))
        )
        self._prefill_run = PREFILL_RUN.get(current_platform.device_type, PREFILL_RUN["cuda"])
        self._slots = Slots(engine.vllm_config.scheduler_config.max_num_seqs)
        self._second_runner = bool(envs.VLLM_USE_V2_MODEL_RUNNER)
        self._own_stop_ids = len({*_as_ids(generation.get("eos_token_id")), self._sentinel}) + 1
        self._by_priority = engine.vllm_config.scheduler_config.policy == "priority"
        self._reasoning = Reasoning(engine, self._tokenizer)
        self._health = Health(engine, health_timeout)
        self._sessions: dict[str, list[Session]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    @property
    def dead_error(self) -> BaseException:
        """What vLLM's routes raise where they see that the engine has ended."""
        return EngineGoneError()

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
        """vLLM's `generate`. With mods (found by context) or under a constraint it runs one
        session a choice."""
        outputs = told_if_gone(
            self._engine, self._generate(prompt, sampling_params, request_id, **arguments)
        )
        return metered(outputs, sampling_params.output_kind == RequestOutputKind.DELTA)

    def _generate(
        self, prompt: Any, sampling_params: SamplingParams, request_id: str, **arguments: Any
    ) -> AsyncGenerator[RequestOutput, None]:
        if EXTRA_ARGS_KEY in (sampling_params.extra_args or {}):
            raise VLLMValidationError(
                f"the extra argument {EXTRA_ARGS_KEY!r} is reserved", parameter="vllm_xargs"
            )
        if self._second_runner:
            refuse_oversized(sampling_params, self._own_stop_ids)
        refuse = getattr(self._engine, "refuse_what_cannot_be_kept", None)
        if refuse is not None:
            refuse(prompt, sampling_params)
        call = current_call.get()
        if call is None and sampling_params.structured_outputs is not None:
            call = Call(mods=[], host=self._local)
        if call is None:
            return self._untouched(prompt, sampling_params, request_id, arguments)
        _refuse_what_cannot_be_kept(prompt, sampling_params, self._sentinel, bool(call.mods))
        number, call.prompts = call.prompts, call.prompts + 1
        given = Given(
            self._engine,
            self._grammars,
            self._slots,
            self._tokenizer,
            request_id,
            {name: value for name, value in arguments.items() if name not in _NOT_OURS},
            prompt.get("cache_salt"),
            prompt.get("prompt"),
            prompt.get("arrival_time"),
            self._end_of_sequence(),
            None if prompt.get("type") == "token" else dict(prompt),
            self._by_priority,
        )
        ended: bool | None = arguments.get("reasoning_ended")
        return self._run(given, call, prompt["prompt_token_ids"], sampling_params, number, ended)

    async def _untouched(
        self, prompt: Any, params: SamplingParams, request_id: str, arguments: dict[str, Any]
    ) -> AsyncGenerator[RequestOutput, None]:
        """vLLM's own, once there is a place for it."""
        arrival = prompt.get("arrival_time") if isinstance(prompt, dict) else None
        place = place_of(arguments, arrival)
        if self._by_priority:
            arguments = {**arguments, "priority": queue_place(arguments)}
        look = partial(unfinished, self._engine, request_id)
        with self._observer.plain(request_id, prompt, params, look) as watch:
            params = watch.params or params
            async with (
                self._slots.plain(place),
                aclosing(self._engine.generate(prompt, params, request_id, **arguments)) as outputs,
            ):
                async for output in outputs:
                    watch.saw(output)
                    yield output

    async def _run(
        self,
        given: Given,
        call: Call,
        prompt: list[int],
        params: SamplingParams,
        number: int,
        reasoning_ended: bool | None,
    ) -> AsyncGenerator[RequestOutput, None]:
        constrained = await self._constrained(prompt, params, call, reasoning_ended)
        sessions = [
            self._session(
                given, call, prompt, params, index, number * params.n + index, constrained
            )
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
        constrained: dict[str, Any],
    ) -> Session:
        used = [ModUse(package.name, package.digest) for package in call.mods]
        watch = self._observer.session(
            given.request_id, index, given.prompt_text or "", params, used
        )
        if params.n > 1 and params.seed is not None:
            params = params.clone()
            params.seed = (params.seed or 0) + index
        spec = self._spec(given.request_id, call, list(prompt), params, constrained)
        return Session(given, call, spec, params, index, choice, self._in_background, watch)

    async def _constrained(
        self, prompt: list[int], params: SamplingParams, call: Call, ended: bool | None
    ) -> dict[str, Any]:
        """What a session's spec says of the request's constraint. Raises what becomes a 400."""
        if params.structured_outputs is None:
            return {}
        try:
            constraint = read_structured_outputs(params.structured_outputs)
            grammar = await self._grammars.admit(constraint)
        except ConstraintError as error:
            raise VLLMValidationError(str(error), parameter="structured_outputs") from None
        except ModError as error:
            raise ModFailure(Fail(error.status, error.type, str(error))) from None
        # Forced tokens have no probabilities, and take no draws from a seed's stream.
        unsampled = params.num_logprobs is None and params.seed is None
        return {
            "constraint": constraint,
            "reasoning_end": self._reasoning.end(prompt, ended),
            "jump": self._jumps and unsampled and not call.mods,
            "tracked": bool(call.mods) or len(grammar.parts) > 1,
        }

    def _spec(
        self,
        request_id: str,
        call: Call,
        prompt: list[int],
        params: SamplingParams,
        constrained: dict[str, Any],
    ) -> SessionSpec:
        """What the machine must know. Ends are vLLM's own, read off its generation config."""
        generation = self._engine.input_processor.generation_config_fields
        number = next(session_numbers)
        return session_spec(
            number,
            f"{request_id}.{number}",
            prompt,
            with_ends(params, generation, self._tokenizer),
            max_context=self._engine.model_config.max_model_len,
            vocabulary=self._vocabulary,
            sentinel=self._sentinel,
            conversation=call.conversation,
            tools=call.tools,
            response_format=call.response_format,
            prefill_run=self._prefill_run,
            tells_events=call.wants_record,
            **constrained,
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


def _refuse_what_cannot_be_kept(
    prompt: Any, params: SamplingParams, sentinel: int, mods: bool
) -> None:
    """Raise `VLLMValidationError` (400) for what a session would only approximate."""
    what = "mods" if mods else "constraints"
    if not isinstance(prompt, dict) or "prompt_token_ids" not in prompt:
        raise VLLMValidationError(f"{what} work on prompts of tokens only: this one has none")
    if mods and prompt.get("type") != "token":
        raise VLLMValidationError("mods work on text prompts only: this one has other inputs")
    for name in ("thinking_token_budget", "repetition_detection"):
        if getattr(params, name, None) is not None:
            raise VLLMValidationError(f"{name} cannot be combined with {what}", parameter=name)
    if params.n > MAX_CHOICES:
        raise VLLMValidationError(
            f"n must be {MAX_CHOICES} or less with {what}, got {params.n}", parameter="n"
        )
    if sentinel in (params.stop_token_ids or ()):
        raise VLLMValidationError(
            f"token {sentinel} cannot be a stop token with {what}", parameter="stop_token_ids"
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
