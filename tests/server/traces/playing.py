"""Sessions as the server runs them, over a scripted engine: no vLLM process and no host."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

from vllm.logprobs import Logprob
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams

from mods.runtime.decisions import EndSegment, Force, SessionSpec
from mods.runtime.machine import Machine
from mods.runtime.seat import LoadedMod
from mods.sdk.testing import spec_for
from mods.sdk.tokenizer import load_tokenizer
from processors.rows import EXTRA_ARGS_KEY
from server.demo import MODEL_PATH
from server.engine.call import Call
from server.engine.given import Given
from server.engine.session import ModFailure, Session
from server.engine.slots import Slots
from server.traces.record import ModUse
from server.traces.trace import Trace
from server.traces.watching import Observer

VOCABULARY, SENTINEL = 2048, 2047


@cache
def tokenizer() -> Any:
    """The bundled model's, as vLLM has it."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(MODEL_PATH)


@cache
def mods_tokenizer() -> Any:
    return load_tokenizer(MODEL_PATH)


def ids(text: str) -> list[int]:
    return list(mods_tokenizer().encode(text))


class Kept:
    """Takes traces."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []
        self.dropped: list[str] = []

    def append(self, trace: Trace) -> None:
        assert Trace.decode(trace.encode()).encode() == trace.encode()
        self.traces.append(trace)

    def drop(self, cause: str) -> None:
        self.dropped.append(cause)


class Machines:
    """A host whose machines run here. dies: it is gone when it is told that all is over."""

    address = "here"

    def __init__(self, mods: Sequence[LoadedMod], dies: bool = False) -> None:
        self.traits = [mod.traits for mod in mods]
        self._mods, self._dies = mods, dies
        self.machines: dict[int, Machine] = {}

    async def open(self, spec: SessionSpec) -> Any:
        machine = self.machines[spec.session] = Machine(spec, self._mods, mods_tokenizer())
        return machine.open()

    async def tail(self, session: int, *arguments: Any) -> Any:
        return self.machines[session].tail(*arguments)

    async def close(
        self, session: int, reason: str, tells: bool = False, traces: bool = False
    ) -> dict[str, Any]:
        machine = self.machines.pop(session, None)
        if machine is None or self._dies:
            return {}
        record = machine.close(reason)
        return {**record, "tape": machine.tape()} if traces else record

    def floor(self, session: int) -> int:
        return self.machines[session].floor


class Script:
    """An engine that draws the tokens of a text, one after the other, and then its end."""

    def __init__(self, host: Machines, text: str, breaks_at: int | None = None) -> None:
        self._host, self._tokens = host, ids(text)
        self._eos = int(mods_tokenizer().eos_token_id)
        self._breaks_at = breaks_at
        self.asked: list[SamplingParams] = []

    async def generate(
        self, prompt: Any, params: SamplingParams, request_id: str, **_: Any
    ) -> AsyncIterator[RequestOutput]:
        self.asked.append(params)
        args = params.extra_args[EXTRA_ARGS_KEY]
        kept, token, drawn = args["kept"], -1, 0
        machine = self._host.machines[args["session"]]
        while drawn < params.max_tokens:
            if self._breaks_at == kept + drawn:
                raise RuntimeError("the engine broke")
            decision = machine.decide(args["segment"], kept + drawn, token)
            token = self._draw(kept + drawn)
            if isinstance(decision, Force):
                token = decision.token
            elif isinstance(decision, EndSegment):
                token = args["sentinel"]
            drawn += 1
            ends = token in (args["sentinel"], self._eos)
            reason = "stop" if ends else "length" if drawn == params.max_tokens else None
            yield output_of([token], params, reason, prompt["prompt_token_ids"])
            await asyncio.sleep(0)
            if ends:
                return

    async def abort(self, request_id: str) -> None:
        pass

    def _draw(self, position: int) -> int:
        return self._tokens[position] if position < len(self._tokens) else self._eos


def output_of(
    tokens: list[int], params: SamplingParams, reason: str | None, prompt: Sequence[int] = (1, 2),
    text: str = "", index: int = 0,
) -> RequestOutput:  # fmt: skip
    """What vLLM gives of one step. A draw has probability one half, the next token a quarter."""
    count = params.num_logprobs
    draws: Any = None
    if count is not None:
        draws = [
            {token: Logprob(-0.6931471805599453, 1)}
            | {token + rank: Logprob(-1.3862943611198906, rank + 1) for rank in range(1, count)}
            for token in tokens
        ]
    completion = CompletionOutput(index, text, tokens, None, draws, finish_reason=reason)
    return RequestOutput("r", "hello", list(prompt), None, [completion], reason is not None,
                         num_cached_tokens=1)  # fmt: skip


class Grammars:
    async def ready(self, held: Sequence[Any]) -> list[Any]:
        return []


async def play(
    observer: Observer, mods: Sequence[LoadedMod], text: str, *, dies: bool = False,
    breaks_at: int | None = None, leave_after: int | None = None, max_tokens: int = 20,
    **params: Any,
) -> tuple[list[RequestOutput], BaseException | None]:  # fmt: skip
    """Run one session. leave_after: outputs, after which the client goes away."""
    host = Machines(mods, dies)
    engine = Script(host, text, breaks_at=breaks_at)
    given: Any = Given(
        engine,
        Grammars(),
        Slots(4),
        tokenizer(),
        "r",
        {},
        None,
        "hello",
        None,
        0,  # type: ignore[arg-type]
    )
    packages = [SimpleNamespace(name=mod.traits.name, digest="d") for mod in mods]
    call = Call(packages, host)  # type: ignore[arg-type]
    asked = SamplingParams(
        **{"max_tokens": max_tokens, "output_kind": RequestOutputKind.DELTA, **params}
    )
    spec = spec_for(
        ids("hello"), max_tokens, eos=[mods_tokenizer().eos_token_id], vocabulary=VOCABULARY,
        sentinel=SENTINEL,
    )  # fmt: skip
    used = [ModUse(package.name, package.digest) for package in packages]
    background: list[asyncio.Task[Any]] = []

    def later(work: Coroutine[Any, Any, Any]) -> None:
        background.append(asyncio.ensure_future(work))

    watch = observer.session("r", 0, "hello", asked, used)
    session = Session(given, call, spec, asked, 0, 0, later, watch)
    outputs: list[RequestOutput] = []
    raised: BaseException | None = None
    try:
        async with contextlib.aclosing(session.outputs()) as shown:
            async for output in shown:
                outputs.append(output)
                if len(outputs) == leave_after:
                    break
    except (ModFailure, RuntimeError) as error:
        raised = error
    await asyncio.gather(*background)
    return outputs, raised
