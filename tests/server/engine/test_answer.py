"""What a stream gives out of tokens whose text is held back for a stop string."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast
from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams

from mods.runtime.decisions import Finish, Usage
from server.demo import MODEL_PATH
from server.engine.answer import Answer
from server.engine.call import Call

TEXT = "The capital of France is Paris."


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return PreTrainedTokenizerFast.from_pretrained(MODEL_PATH)


def answer_of(tokenizer: Any, *mods: Any) -> Answer:
    params = SamplingParams(stop=["Berlin"], output_kind=RequestOutputKind.DELTA)
    given: Any = SimpleNamespace(
        tokenizer=tokenizer, request_id="r", prompt_text=None, arguments={}, end_of_sequence=1
    )
    host: Any = None
    return Answer(given, Call(list(mods), host), [5], params, 0, 0)


def given_out(answer: Answer, tokens: list[int]) -> list[tuple[str, int]]:
    """Each output's text and number of tokens, the tokens coming one by one."""
    shown = []
    for token in tokens:
        answer.tokens.append(token)
        answer._logprobs.append(None)
        output = answer.show(floor=len(answer.tokens), judged=True)
        if output is not None:
            shown.append(part(output))
    return shown


def part(output: RequestOutput) -> tuple[str, int]:
    return output.outputs[0].text, len(output.outputs[0].token_ids)


def test_with_mods_a_token_goes_out_with_its_text(tokenizer: Any) -> None:
    answer = answer_of(tokenizer, object())
    tokens = tokenizer.encode(TEXT, add_special_tokens=False)
    shown = given_out(answer, tokens)
    count = 0
    for text, number in shown:
        assert text
        count += number
        so_far = "".join(one for one, _ in shown[: shown.index((text, number)) + 1])
        assert tokenizer.decode(tokens[:count]) in so_far
    assert 0 < count < len(tokens)
    last = answer.finish(Finish(len(tokens), [], "length", Usage()))
    assert "".join(text for text, _ in [*shown, part(last)]) == TEXT
    assert count + part(last)[1] == len(tokens)


def test_an_output_that_replaces_what_was_held_has_its_own_tokens_only(tokenizer: Any) -> None:
    answer = answer_of(tokenizer, object())
    assert given_out(answer, tokenizer.encode("The", add_special_tokens=False)) == []
    forced = tokenizer.encode("No.", add_special_tokens=False)
    last = answer.finish(Finish(0, forced, "stop", Usage(), replaced=True))
    assert list(last.outputs[0].token_ids) == forced
    assert last.outputs[0].text == "No."


def test_without_mods_ids_go_out_before_their_text_as_in_vllm(tokenizer: Any) -> None:
    tokens = tokenizer.encode("The", add_special_tokens=False)
    assert given_out(answer_of(tokenizer), tokens) == [("", 1)] * len(tokens)
