"""Without mods the loop is greedy search, and keeps what the request asks for."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from server.engine.reference.loop import ReferenceLoop
from tests.server.engine.reference.asking import COUNT, COUNTED, FRANCE, ask, greedy, say


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
