"""A trace run again: the same prompt, parameters and seed; or a branch from one of its rounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

from mods.runtime.compile import Traits
from mods.runtime.package import Package
from server.api.guard import Allowed, Guard
from server.engine.call import current_call
from server.limits.limits import Limits
from server.mods.registry import ModRegistry, UnknownModError
from server.traces.asked import current_asked
from server.traces.diff import align, diff
from server.traces.finishing import sampling_of
from server.traces.record import Action, ModUse, Request
from server.traces.replay import Replayer, ReplayError, output_before, params_of
from server.traces.trace import Trace
from server.traces.watching import Observer
from tests.server.traces.making import made, modded
from tests.server.traces.playing import Kept, output_of

SOURCE = "from mods.sdk import mod\n@mod\ndef calm(event, actions, tokenizer): pass\n"


class Engine:
    """Gives one output, and looks on as `ModEngine` does."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.prompts: list[list[int]] = []
        self.params: list[SamplingParams] = []
        self.calls: list[Any] = []

    async def generate(self, prompt: Any, params: Any, request_id: str) -> AsyncIterator[Any]:
        self.prompts.append(prompt["prompt_token_ids"])
        self.params.append(params)
        self.calls.append(current_call.get())
        with self._observer.plain(request_id, prompt, params) as watch:
            output = output_of([5, 6], params, "stop", prompt["prompt_token_ids"], text="ab")
            watch.saw(output)
            yield output


class Pool:
    """Has a host for anybody."""

    @asynccontextmanager
    async def acquire(self, *_: Any) -> AsyncIterator[str]:
        yield "host"


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def engine(kept: Kept) -> Engine:
    return Engine(Observer(kept))


@pytest.fixture
def registry() -> ModRegistry:
    registry = ModRegistry()
    registry.register("ann", Package.from_source(SOURCE), Traits("calm"))
    return registry


@pytest.fixture
def replayer(engine: Engine, registry: ModRegistry) -> Replayer:
    return Replayer(engine, registry, Pool())  # type: ignore[arg-type]


def original(**request: Any) -> Trace:
    fields = {
        "user_prompt_token_ids": [1, 2, 3],
        "sampling": {"temperature": 0.5, "seed": 7, "max_tokens": 30},
        "caller": "ann",
        **request,
    }
    return made("one", **fields)


async def test_a_replay_has_the_prompt_the_parameters_and_a_link_to_its_parent(
    replayer: Replayer, engine: Engine, kept: Kept
) -> None:
    told = await asyncio.create_task(replayer.run(original(), "ann"))
    engine._observer.close()
    assert engine.prompts == [[1, 2, 3]]
    (params,) = engine.params
    assert (params.temperature, params.seed, params.max_tokens) == (0.5, 7, 30)
    (trace,) = kept.traces
    assert (trace.request.parent_id, trace.request.parent_step) == ("one", None)
    assert (told.request_id, told.text, told.kept) == (trace.request.request_id, "ab", 0)
    assert current_asked.get() is None


async def test_a_branch_keeps_the_rounds_before_its_step_and_runs_the_mods_it_names(
    replayer: Replayer, engine: Engine, kept: Kept
) -> None:
    told = await asyncio.create_task(replayer.run(original(), "ann", step=2, mods=["calm"]))
    engine._observer.close()
    assert engine.prompts == [[1, 2, 3, 100, 101]]
    assert engine.params[0].max_tokens == 28
    assert [package.name for package in engine.calls[0].mods] == ["calm"]
    assert told.kept == 2
    assert kept.traces[0].request.parent_step == 2
    aligned = diff(original(), kept.traces[0])
    assert aligned.same == 2
    assert [piece.origin for piece in aligned.tokens_b] == [
        "prompt",
        "prompt",
        "sampled",
        "sampled",
    ]


async def test_a_mod_that_is_another_one_now_is_not_run_in_its_place(replayer: Replayer) -> None:
    trace = original(mods=[ModUse("calm", "of old")])
    with pytest.raises(ReplayError, match="mod 'calm' is another one now"):
        await replayer.run(trace, "ann")
    assert await replayer.run(trace, "ann", mods=["calm"])
    assert await replayer.run(trace, "ann", mods=[])


async def test_a_mod_that_is_not_there_is_named(replayer: Replayer) -> None:
    with pytest.raises(UnknownModError, match="no mod 'loud'"):
        await replayer.run(original(mods=[ModUse("loud")]), "ann")


async def test_a_round_that_never_was_and_a_prompt_that_is_not_known_are_refused(
    replayer: Replayer,
) -> None:
    with pytest.raises(ReplayError, match="has no round 9; it has 3"):
        await replayer.run(original(), "ann", step=9)
    with pytest.raises(ReplayError, match="no prompt tokens"):
        await replayer.run(original(user_prompt_token_ids=[]), "ann")


