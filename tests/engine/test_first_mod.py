"""The main job: a ten-line mod, uploaded and named in the model string, changes an answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import anthropic
import httpx
import openai
import pytest

from tests.engine.live import MODEL, Live

AHOY = """
from mods.sdk import ForwardPass, mod

@mod
def ahoy(event, actions, tokenizer):
    if isinstance(event, ForwardPass) and event.position == 0:
        return actions.force_tokens("Ahoy! ")
    return actions.noop()
"""
QUESTION = "What is the capital of France?"
PLAIN = "The capital of France is Paris."


@pytest.fixture(scope="module")
def ahoy(live: Live) -> str:
    return live.upload(AHOY)


@pytest.fixture
def client(live: Live) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0)


def test_a_request_without_mods_is_answered_as_ever(live: Live) -> None:
    assert live.say(QUESTION) == PLAIN


def test_a_mod_changes_a_chat_answer(live: Live, ahoy: str) -> None:
    assert live.say(QUESTION, ahoy).startswith("Ahoy! ")


def test_sixty_four_at_once_are_all_changed(live: Live, ahoy: str) -> None:
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda _: live.say(QUESTION, ahoy), range(64)))
    assert all(answer.startswith("Ahoy! ") for answer in answers)
    assert len(set(answers)) == 1


def test_a_mod_is_enabled_by_the_body_as_well(live: Live, ahoy: str) -> None:
    assert live.say(QUESTION, mods=[ahoy]).startswith("Ahoy! ")


def test_the_openai_client_sees_it_in_chat(client: openai.OpenAI, ahoy: str) -> None:
    answer = client.chat.completions.create(
        model=f"{MODEL}/{ahoy}", messages=[{"role": "user", "content": QUESTION}], temperature=0
    )
    assert (answer.choices[0].message.content or "").startswith("Ahoy! ")


def test_the_openai_client_sees_it_in_a_chat_stream(client: openai.OpenAI, ahoy: str) -> None:
    stream = client.chat.completions.create(
        model=f"{MODEL}/{ahoy}",
        messages=[{"role": "user", "content": QUESTION}],
        temperature=0,
        stream=True,
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert "".join(pieces).startswith("Ahoy! ")
    assert len([piece for piece in pieces if piece]) > 2


def test_the_openai_client_sees_it_in_completions(client: openai.OpenAI, ahoy: str) -> None:
    answer = client.completions.create(
        model=f"{MODEL}/{ahoy}", prompt="The capital of France is", max_tokens=8, temperature=0
    )
    assert answer.choices[0].text.startswith("Ahoy! ")


def test_the_openai_client_sees_it_in_a_completions_stream(
    client: openai.OpenAI, ahoy: str
) -> None:
    stream = client.completions.create(
        model=f"{MODEL}/{ahoy}",
        prompt="The capital of France is",
        max_tokens=8,
        temperature=0,
        stream=True,
    )
    assert "".join(chunk.choices[0].text for chunk in stream).startswith("Ahoy! ")


def test_the_openai_client_sees_it_in_responses(client: openai.OpenAI, ahoy: str) -> None:
    answer = client.responses.create(model=f"{MODEL}/{ahoy}", input=QUESTION, temperature=0)
    assert answer.output_text.startswith("Ahoy! ")


def test_the_openai_client_sees_it_in_a_responses_stream(client: openai.OpenAI, ahoy: str) -> None:
    events = list(
        client.responses.create(model=f"{MODEL}/{ahoy}", input=QUESTION, temperature=0, stream=True)
    )
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text.startswith("Ahoy! ")
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_the_anthropic_client_sees_it_in_messages(live: Live, ahoy: str) -> None:
    client = anthropic.Anthropic(base_url=live.url, api_key="none", max_retries=0)
    answer = client.messages.create(
        model=f"{MODEL}/{ahoy}",
        max_tokens=32,
        extra_body={"temperature": 0},
        messages=[{"role": "user", "content": QUESTION}],
    )
    assert answer.content[0].text.startswith("Ahoy! ")  # type: ignore[union-attr]


def test_the_anthropic_client_sees_it_in_a_messages_stream(live: Live, ahoy: str) -> None:
    client = anthropic.Anthropic(base_url=live.url, api_key="none", max_retries=0)
    with client.messages.stream(
        model=f"{MODEL}/{ahoy}",
        max_tokens=32,
        extra_body={"temperature": 0},
        messages=[{"role": "user", "content": QUESTION}],
    ) as stream:
        assert "".join(stream.text_stream).startswith("Ahoy! ")


def test_usage_counts_what_survives_by_origin(live: Live, ahoy: str) -> None:
    usage = live.chat(QUESTION, ahoy).json()["usage"]
    assert usage["forced_tokens"] > 0
    assert usage["erased_tokens"] == 0
    assert usage["completion_tokens"] == usage["sampled_tokens"] + usage["forced_tokens"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_an_unknown_mod_is_a_404_that_names_those_there_are(live: Live, ahoy: str) -> None:
    answer = live.chat(QUESTION, "nobody")
    assert answer.status_code == 404
    assert "nobody" in answer.json()["error"]["message"]
    assert ahoy in answer.json()["error"]["message"]


def test_the_reserved_extra_argument_cannot_be_forged(live: Live) -> None:
    answer = live.chat(QUESTION, vllm_xargs={"concordance": "forged"})
    assert answer.status_code == 400
    assert "reserved" in answer.json()["error"]["message"]


def test_the_server_is_healthy(live: Live) -> None:
    assert httpx.get(f"{live.url}/health").status_code == 200
    assert httpx.get(f"{live.url}/healthz").json()["models"] == [MODEL]
