"""`/generate` asks the engine as vLLM's own routes do, and tells all that its text came from."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from vllm.exceptions import VLLMValidationError
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams

from mods.runtime.decisions import Usage
from mods.runtime.package import Package
from mods.sdk.constraints import Choice, Constraint, InSequence, Json, digest
from mods.sdk.tokenizer import Tokenizer, load_tokenizer
from server.constraints.admission import Admission
from server.constraints.generate import mount_generate
from server.constraints.reading import read_structured_outputs
from server.constraints.routes import mount_constraints
from server.engine.call import Call, current_call
from server.engine.call import Choice as Done
from tests.server.constraints.conftest import MODEL


@dataclass
class FakeEngine:
    """Says a text, a token at a time, and remembers what it was asked."""

    text: str = "red"
    finish_reason: str = "stop"
    error: Exception | None = None
    endless: bool = False
    tokenizer: Tokenizer = field(default_factory=lambda: load_tokenizer(MODEL))
    asked: list[tuple[Any, SamplingParams]] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.renderer = SimpleNamespace(tokenizer=self.tokenizer)
        self.model_config = SimpleNamespace(
            model="/models/tiny",
            revision="abc123",
            max_model_len=64,
            hf_config=SimpleNamespace(),
            get_diff_sampling_param=lambda: {"temperature": 0.5, "max_tokens": 20},
        )

    async def generate(
        self, prompt: Any, sampling_params: SamplingParams, request_id: str
    ) -> AsyncGenerator[RequestOutput, None]:
        self.asked.append((prompt, sampling_params))
        self.begun.set()
        if self.error is not None:
            raise self.error
        try:
            tokens = self.tokenizer.encode(self.text, add_special_tokens=False)
            whole = sampling_params.output_kind == RequestOutputKind.FINAL_ONLY
            pieces = [tokens] if whole else [[token] for token in tokens]
            for number, piece in enumerate(pieces):
                if self.endless:
                    await asyncio.sleep(60)
                last = number == len(pieces) - 1
                yield self._output(prompt, request_id, piece, last)
        finally:
            self.closed.set()

    def _output(self, prompt: Any, request_id: str, tokens: list[int], last: bool) -> RequestOutput:
        choice = CompletionOutput(
            index=0,
            text=self.tokenizer.decode(tokens),
            token_ids=tokens,
            cumulative_logprob=None,
            logprobs=None,
            finish_reason=self.finish_reason if last else None,
        )
        return RequestOutput(
            request_id, None, prompt["prompt_token_ids"], None, [choice], finished=last
        )


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def client(engine: FakeEngine, admission: Admission) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.state.engine_client = engine
    app.state.openai_serving_models = SimpleNamespace(
        base_model_paths=[SimpleNamespace(name="tiny")]
    )
    mount_constraints(app, admission)
    mount_generate(app)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


COLOURS = {"type": "choice", "choices": ["red", "green"]}
BODY = {"prompt": "A colour: ", "constraints": COLOURS, "seed": 7, "metadata": {"who": ["me"]}}


def constraint_of(params: SamplingParams) -> Constraint:
    return read_structured_outputs(params.structured_outputs)


async def test_the_answer_tells_all_that_the_text_came_from(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    answer = await client.post("/generate", json=BODY)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["generated_text"] == told["generated_code"] == "red"
    assert told["finish_reason"] == "stop"
    assert told["constraint_violations"] == []
    assert told["tokens_generated"] == len(engine.tokenizer.encode("red", False))
    assert told["generation_time_ms"] >= 0
    source = told["provenance"]
    assert source["model"] == {"name": "tiny", "path": "/models/tiny", "revision": "abc123"}
    assert source["constraint"] == {
        "kind": "choice",
        "digest": digest(Choice(("red", "green"))),
        "judged_by": ["comparison"],
    }
    assert source["sampling"]["temperature"] == 0.5
    assert source["sampling"]["max_tokens"] == 20
    assert source["seed"] == 7
    assert source["mods"] == []
    assert source["metadata"] == {"who": ["me"]}
    assert source["tokens"]["prompt"] == len(engine.tokenizer.encode("A colour: "))
    assert source["times"]["received"].endswith("+00:00")


async def test_the_engine_is_asked_as_vllms_routes_ask_it(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    body = {**BODY, "constraints": ["A ", {"type": "json"}], "temperature": 0, "stop": ["."]}
    await client.post("/generate", json=body)
    prompt, params = engine.asked[0]
    assert prompt["type"] == "token"
    assert prompt["prompt"] == "A colour: "
    assert constraint_of(params) == InSequence((Choice(("A ",)), Json('{"type":"object"}')))
    assert params.temperature == 0
    assert params.stop == ["."]
    assert params.output_kind == RequestOutputKind.FINAL_ONLY


async def test_without_constraints_it_generates_freely(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    told = (await client.post("/generate", json={"prompt": "x", "model": "tiny"})).json()
    assert engine.asked[0][1].structured_outputs is None
    assert told["provenance"]["constraint"] is None
    assert told["provenance"]["tokens"]["sampled"] == told["tokens_generated"]


async def test_an_unfinished_text_says_so(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.text, engine.finish_reason = '{"a": ', "length"
    told = (
        await client.post("/generate", json={"prompt": "x", "constraints": {"type": "json"}})
    ).json()
    assert told["finish_reason"] == "length"
    assert "ended before it was whole" in told["constraint_violations"][0]["message"]


async def test_a_text_that_breaks_its_constraint_is_found_out(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.text = "blue"
    told = (await client.post("/generate", json=BODY)).json()
    assert told["constraint_violations"][0]["position"] == "character 0"


async def test_a_stream_ends_with_the_answer(client: httpx.AsyncClient) -> None:
    answer = await client.post("/generate/stream", json=BODY)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [line.removeprefix("data: ") for line in answer.text.strip().split("\n\n")]
    assert events[-1] == "[DONE]"
    *deltas, last = [json.loads(event) for event in events[:-1]]
    assert "".join(delta["text"] for delta in deltas) == last["generated_text"] == "red"
    assert last["provenance"]["times"]["first_token_ms"] > 0


@pytest.mark.parametrize("route", ["/generate", "/generate/stream"])
async def test_a_constraint_that_is_refused_never_reaches_the_engine(
    client: httpx.AsyncClient, engine: FakeEngine, route: str
) -> None:
    body = {"prompt": "x", "constraints": {"any_of": ["a", {"type": "regex", "pattern": "("}]}}
    answer = await client.post(route, json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_constraint"
    assert error["part"] == "any_of[1]"
    assert engine.asked == []


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 400, "prompt"),
        ({"prompt": "x", "category": "a"}, 400, "category"),
        ({"prompt": "x", "max_tokens": 0}, 400, "max_tokens"),
        ({"prompt": "x", "model": "other"}, 404, "there are tiny"),
        ({"prompt": "x", "constraints": {"type": "json", "schema": 3}}, 400, "schema"),
    ],
)
async def test_what_cannot_be_asked(
    client: httpx.AsyncClient, body: Any, status: int, message: str
) -> None:
    answer = await client.post("/generate", json=body)
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]


async def test_an_error_in_a_stream_is_an_event(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.error = VLLMValidationError("no room")
    answer = await client.post("/generate/stream", json=BODY)
    event, done = answer.text.strip().split("\n\n")
    assert event.startswith("event: error\ndata: ")
    assert json.loads(event.partition("data: ")[2])["error"]["message"] == "no room"
    assert done == "data: [DONE]"


async def test_a_client_that_goes_away_ends_the_generation(
    engine: FakeEngine, client: httpx.AsyncClient
) -> None:
    engine.endless = True
    app = client._transport.app  # type: ignore[attr-defined]
    body = json.dumps(BODY).encode()
    messages: asyncio.Queue[Any] = asyncio.Queue()
    messages.put_nowait({"type": "http.request", "body": body, "more_body": False})
    sent: list[Any] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/generate",
        "raw_path": b"/generate",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }

    async def send(message: Any) -> None:
        sent.append(message)

    serving = asyncio.create_task(app(scope, messages.get, send))
    while not engine.asked:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    messages.put_nowait({"type": "http.disconnect"})
    await asyncio.wait_for(serving, 50)
    await asyncio.wait_for(engine.closed.wait(), 50)
    assert sent[0]["status"] == 499


async def test_mods_and_their_tokens_are_told(client: httpx.AsyncClient) -> None:
    source = "from mods.sdk import mod\n\n@mod\ndef shout(event, actions, tokenizer):\n    pass\n"
    package = Package.from_source(source)
    call = Call(mods=[package], host=None)  # type: ignore[arg-type]
    call.choices[0] = Done(Usage(sampled=2, forced=1, erased=4))
    token = current_call.set(call)
    try:
        told = (await client.post("/generate", json=BODY)).json()["provenance"]
    finally:
        current_call.reset(token)
    assert told["mods"] == [{"name": "shout", "digest": package.digest}]
    assert (told["tokens"]["sampled"], told["tokens"]["forced"]) == (2, 1)
    assert told["tokens"]["erased"] == 4