async def test_a_prompt_that_a_mod_replaced_is_run_again_as_it_was_asked(
    replayer: Replayer, engine: Engine
) -> None:
    trace = original(user_prompt_token_ids=[9, 9])
    trace.actions = [Action("adjust_prefill", before=[1, 2], tokens=[9, 9])]
    await replayer.run(trace, "ann")
    assert engine.prompts == [[1, 2]]


def test_the_output_before_a_round_knows_what_was_taken_back() -> None:
    assert output_before(modded(), 0) == []
    assert output_before(modded(), 1) == [100]


@pytest.mark.parametrize(
    "given",
    [
        SamplingParams(temperature=0.3, top_p=0.9, seed=5, stop=["x"], max_tokens=9),
        SamplingParams(logit_bias={5: 1.5}, presence_penalty=0.5, min_tokens=3, max_tokens=9),
        SamplingParams(
            structured_outputs=StructuredOutputsParams(json={"type": "object"}), max_tokens=9
        ),
        SamplingParams(logprobs=2, bad_words=["no"], allowed_token_ids=[1, 2], max_tokens=9),
    ],
)
def test_parameters_come_back_as_they_were(given: SamplingParams) -> None:
    request = Request(request_id="r", sampling=sampling_of(given))
    again = params_of(Trace.decode(Trace(request=request).encode()).request, 0)
    given.output_kind = RequestOutputKind.FINAL_ONLY
    assert sampling_of(again) == sampling_of(given)
    assert again.structured_outputs == given.structured_outputs
    assert again.logit_bias == given.logit_bias


def test_a_later_choice_has_the_seed_that_it_had() -> None:
    request = Request(request_id="r", choice=2, sampling={"n": 3, "seed": 5})
    assert (params_of(request, 0).seed, params_of(request, 0).n) == (7, 1)


@pytest.mark.parametrize(
    "sampling",
    [
        {"_bad_words_token_ids": [[]]},
        {"_all_stop_token_ids": [10**9], "_eos_token_id": 10**9, "min_tokens": 5},
        {"skip_clone": True, "output_text_buffer_length": 10**12},
    ],
)
def test_what_vllm_sets_for_itself_is_not_taken_from_a_trace(sampling: dict[str, Any]) -> None:
    params = params_of(Request(request_id="r", sampling=sampling), 0)
    fresh = SamplingParams(min_tokens=params.min_tokens, output_kind=RequestOutputKind.FINAL_ONLY)
    assert params == fresh


@pytest.mark.parametrize(
    "sampling",
    [
        {"n": None},
        {"n": "many"},
        {"n": 0},
        {"seed": 2**63},
        {"seed": 2**62, "temperature": "hot"},
        {"structured_outputs": [1]},
        {"structured_outputs": "x"},
        {"structured_outputs": {"odd": 1}},
        {"stop": [""]},
        {"top_p": 7},
    ],
)
def test_parameters_that_make_no_sense_are_refused(sampling: dict[str, Any]) -> None:
    with pytest.raises(ReplayError, match="cannot be read"):
        params_of(Request(request_id="r", sampling=sampling), 0)


few = st.lists(st.integers(0, 3), max_size=12)


@settings(max_examples=80, deadline=None)
@given(few, few)
def test_blocks_cover_both_and_equal_ones_are_equal(a: list[int], b: list[int]) -> None:
    blocks = align(a, b)
    assert [n for block in blocks for n in range(*block.a)] == list(range(len(a)))
    assert [n for block in blocks for n in range(*block.b)] == list(range(len(b)))
    for block in blocks:
        assert (a[slice(*block.a)] == b[slice(*block.b)]) == (block.kind == "equal")


@pytest.mark.parametrize(
    "request_",
    [
        {"user_prompt_token_ids": [1, 10**6]},
        {"user_prompt_token_ids": [-1]},
        {"sampling": {"logprobs": 10_000}},
        {"sampling": {"allowed_token_ids": [10**6]}},
        {"sampling": {"extra_args": {"concordance": {}}}},
    ],
)
async def test_a_trace_from_outside_gets_no_more_than_a_request(
    engine: Engine, registry: ModRegistry, request_: dict[str, Any]
) -> None:
    pool: Any = Pool()
    guard = Guard(Limits(max_tokens=10), Allowed(500))
    held = Replayer(engine, registry, pool, guard)
    with pytest.raises(ReplayError, match="the trace cannot be run here"):
        await held.run(original(**request_), "ann")
    assert engine.prompts == []
    # How many tokens the engine itself had allowed is no reason to refuse it.
    await held.run(original(), "ann")
    assert engine.prompts == [[1, 2, 3]]
