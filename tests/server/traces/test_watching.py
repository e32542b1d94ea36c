"""Every request leaves a trace: without mods and with them, whole, streamed, aborted and failed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.sampling_params import RequestOutputKind, SamplingParams

from mods.runtime.compile import Traits
from mods.runtime.seat import LoadedMod
from mods.sdk.events import Added, ForwardPass, Sampled
from server.engine.unfinished import unfinished
from server.traces.asked import Asked, current_asked
from server.traces.live import Live
from server.traces.record import ModUse
from server.traces.story import FORCED, FORCED_MORE, NOBODY, OUTPUT, SAMPLED, STAYED
from server.traces.trace import Trace
from server.traces.watching import Observer
from tests.server.traces.playing import Kept, ids, mods_tokenizer, output_of, play

TEXT = "The capital of France is Paris."
DELTA, WHOLE = RequestOutputKind.DELTA, RequestOutputKind.FINAL_ONLY


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def observer(kept: Kept) -> Iterator[Observer]:
    observer = Observer(kept, model="demo")
    yield observer
    observer.close()


@pytest.fixture
def asked() -> Iterator[Asked]:
    """The HTTP request that is under way."""
    body = b'{"messages": [{"role": "user", "content": "Hi"}], "stream": true, "model": "demo"}'
    asked = Asked("/v1/chat/completions", "ann", body)
    token = current_asked.set(asked)
    yield asked
    current_asked.reset(token)


def only(observer: Observer, kept: Kept) -> Trace:
    observer.close()
    (trace,) = kept.traces
    return trace


def plain(observer: Observer, outputs: list[Any], raises: Any = None, **more: Any) -> list[Any]:
    """A request without mods, as `ModEngine` runs it. Returns what reached the client."""
    params = SamplingParams(**{"output_kind": DELTA, "temperature": 0.5, "seed": 7, **more})
    shown = []
    try:
        with observer.plain("r", {"prompt_token_ids": [1, 2]}, params) as watch:
            asked = watch.params or params
            for output in outputs:
                given = output(asked)
                watch.saw(given)
                shown.append(given)
            if raises is not None:
                raise raises
    except (RuntimeError, asyncio.CancelledError, GeneratorExit):
        pass
    return shown


def step(token: int, text: str, reason: str | None = None, index: int = 0) -> Any:
    return lambda params: output_of([token], params, reason, text=text, index=index)


def handler(kind: type[Any], position: int, act: Any) -> LoadedMod:
    """Acts once, at the first event of this kind at this position or beyond."""
    done: list[int] = []

    def handle(event: Any, actions: Any, tokenizer: Any) -> Any:
        if done or not isinstance(event, kind) or event.position < position:
            return None
        done.append(1)
        return act(actions)

    return LoadedMod(handle, Traits("calm", reach=8, logits=False))


def test_a_request_without_mods_leaves_its_tokens_and_what_was_asked(
    observer: Observer, kept: Kept, asked: Asked
) -> None:
    plain(observer, [step(5, "a"), step(6, "b"), step(7, "c", "stop")])
    trace = only(observer, kept)
    request, story = trace.request, trace.story
    assert (story.tokens, story.origins, story.erased) == ([5, 6, 7], [SAMPLED] * 3, [STAYED] * 3)
    assert (story.rounds, story.mods, story.forward_passes) == ([0, 1, 2], [NOBODY] * 3, 3)
    assert all(time is not None and time >= 0 for time in story.times)
    assert (request.request_id, request.model, request.caller) == ("r", "demo", "ann")
    assert (request.endpoint, request.stream) == ("/v1/chat/completions", True)
    assert request.messages == [{"role": "user", "content": "Hi"}]
    assert (request.user_prompt, request.user_prompt_token_ids) == ("hello", [1, 2])
    assert (request.final_text, request.final_token_ids) == ("abc", [5, 6, 7])
    assert (request.finish_reason, request.status) == ("stop", "done")
    assert request.sampling == {"temperature": 0.5, "seed": 7}
    assert (request.usage.prompt, request.usage.cached, request.usage.sampled) == (2, 1, 3)
    assert asked.ids == ["r"]
    assert [event.event_type for event in trace.record().events][:4] == [
        "Prefilled", "ForwardPass", "Sampled", "Added",
    ]  # fmt: skip


def test_a_whole_answer_leaves_the_same_but_for_times(observer: Observer, kept: Kept) -> None:
    plain(
        observer,
        [lambda p: output_of([5, 6], p, "length", text="ab")],
        output_kind=WHOLE,
    )
    trace = only(observer, kept)
    assert trace.story.tokens == [5, 6]
    assert trace.story.times == [None, None]
    assert (trace.request.final_text, trace.request.finish_reason) == ("ab", "length")


def test_each_choice_has_a_trace_of_its_own(observer: Observer, kept: Kept) -> None:
    plain(observer, [step(5, "a", index=1), step(6, "b", "stop"), step(7, "c", "stop", 1)], n=2)
    observer.close()
    assert [(t.request.request_id, t.request.group_id, t.story.tokens) for t in kept.traces] == [
        ("r", "r", [6]), ("r.1", "r", [5, 7]),
    ]  # fmt: skip


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit()])
def test_a_client_that_goes_away_leaves_an_aborted_trace(
    observer: Observer, kept: Kept, error: BaseException
) -> None:
    plain(observer, [step(5, "a")], error)
    trace = only(observer, kept)
    assert (trace.request.status, trace.request.finish_reason) == ("aborted", "abort")
    assert (trace.story.tokens, trace.request.final_text) == ([5], "a")


async def test_a_whole_answer_that_is_aborted_leaves_what_there_was(
    observer: Observer, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.traces.watching.LOOK_SECONDS", 0)
    words = SimpleNamespace(output_token_ids=[5], output_text="a")
    state = SimpleNamespace(detokenizer=words, request_index=0)
    engine = SimpleNamespace(
        output_processor=SimpleNamespace(
            external_req_ids={"r": ["r-1"]}, request_states={"r-1": state}
        )
    )
    params = SamplingParams(output_kind=WHOLE)
    look = partial(unfinished, engine, "r")

    async def leaves() -> None:
        with observer.plain("r", {"prompt_token_ids": [1]}, params, look):
            await asyncio.sleep(0.01)
            words.output_token_ids, words.output_text = [5, 6], "ab"
            del engine.output_processor.request_states["r-1"]
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await leaves()
    trace = only(observer, kept)
    assert (trace.request.status, trace.story.tokens) == ("aborted", [5, 6])
    assert trace.request.final_text == "ab"


def test_an_engine_that_fails_leaves_a_failed_trace(observer: Observer, kept: Kept) -> None:
    plain(observer, [step(5, "a")], RuntimeError("the engine broke"))
    error = only(observer, kept).request.error
    assert error is not None
    assert (error.message, error.type, error.status) == ("the engine broke", "RuntimeError", 500)


def test_full_has_the_likeliest_tokens_and_the_client_does_not_see_them(
    observer: Observer, kept: Kept, asked: Asked
) -> None:
    asked.level = "full"
    shown = plain(observer, [step(5, "a"), step(6, "b", "stop")])
    assert all(output.outputs[0].logprobs is None for output in shown)
    story = only(observer, kept).story
    assert story.top_tokens == [[5, 6, 7, 8, 9], [6, 7, 8, 9, 10]]
    assert story.top_probabilities[0] == pytest.approx([0.5, 0.25, 0.25, 0.25, 0.25])
    assert story.probabilities == pytest.approx([0.5, 0.5])
    assert all(entropy is not None and entropy > 0 for entropy in story.entropies)


def test_a_client_that_asked_for_logprobs_gets_those_it_asked_for(
    observer: Observer, kept: Kept, asked: Asked
) -> None:
    asked.level = "full"
    shown = plain(observer, [step(5, "a", "stop")], logprobs=2)
    assert [set(draw) for draw in shown[0].outputs[0].logprobs] == [{5, 6}]
    assert len(only(observer, kept).story.top_tokens[0]) == 5


def test_probabilities_that_the_client_asked_for_are_traced_at_any_level(
    observer: Observer, kept: Kept
) -> None:
    plain(observer, [step(5, "a", "stop")], logprobs=1)
    story = only(observer, kept).story
    assert story.probabilities == pytest.approx([0.5])
    assert story.top_tokens == []


def test_off_leaves_nothing(observer: Observer, kept: Kept, asked: Asked) -> None:
    asked.level = "off"
    plain(observer, [step(5, "a", "stop")])
    observer.close()
    assert kept.traces == []


def test_an_id_that_the_client_chose_does_not_make_two_requests_one(
    observer: Observer, kept: Kept, asked: Asked
) -> None:
    asked.chosen_id = True
    plain(observer, [step(5, "a", "stop")])
    plain(observer, [step(5, "a", "stop")])
    observer.close()
    first, second = (trace.request for trace in kept.traces)
    assert first.request_id != second.request_id
    assert first.group_id == second.group_id == "r"


async def test_who_watches_sees_a_request_begin_draw_and_end(kept: Kept, asked: Asked) -> None:
    live = Live()
    observer = Observer(kept, live=live)
    with live.watch("ann") as ann, live.watch("bob") as bob:
        plain(observer, [step(5, "a"), step(6, "b", "stop")])
        told = [await ann.next() for _ in range(4)]
        bob.tell({"type": "nothing for bob"})
        assert (await bob.next())["type"] == "nothing for bob"
    assert [message["type"] for message in told] == ["begun", "tokens", "tokens", "ended"]
    assert [(message["at"], message["tokens"]) for message in told[1:3]] == [(0, [5]), (1, [6])]
    assert told[3]["text"] == "ab"
    observer.close()


@pytest.mark.parametrize("kind", [DELTA, WHOLE])
async def test_who_watches_sees_what_a_mod_puts_in_and_takes_back(
    kept: Kept, asked: Asked, kind: Any
) -> None:
    live, output = Live(), list[int]()
    observer = Observer(kept, live=live)
    mod = handler(Added, 4, lambda actions: actions.backtrack(2, ids(" Rome")))
    with live.watch("ann") as ann:
        await play(observer, [mod], TEXT, output_kind=kind)
        while (message := await ann.next())["type"] != "ended":
            if message["type"] == "tokens":
                assert message["at"] <= len(output)
                output[message["at"] :] = message["tokens"]
    trace = only(observer, kept)
    assert output == trace.request.final_token_ids
    assert trace.request.usage.erased == 2


async def test_a_session_that_is_left_alone_leaves_the_engine_s_tokens(
    observer: Observer, kept: Kept, asked: Asked
) -> None:
    await play(observer, [LoadedMod(lambda *_: None, Traits("idle", reach=0, logits=False))], TEXT)
    trace = only(observer, kept)
    assert trace.story.tokens[:-1] == ids(TEXT)
    assert set(trace.story.origins) == {SAMPLED}
    assert (trace.request.final_text, trace.request.finish_reason) == (TEXT, "stop")
    assert trace.request.mods == [ModUse("idle", "d")]
    calls = len(trace.calls.events)
    assert calls == len(trace.record().events)
    assert all(micros is not None for micros in trace.calls.micros)


@pytest.mark.parametrize("kind", [DELTA, WHOLE])
async def test_what_a_mod_forces_and_takes_back_is_told_with_its_call(
    observer: Observer, kept: Kept, kind: Any
) -> None:
    put = ids(" Rome")
    mod = handler(Added, 4, lambda actions: actions.backtrack(2, put))
    await play(observer, [mod], TEXT, output_kind=kind)
    trace = only(observer, kept)
    story = trace.story
    gone = [n for n, event in enumerate(story.erased) if event != STAYED]
    assert [story.tokens[n] for n in gone] == ids(TEXT)[2:4]
    (action,) = trace.actions
    assert (action.action_type, action.backtrack_steps, action.mod_name) == ("backtrack", 2, "calm")
    assert (action.tokens, action.before) == (put, ids(TEXT)[2:4])
    assert action.mod_call_sequence is not None
    assert trace.calls.events[action.mod_call_sequence] == story.erased[gone[0]]
    assert story.origins.count(FORCED) == 1
    assert story.origins.count(FORCED_MORE) == len(put) - 1
    assert trace.request.final_token_ids == story.surviving()
    assert trace.request.usage.erased == 2
    record = trace.record()
    assert Trace.from_json(record.to_json()).record().to_json() == record.to_json()


async def test_a_refused_draw_stays_in_the_trace(observer: Observer, kept: Kept) -> None:
    mod = handler(Sampled, 1, lambda actions: actions.force_tokens([9]))
    await play(observer, [mod], TEXT)
    trace = only(observer, kept)
    assert trace.story.tokens[1:3] == [ids(TEXT)[1], 9]
    assert trace.story.erased[1] != STAYED
    assert trace.actions[0].before == [ids(TEXT)[1]]


async def test_full_scores_the_draws_of_a_session_and_no_forced_token(
    observer: Observer, kept: Kept, asked: Asked
) -> None:
    asked.level = "full"
    mod = handler(ForwardPass, 2, lambda actions: actions.force_tokens([9]))
    outputs, _ = await play(observer, [mod], TEXT)
    assert all(output.outputs[0].logprobs is None for output in outputs)
    story = only(observer, kept).story
    for n, origin in enumerate(story.origins):
        scored = story.probabilities[n] is not None
        assert scored == (origin == SAMPLED)
    assert len(story.top_tokens[0]) == 5
    assert story.top_tokens[2] == []


async def test_an_output_that_was_replaced_is_told(observer: Observer, kept: Kept) -> None:
    mod = handler(Added, 3, lambda actions: actions.force_output([5, 6]))
    await play(observer, [mod], TEXT)
    trace = only(observer, kept)
    assert trace.request.final_token_ids == [5, 6]
    assert trace.story.origins[-2:] == [OUTPUT, OUTPUT]
    assert trace.actions[0].before == ids(TEXT)[:3]


async def test_tool_calls_are_told(observer: Observer, kept: Kept) -> None:
    call = {"name": "look", "arguments": {"at": "it"}}
    mod = handler(Added, 2, lambda actions: actions.tool_calls([call]))
    await play(observer, [mod], TEXT)
    request = only(observer, kept).request
    assert request.finish_reason == "tool_calls"
    assert request.tool_calls[0]["function"]["name"] == "look"


async def test_an_exception_of_a_mod_is_told_with_its_traceback_and_its_prints(
    observer: Observer, kept: Kept
) -> None:
    def fail(actions: Any) -> None:
        raise KeyError("lost")

    _, raised = await play(observer, [handler(Added, 2, fail)], TEXT)
    assert raised is not None
    trace = only(observer, kept)
    (failure,) = trace.failures
    assert (failure.type, "lost" in failure.message) == ("KeyError", True)
    assert "Traceback" in failure.traceback
    assert trace.request.error is not None
    assert trace.request.error.status == 422
    assert trace.record().mod_calls[failure.call].exception_occurred


async def test_a_session_that_the_engine_failed_keeps_its_story(
    observer: Observer, kept: Kept
) -> None:
    mod = LoadedMod(lambda *_: None, Traits("idle", reach=0, logits=False))
    await play(observer, [mod], TEXT, breaks_at=3)
    trace = only(observer, kept)
    assert trace.request.status == "failed"
    assert trace.story.tokens == ids(TEXT)[:2]


async def test_a_session_whose_client_goes_away_is_aborted(observer: Observer, kept: Kept) -> None:
    mod = LoadedMod(lambda *_: None, Traits("idle", reach=0, logits=False))
    await play(observer, [mod], TEXT, leave_after=3)
    trace = only(observer, kept)
    assert trace.request.status == "aborted"
    assert len(trace.story.tokens) >= 3


async def test_of_a_host_that_died_the_engine_s_tokens_are_left(
    observer: Observer, kept: Kept, asked: Asked
) -> None:
    asked.level = "full"
    mod = handler(ForwardPass, 2, lambda actions: actions.force_tokens(list(range(50, 60))))
    await play(observer, [mod], TEXT, dies=True)
    trace = only(observer, kept)
    assert trace.story.origins[2:4] == [FORCED, FORCED]
    assert trace.story.tokens[:2] == ids(TEXT)[:2]
    assert trace.story.probabilities[0] == pytest.approx(0.5)
    assert trace.actions == []


def test_the_demo_tokenizer_is_what_these_tests_think_it_is() -> None:
    assert mods_tokenizer().decode(ids(TEXT)) == TEXT
