"""The reference loop over the bundled model: exact, by the laws, and equal to the plain reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mods.runtime.compile import Traits
from mods.runtime.decisions import SessionSpec
from mods.runtime.seat import LoadedMod
from mods.sdk.actions import Action, ActionBuilder, AdjustedPrefill
from mods.sdk.events import Added, Event, Finished, ForwardPass, Prefilled, Sampled
from mods.sdk.testing import Oracle, Outcome, Recorder, Story
from mods.sdk.testing.chain import winner
from mods.sdk.testing.check import LAWS
from mods.sdk.testing.laws import Case
from mods.sdk.testing.recorder import told
from mods.sdk.testing.script import Line, Script
from mods.sdk.testing.tokenizer import SENTINEL
from server.demo import MODEL_PATH

transformers = pytest.importorskip("transformers")
pytest.importorskip("vllm")

from vllm.sampling_params import SamplingParams  # noqa: E402

from server.engine.reference.backend import NotCapturedError  # noqa: E402
from server.engine.reference.generation import Generation  # noqa: E402
from server.engine.reference.loop import BusyError, ReferenceLoop  # noqa: E402
from server.engine.reference.sampling import draw, shape_by_request  # noqa: E402
from server.engine.reference.session import ReferenceSession  # noqa: E402
from server.engine.reference.transformers_backend import TransformersBackend  # noqa: E402

FRANCE = "What is the capital of France?"
PARIS = "The capital of France is Paris."
COUNT = "Count to ten."
COUNTED = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10."

Handle = Callable[[Any, ActionBuilder, Any], Action | None]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The model is so small that threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def loop() -> ReferenceLoop:
    return ReferenceLoop.load(MODEL_PATH)


@pytest.fixture(scope="module")
def watching() -> TransformersBackend:
    return TransformersBackend.load(str(MODEL_PATH), hidden_states=True, attentions=True)


def ask(loop: ReferenceLoop, question: str) -> list[int]:
    messages = [{"role": "user", "content": question}]
    text = loop.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return list(loop.tokenizer.encode(text, add_special_tokens=False))


def greedy(**more: Any) -> SamplingParams:
    return SamplingParams(**{"temperature": 0, "max_tokens": 48, **more})


def mod(handle: Handle, **traits: Any) -> LoadedMod:
    return LoadedMod(handle, Traits(**{"name": "mod", "logits": False, **traits}))


def once(kind: type[Event], act: Handle, position: int = 0) -> Handle:
    """Act the first time that an event of this kind comes at this position."""
    done = False

    def handle(event: Any, actions: ActionBuilder, tokenizer: Any) -> Action | None:
        nonlocal done
        if done or not isinstance(event, kind) or event.position < position:
            return None
        done = True
        return act(event, actions, tokenizer)

    return handle


def say(loop: ReferenceLoop, question: str, *mods: LoadedMod, **more: Any) -> Generation:
    made = loop.generate(ask(loop, question), greedy(**more), mods)
    assert made.failure is None, made.failure
    assert len(made.logprobs) == len(made.tokens)
    assert made.usage.sampled + made.usage.forced == len(made.tokens)
    return made


# The backend.


@pytest.mark.parametrize("length", [0, 1, 7, 20, 39])
def test_a_rewind_and_the_same_tokens_again_give_the_logits_of_a_fresh_prefill(
    loop: ReferenceLoop, length: int
) -> None:
    backend, tokens = loop.backend, list(range(100, 140))
    fresh = backend.prefill(tokens)
    backend.rewind_kv_cache(length)
    backend.add_tokens([7, 8, 9])
    backend.forward_pass()
    backend.rewind_kv_cache(length)
    backend.add_tokens(tokens[length:])
    assert torch.allclose(backend.forward_pass(), fresh, atol=1e-4)
    assert list(backend.context) == tokens


def test_token_by_token_gives_the_logits_of_one_prefill(loop: ReferenceLoop) -> None:
    backend, tokens = loop.backend, list(range(300, 330))
    whole = backend.prefill(tokens)
    row = backend.prefill(tokens[:1])
    for token in tokens[1:]:
        row = backend.forward_pass(token)
    assert torch.allclose(row, whole, atol=1e-4)
    assert row.dtype == torch.float32
    assert row.shape == (backend.vocabulary,)


def test_a_rewind_alone_gives_the_logits_of_what_is_left(loop: ReferenceLoop) -> None:
    backend = loop.backend
    short = backend.prefill([5, 6, 7])
    backend.prefill([5, 6, 7, 8, 9])
    backend.rewind_kv_cache(3)
    assert torch.allclose(backend.forward_pass(), short, atol=1e-4)


def test_an_edited_row_does_not_change_the_next_one(loop: ReferenceLoop) -> None:
    row = loop.backend.prefill([5, 6, 7])
    before = row.clone()
    row.fill_(0)
    assert torch.equal(loop.backend.forward_pass(), before)


def test_a_window_that_has_slid_is_rewound_exactly() -> None:
    config = transformers.MistralConfig(
        vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, sliding_window=6,
    )  # fmt: skip
    torch.manual_seed(0)
    backend = TransformersBackend(transformers.MistralForCausalLM(config).float())
    tokens = [i % 60 for i in range(3, 25)]
    fresh = {length: backend.prefill(tokens[:length]) for length in (4, 9, 21, 22)}
    for length in (21, 9, 4):
        backend.rewind_kv_cache(length)
        assert torch.allclose(backend.forward_pass(), fresh[length], atol=1e-4)
    backend.add_tokens(tokens[4:])
    assert torch.allclose(backend.forward_pass(), fresh[22], atol=1e-4)


def test_what_cannot_be_in_a_context_is_refused(loop: ReferenceLoop) -> None:
    backend = loop.backend
    backend.prefill([5])
    with pytest.raises(ValueError, match="token id 2048 is outside the vocabulary"):
        backend.add_tokens([2048])
    with pytest.raises(ValueError, match="4097 tokens do not fit"):
        backend.add_tokens([5] * 4096)
    with pytest.raises(ValueError, match="cannot rewind to 2 tokens: the context has 1"):
        backend.rewind_kv_cache(2)
    with pytest.raises(ValueError, match="the context is empty"):
        backend.prefill([])


def test_hidden_states_follow_the_context(watching: TransformersBackend) -> None:
    tokens = list(range(50, 62))
    watching.prefill(tokens)
    fresh = [watching.hidden_states(layer) for layer in range(7)]
    watching.prefill([*tokens[:5], 9, 9, 9])
    watching.rewind_kv_cache(5)
    watching.add_tokens(tokens[5:9])
    for token in tokens[9:]:
        watching.forward_pass(token)
    for layer, expected in enumerate(fresh):
        assert expected.shape == (12, 256)
        assert torch.allclose(watching.hidden_states(layer), expected, atol=1e-4)
    head = watching.model.lm_head(fresh[-1][-1])
    assert torch.allclose(head, watching.forward_pass(), atol=1e-3)


def test_attention_follows_the_context(watching: TransformersBackend) -> None:
    tokens = list(range(50, 60))
    watching.prefill(tokens)
    fresh = watching.attentions(3)
    watching.prefill([*tokens[:4], 9])
    watching.rewind_kv_cache(4)
    for token in tokens[4:]:
        watching.add_tokens([token])
        again = watching.attentions(3)
    assert fresh.shape == (4, 10, 10)
    assert torch.allclose(again, fresh, atol=1e-4)
    assert torch.allclose(fresh.sum(-1), torch.ones(4, 10), atol=1e-4)
    assert not fresh.triu(1).any()


def test_activations_that_are_not_kept_or_not_there_are_refused(
    loop: ReferenceLoop, watching: TransformersBackend
) -> None:
    loop.backend.prefill([5])
    with pytest.raises(NotCapturedError, match="hidden_states=True"):
        loop.backend.hidden_states(0)
    with pytest.raises(NotCapturedError, match="attentions=True"):
        loop.backend.attentions(0)
    watching.prefill([5])
    with pytest.raises(ValueError, match="layers 0 to 6"):
        watching.hidden_states(7)
    with pytest.raises(ValueError, match="layers 0 to 5"):
        watching.attentions(-1)


# Without mods.


@pytest.mark.parametrize("question", [FRANCE, COUNT, "What is 3 + 4?", "Tell me about cats."])
def test_plain_greedy_is_what_transformers_generates(loop: ReferenceLoop, question: str) -> None:
    prompt = ask(loop, question)
    model = loop.backend.model  # type: ignore[attr-defined]
    expected = model.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), max_new_tokens=48,
        do_sample=False,
    )  # fmt: skip
    made = say(loop, question)
    assert made.tokens == expected[0, len(prompt) :].tolist()
    assert made.text == loop.tokenizer.decode(made.tokens, skip_special_tokens=True)


def test_every_drawn_token_has_the_logprob_of_the_model_s_own_row(loop: ReferenceLoop) -> None:
    made = say(loop, COUNT, max_tokens=6, logit_bias={50: -100.0})
    model = loop.backend.model  # type: ignore[attr-defined]
    with torch.no_grad():
        rows = model(torch.tensor([made.prompt + made.tokens])).logits[0].log_softmax(-1)
    start = len(made.prompt) - 1
    expected = [float(rows[start + i, token]) for i, token in enumerate(made.tokens)]
    assert made.logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("more", "text", "reason", "stop_reason"),
    [
        ({}, COUNTED, "stop", None),
        ({"stop": ["5"]}, "1, 2, 3, 4, ", "stop", "5"),
        ({"stop": ["5"], "include_stop_str_in_output": True}, "1, 2, 3, 4, 5", "stop", "5"),
        ({"stop": [", 4", "7"]}, "1, 2, 3", "stop", ", 4"),
    ],
)
def test_ends_are_the_session_s(
    loop: ReferenceLoop, more: dict[str, Any], text: str, reason: str, stop_reason: str | None
) -> None:
    made = say(loop, COUNT, **more)
    assert (made.text, made.finish_reason, made.stop_reason) == (text, reason, stop_reason)


def test_a_request_s_length_is_kept(loop: ReferenceLoop) -> None:
    assert len(say(loop, COUNT, max_tokens=7).tokens) == 7
    assert say(loop, COUNT, max_tokens=7).finish_reason == "length"
    assert len(say(loop, FRANCE, min_tokens=40, max_tokens=44).tokens) >= 40
    assert len(say(loop, FRANCE, ignore_eos=True, max_tokens=30).tokens) == 30


def test_parameters_of_the_request_shape_its_rows(loop: ReferenceLoop) -> None:
    plain = say(loop, COUNT).tokens
    assert plain[4] not in say(loop, COUNT, logit_bias={plain[4]: -100.0}).tokens
    allowed = say(loop, COUNT, allowed_token_ids=plain[:3], max_tokens=8).tokens
    assert set(allowed) <= set(plain[:3])
    assert "3" not in say(loop, COUNT, bad_words=["3"]).text
    told_off = say(loop, COUNT, frequency_penalty=2.0, max_tokens=24).tokens
    assert len(set(told_off)) / len(told_off) > len(set(plain)) / len(plain)


def test_rows_are_shaped_in_vllm_s_order() -> None:
    params = SamplingParams(
        allowed_token_ids=[1, 2, 3], logit_bias={3: 5.0, 4: 5.0}, min_tokens=2, max_tokens=9,
        stop_token_ids=[2],
    )  # fmt: skip
    row = torch.zeros(6)
    shape_by_request(row, params, 1)
    assert row.isneginf().tolist() == [True, False, True, False, True, True]
    assert row[3] == 5
    row = torch.zeros(6)
    shape_by_request(row, params, 2)
    assert row[2] == 0


@pytest.mark.parametrize(
    ("more", "likely"),
    [
        ({}, {0, 1, 2, 3}),
        ({"top_k": 2}, {0, 1}),
        ({"top_p": 0.55}, {0, 1}),
        ({"min_p": 0.9}, {0}),
        ({"min_p": 0.3}, {0, 1, 2}),
        ({"temperature": 0.01}, {0}),
        ({"temperature": 0}, {0}),
    ],
)
def test_a_draw_is_one_of_those_that_the_parameters_leave(
    more: dict[str, Any], likely: set[int]
) -> None:
    params = SamplingParams(**{"temperature": 1.0, **more})
    generator = torch.Generator().manual_seed(0)
    chances = torch.tensor([0.42, 0.3, 0.18, 0.1])
    drawn = [draw(chances.log(), params, generator) for _ in range(200)]
    assert set(drawn) == likely


def test_draws_have_the_chances_that_the_logits_say() -> None:
    generator = torch.Generator().manual_seed(1)
    chances = torch.tensor([0.5, 0.3, 0.2])
    params = SamplingParams(temperature=2.0)
    drawn = torch.tensor([draw(chances.log(), params, generator) for _ in range(3000)])
    expected = chances.sqrt() / chances.sqrt().sum()
    assert torch.allclose(torch.bincount(drawn) / 3000, expected, atol=0.04)


def test_a_seed_gives_the_same_text_again_and_another_seed_another(loop: ReferenceLoop) -> None:
    texts = [
        say(loop, "Tell me about cats.", temperature=1.5, seed=seed).text for seed in (1, 1, 2, 3)
    ]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


@pytest.mark.parametrize("more", [{"n": 2, "temperature": 1}, {"prompt_logprobs": 1}])
def test_what_it_cannot_keep_is_refused(loop: ReferenceLoop, more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cannot keep"):
        loop.generate([5], greedy(**more))
    with pytest.raises(ValueError, match="a prompt has 1 to 4095 tokens, this one 0"):
        loop.generate([], greedy())


# With mods: every action at every event.


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"stop": ["7"]},
        {"repetition_penalty": 1.3, "presence_penalty": 0.4},
        {"bad_words": ["3"]},
        {"logit_bias": {50: -100.0}},
        {"min_tokens": 40},
        {"temperature": 1.1, "seed": 9, "top_p": 0.95, "top_k": 40, "min_p": 0.01},
    ],
)
@pytest.mark.parametrize("logits", [False, True])
def test_a_noop_mod_changes_nothing(
    loop: ReferenceLoop, more: dict[str, Any], logits: bool
) -> None:
    plain = say(loop, COUNT, **more)
    seen: list[Event] = []
    made = say(loop, COUNT, mod(lambda event, *_: seen.append(event), logits=logits), **more)
    assert (made.tokens, made.text, made.stop_reason) == (
        plain.tokens, plain.text, plain.stop_reason,
    )  # fmt: skip
    assert made.logprobs == plain.logprobs
    assert len(seen) == 3 * len(made.tokens) + 2
    assert made.record["calls"] == len(seen)


def test_adjust_prefill_asks_another_question(loop: ReferenceLoop) -> None:
    other = ask(loop, "What is the capital of Japan?")
    asked = once(Prefilled, lambda event, actions, _: actions.adjust_prefill(other, 4))
    made = say(loop, FRANCE, mod(asked))
    assert "The capital of Japan is Tokyo.".startswith(made.text)
    assert (len(made.tokens), made.finish_reason, made.prompt) == (4, "length", other)


@pytest.mark.parametrize("kind", [ForwardPass, Sampled, Added])
@pytest.mark.parametrize("words", ["Sure! ", "Of course. However, Paris is nice. Additionally, "])
def test_tokens_are_forced(loop: ReferenceLoop, kind: type[Event], words: str) -> None:
    force = once(kind, lambda event, actions, _: actions.force_tokens(words))
    made = say(loop, FRANCE, mod(force))
    run = loop.mods_tokenizer.encode(words, add_special_tokens=False)
    at = 1 if kind is Added else 0
    assert made.tokens[at : at + len(run)] == run
    assert made.usage.forced == len(run)
    assert made.usage.erased == (1 if kind is Sampled else 0)
    if len(run) >= 8:
        assert made.logprobs[at : at + len(run)] == [None] * len(run)
        assert made.logprobs[-1] is not None


@pytest.mark.parametrize("kind", [ForwardPass, Sampled, Added])
@pytest.mark.parametrize("tokens", ["", "XYZ"])
def test_tokens_are_taken_back(loop: ReferenceLoop, kind: type[Event], tokens: str) -> None:
    taken = once(kind, lambda event, actions, _: actions.backtrack(3, tokens), position=5)
    events: list[Event] = []
    made = say(loop, FRANCE, mod(taken), mod(lambda event, *_: events.append(event)))
    assert made.usage.erased == 3
    removed = [event.removed for event in events if isinstance(event, Added) and event.removed]
    assert len(removed) == 1
    assert len(removed[0]) == (2 if kind is Sampled else 3)
    if tokens:
        assert tokens in made.text
    else:
        assert made.text == PARIS


def test_a_token_taken_back_again_and_again_leaves_no_trace(loop: ReferenceLoop) -> None:
    left = 12

    def waver(event: Event, actions: ActionBuilder, _: Any) -> Action | None:
        nonlocal left
        if isinstance(event, Added) and event.position >= 6 and left:
            left -= 1
            return actions.backtrack(1 + left % 5)
        return None

    plain, made = say(loop, COUNT), say(loop, COUNT, mod(waver))
    assert made.tokens == plain.tokens
    assert made.usage.erased > 12
    assert made.logprobs[-1] == pytest.approx(plain.logprobs[-1], abs=1e-4)


def test_a_whole_row_of_logits_decides(loop: ReferenceLoop) -> None:
    paris = loop.mods_tokenizer.encode(" Paris", add_special_tokens=False)[0]

    def ban(event: Event, actions: ActionBuilder, _: Any) -> Action | None:
        if not isinstance(event, ForwardPass):
            return None
        row = event.logits.to_numpy()
        assert event.top_k_logprob(1)[0][0] == int(row.argmax())
        row[0, paris] = -np.inf
        return actions.adjust_logits(row)

    assert paris not in say(loop, FRANCE, mod(ban, logits=True)).tokens


@pytest.mark.parametrize(
    "act",
    [
        lambda actions, ids: actions.bias({ids[0]: -100.0}),
        lambda actions, ids: actions.ban(ids[:1]),
    ],
)
def test_bias_and_ban_keep_a_word_out(loop: ReferenceLoop, act: Any) -> None:
    ids = loop.mods_tokenizer.encode(" Paris", add_special_tokens=False)
    shape = mod(
        lambda event, actions, _: act(actions, ids) if event.name == "ForwardPass" else None
    )
    assert ids[0] not in say(loop, FRANCE, shape).tokens


def test_allow_leaves_only_what_is_allowed(loop: ReferenceLoop) -> None:
    ids = loop.mods_tokenizer.encode("no yes", add_special_tokens=False)
    shape = mod(
        lambda event, actions, _: actions.allow(ids) if event.name == "ForwardPass" else None
    )
    assert set(say(loop, FRANCE, shape, max_tokens=6).tokens) <= set(ids)


def warm(temperature: float) -> LoadedMod:
    return mod(
        lambda event, actions, _: (
            actions.adjust_logits(token_temp=temperature) if event.name == "ForwardPass" else None
        )
    )


def test_a_temperature_holds_for_one_draw(loop: ReferenceLoop) -> None:
    assert say(loop, FRANCE, warm(0), temperature=2.0).text == PARIS
    wild = {say(loop, FRANCE, warm(50), max_tokens=8, seed=seed).text for seed in range(4)}
    assert len(wild) > 1
    assert len({say(loop, FRANCE, warm(50), max_tokens=8, seed=5).text for _ in range(2)}) == 1


@pytest.mark.parametrize("kind", [Prefilled, ForwardPass, Sampled, Added])
def test_terminal_actions_end(loop: ReferenceLoop, kind: type[Event]) -> None:
    secret = once(kind, lambda event, actions, _: actions.force_output("It is a secret."))
    made = say(loop, FRANCE, mod(secret))
    assert (made.text, made.finish_reason, made.replaced) == ("It is a secret.", "stop", True)

    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    calls = once(kind, lambda event, actions, _: actions.tool_calls(call))
    made = say(loop, FRANCE, mod(calls))
    assert (made.tool_calls, made.finish_reason) == ([call], "tool_calls")

    error = once(kind, lambda event, actions, _: actions.emit_error("not today"))
    made = loop.generate(ask(loop, FRANCE), greedy(), [mod(error)])
    assert made.failure is not None
    assert (made.failure.status, made.failure.message) == (400, "not today")
    assert made.finish_reason == "error"


def test_a_mod_that_raises_fails_its_request_alone(loop: ReferenceLoop) -> None:
    def wrong(event: Event, *_: Any) -> None:
        if event.position == 3:
            raise KeyError("lost")

    made = loop.generate(ask(loop, FRANCE), greedy(), [mod(wrong)])
    assert made.failure is not None
    assert (made.failure.status, made.failure.type) == (422, "mod_exception")
    assert made.record["failures"][0]["error"] == "KeyError"
    assert say(loop, FRANCE).text == PARIS


def test_a_mod_may_go_on_past_an_end(loop: ReferenceLoop) -> None:
    def more(event: Event, actions: ActionBuilder, tokenizer: Any) -> Action | None:
        if isinstance(event, Added) and event.added_tokens[-1] == tokenizer.eos_token_id:
            return None if event.position > 12 else actions.force_tokens(" Or so I heard.")
        return None

    made = say(loop, FRANCE, mod(more))
    assert made.text.startswith(PARIS + " Or so I heard.")
    assert [end.index for end in made.passed_ends] == [made.tokens.index(loop.backend.eos_ids[0])]

    again = once(Added, lambda event, actions, _: actions.force_tokens(" and"), position=13)
    made = say(loop, COUNT, mod(again), stop=["5"])
    assert made.passed_ends[0].stop == "5"
    assert made.text.startswith("1, 2, 3, 4,  and")


def test_a_forced_run_is_cut_at_the_first_end(loop: ReferenceLoop) -> None:
    force = once(ForwardPass, lambda event, actions, _: actions.force_tokens("a b STOP c d e f"))
    made = say(loop, FRANCE, mod(force), stop=["STOP"])
    assert (made.text, made.stop_reason) == ("a b ", "STOP")
    assert [entry["action"] for entry in made.record["actions"]] == ["cut", "force_tokens"] or [
        entry["action"] for entry in made.record["actions"]
    ] == ["force_tokens", "cut"]


def test_two_mods_act_in_order_and_each_sees_the_original_event(loop: ReferenceLoop) -> None:
    ids = loop.mods_tokenizer.encode(" Paris", add_special_tokens=False)
    ban = mod(
        lambda event, actions, _: actions.ban(ids[:1]) if event.name == "ForwardPass" else None
    )
    sure = mod(once(ForwardPass, lambda event, actions, _: actions.force_tokens("Sure! ")))
    made = say(loop, FRANCE, ban, sure)
    assert made.text.startswith("Sure! ")
    assert ids[0] not in made.tokens
    assert made.record["actions"][0]["overridden"]


# Streams.


def begin(
    loop: ReferenceLoop, question: str, *mods: LoadedMod, **more: Any
) -> tuple[ReferenceSession, Iterator[Any]]:
    session = loop.session(ask(loop, question), greedy(**more), loop.in_process(mods))
    return session, loop.stream(session)


@pytest.mark.parametrize("reach", [0, 4, None])
def test_a_stream_shows_what_no_reach_touches(loop: ReferenceLoop, reach: int | None) -> None:
    session, stream = begin(loop, COUNT, mod(lambda *_: None, reach=reach))
    pieces = list(stream)
    assert "".join(piece.text for piece in pieces) == session.generation.text == COUNTED
    shown = [token for piece in pieces for token in piece.tokens]
    assert shown == session.generation.tokens
    if reach is None:
        assert len(pieces) == 1
    else:
        assert len(pieces) == len(shown) - reach
        assert len(pieces[-1].tokens) == reach + 1


def test_nothing_that_was_shown_is_taken_back(loop: ReferenceLoop) -> None:
    taken = once(Added, lambda event, actions, _: actions.backtrack(3, "!"), position=12)
    session, stream = begin(loop, COUNT, mod(taken, reach=4))
    pieces = list(stream)
    assert len(pieces) > 5
    assert "".join(piece.text for piece in pieces) == session.generation.text
    assert "!" in session.generation.text

    far = once(Added, lambda event, actions, _: actions.backtrack(5), position=8)
    session, stream = begin(loop, COUNT, mod(far, reach=2))
    assert list(stream)
    failure = session.generation.failure
    assert failure is not None
    assert failure.type == "reach_exceeded"


def test_output_replaced_after_text_was_shown_must_extend_it(loop: ReferenceLoop) -> None:
    for text, fails in (("1, 2, 3, and so on", False), ("no", True)):
        swap = once(
            Added, lambda event, actions, _, text=text: actions.force_output(text), position=6
        )
        session, stream = begin(loop, COUNT, mod(swap, reach=0))
        pieces = "".join(piece.text for piece in stream)
        made = session.generation
        assert (made.failure is not None) == fails
        assert pieces == text or (fails and COUNTED.startswith(pieces))


def test_a_stream_that_is_closed_ends_its_session_once(loop: ReferenceLoop) -> None:
    reasons: list[str] = []

    def note(event: Event, *_: Any) -> None:
        if isinstance(event, Finished):
            reasons.append(event.reason)

    session, stream = begin(loop, COUNT, mod(note, reach=0))
    first = next(stream)
    with pytest.raises(BusyError):
        say(loop, FRANCE)
    stream.close()  # type: ignore[attr-defined]
    assert reasons == ["aborted"]
    assert session.generation.finish_reason == "aborted"
    assert session.generation.tokens[: len(first.tokens)] == first.tokens

    session, stream = begin(loop, COUNT, mod(note, reach=0))
    next(stream)
    session.abort()
    assert not list(stream)
    assert reasons == ["aborted", "aborted"]
    assert say(loop, FRANCE).text == PARIS


# Any legal script.


class PlainModel:
    """The bundled model, computed from its first token every time."""

    def __init__(self, loop: ReferenceLoop) -> None:
        self._model = loop.backend.model  # type: ignore[attr-defined]

    def logits(self, context: Any) -> Any:
        with torch.no_grad():
            return self._model(torch.tensor([list(context)])).logits[0, -1].float().numpy()


def outcome_of(made: Generation, shown: list[list[int]]) -> Outcome:
    """A generation, as the kit of laws wants it."""
    failure = made.failure
    return Outcome(
        made.tokens,
        made.finish_reason,
        200 if failure is None else failure.status,
        None if failure is None else failure.type,
        "" if failure is None else failure.message,
        prompt=made.prompt,
        stop_reason=made.stop_reason,
        tool_calls=made.tool_calls,
        passed_ends=made.passed_ends,
        replaced=made.replaced,
        usage=made.usage,
        shown=list(shown),
        record=made.record,
    )


def check_laws_on(loop: ReferenceLoop, story: Story, outcome: Outcome, spec: SessionSpec) -> None:
    first = winner(story.turns[0])
    limit = spec.max_tokens
    if isinstance(first, AdjustedPrefill):
        limit = min(first.max_steps or limit, spec.max_context - len(first.tokens))
    for law in LAWS:
        law(Case(story, outcome, spec, limit, tokenizer=loop.mods_tokenizer))


def without_logits(event: Event) -> tuple[object, ...]:
    return told(replace(event, _logits=None) if isinstance(event, ForwardPass) else event)


tokens = st.sampled_from([1, 3, 47, 48, 50, 90, 300, 301, 700, 1500, 2047])
runs = st.one_of(st.lists(tokens, max_size=3), st.lists(tokens, min_size=8, max_size=10)).map(tuple)
lines = st.builds(
    Line,
    kind=st.sampled_from(
        ["force_tokens", "backtrack", "adjust_logits", "noop"] * 3
        + ["force_output", "tool_calls", "adjust_prefill"]
    ),
    tokens=runs,
    n=st.integers(1, 6),
    bias=st.dictionaries(tokens, st.sampled_from([-20.0, -3.0, 3.0, 20.0]), max_size=3),
    ban=st.frozensets(tokens, max_size=3),
    allow=st.none() | st.frozensets(tokens, min_size=6),
    temperature=st.sampled_from([None, 0.0]),
    row=st.booleans(),
    max_steps=st.none() | st.integers(1, 12),
    steer=st.sampled_from([None] * 6 + ["hold", "release"]),
)
scripts = st.builds(
    Script,
    lines=st.dictionaries(st.integers(0, 20), lines, max_size=7),
    reach=st.none() | st.sampled_from([0, 2, 20]),
    logits=st.booleans(),
)
chains = st.lists(scripts, min_size=1, max_size=2).map(
    lambda chain: [replace(script, name=f"mod{i}") for i, script in enumerate(chain)]
)


@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(chains, st.integers(1, 10), st.sampled_from([[], ["a", "5"], [", 2"]]))
def test_any_legal_script_gives_what_the_plain_reading_of_the_laws_gives(
    loop: ReferenceLoop, chain: list[Script], max_tokens: int, stop: list[str]
) -> None:
    ours, theirs = Recorder(loop.backend.vocabulary), Recorder(loop.backend.vocabulary)
    mods = loop.in_process(ours.chain([script.mod() for script in chain]))
    params = greedy(max_tokens=max_tokens, stop=stop)
    session = loop.session(ask(loop, COUNT), params, mods, sentinel=SENTINEL)
    shown: list[list[int]] = [[]]
    for piece in loop.stream(session):
        shown.append(shown[-1] + piece.tokens)
    spec, made = session.spec, session.generation

    oracle = Oracle(spec, theirs.chain([script.mod() for script in chain]), PlainModel(loop))
    oracle.tokenizer = loop.mods_tokenizer
    want = oracle.run()

    events = [without_logits(event) for event in ours.stories[spec.request_id].events]
    expected = [without_logits(event) for event in theirs.stories[spec.request_id].events]
    shown_too_early = made.failure is not None and "already shown" in made.failure.message
    if made.failure is not None:
        events, expected = events[:-1], expected[:-1]
    assert events == expected
    if shown_too_early:
        return
    assert made.finish_reason == want.reason
    assert made.record["actions"] == want.record["actions"]
    if made.failure is None:
        assert made.tokens == want.tokens
        assert (made.stop_reason, made.tool_calls) == (want.stop_reason, want.tool_calls)
        assert (made.usage, made.passed_ends) == (want.usage, want.passed_ends)
    check_laws_on(loop, ours.stories[spec.request_id], outcome_of(made, shown), spec)
