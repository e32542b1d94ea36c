"""Dry runs on the server's model: everything but the model is real, the mods' process included."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response, StreamingResponse

from mods.runtime.decisions import END_SEGMENT, Fail, Finish, Force, SessionSpec
from mods.runtime.host.feed import Feeds
from mods.runtime.host.pool import HostPool
from mods.runtime.host.protocol import FeedRow
from mods.runtime.package import Package
from mods.sdk.tokenizer import Tokenizer, load_tokenizer
from server.api.stage import Stage
from server.demo import MODEL_PATH
from server.engine.call import Call, Choice, current_call
from server.engine.session import session_numbers
from server.mods.registry import ModRegistry
from server.mods.routes import ModsState, router
from server.traces.asked import Asked, current_asked

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALM = """
from mods.sdk import Added, Sampled, mod
seen = []

@mod(reach=4)
def calm(event, actions, tokenizer):
    seen.append(event.request_id)
    if isinstance(event, Sampled) and "!" in tokenizer.decode([event.sampled_token]):
        print("calm", len(set(seen)))
        return actions.force_tokens(".")
    return actions.noop()
"""
SAYS = "Well! Yes."


class Typist:
    """Stands for vLLM's application: types a text, and lets the call's mods decide each token."""

    def __init__(self, run_dir: Path) -> None:
        self.tokenizer: Tokenizer = load_tokenizer(MODEL_PATH)
        self.run_dir = run_dir
        self.asked: list[dict[str, Any]] = []
        self.traced_for: list[Asked | None] = []

    def app(self) -> FastAPI:
        app = FastAPI()
        app.add_api_route("/v1/chat/completions", self.chat, methods=["POST"])
        app.add_api_route("/v1/completions", self.chat, methods=["POST"])
        return app

    async def chat(self, body: dict[str, Any]) -> Response:
        self.asked.append(body)
        self.traced_for.append(current_asked.get())
        if body["max_tokens"] > 500:
            refusal = {"error": {"message": "max_tokens is too large", "type": "BadRequestError"}}
            return JSONResponse(refusal, status_code=400)
        call = current_call.get()
        assert call is not None
        tokens = self.tokenizer.encode(SAYS, add_special_tokens=False)
        step, said = await self.type(call, tokens, body["max_tokens"])
        if isinstance(step, Fail):
            call.failure = step
            return JSONResponse({"error": {"message": step.message}}, status_code=step.status)
        call.choices[0] = Choice(step.usage, step.tool_calls, self.record)
        text = self.tokenizer.decode(said)
        if body.get("stream"):
            return StreamingResponse(pieces(text), media_type="text/event-stream")
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": step.reason}
        if "prompt" in body:
            choice = {"index": 0, "text": text, "finish_reason": step.reason}
        return JSONResponse({"choices": [choice], "usage": {"completion_tokens": 1}})

    async def type(self, call: Call, text: list[int], most: int) -> tuple[Any, list[int]]:
        """One session: what the last answer was, and what was said."""
        number, feeds = next(session_numbers), Feeds(self.run_dir)
        said: list[int] = []
        spec = SessionSpec(
            number, f"r-{number}", [1, 2], min(most, len(text)), 256, 600, 599,
            conversation=call.conversation, prefill_run=100, tells_events=call.wants_record,
        )  # fmt: skip
        step = await call.host.open(spec)
        while not isinstance(step, (Finish, Fail)):
            said = said[: step.keep] + step.tokens
            newest = -1
            while len(said) < spec.max_tokens:
                row = FeedRow(number, step.segment, len(said), newest)
                feeds.send(call.host.address, [row])
                (decision,) = feeds.collect(time.monotonic() + 5)[call.host.address]
                if decision == END_SEGMENT:
                    newest = 599
                    break
                newest = decision.token if isinstance(decision, Force) else text[len(said)]
                said.append(newest)
            position = len(said) + (newest == 599)
            step = await call.host.tail(number, step.segment, position, newest)
        feeds.close()
        self.record = await call.host.close(number, "done", call.wants_record)
        call.failed_record = self.record
        return step, said[: step.keep] + step.tokens if isinstance(step, Finish) else said


async def pieces(text: str) -> AsyncIterator[str]:
    for piece, end in ((text[:5], None), (text[5:], "stop")):
        choice = {"index": 0, "delta": {"content": piece}, "finish_reason": end}
        yield f"data: {json.dumps({'choices': [choice]})}\n\n"
    yield "data: [DONE]\n\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[HostPool]:
    folder = Path(tempfile.mkdtemp(prefix="perf-"))
    pool = HostPool(folder / "hosts", Path(MODEL_PATH), hard_deadline=0.5)
    await pool.start()
    yield pool
    await pool.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def typist(pool: HostPool) -> Typist:
    return Typist(pool.run_dir)


@pytest_asyncio.fixture(loop_scope="module")
async def client(pool: HostPool, typist: Typist) -> AsyncIterator[httpx.AsyncClient]:
    async def check(package: Any, shared: Any) -> Any:
        (traits,) = await pool.check([package], shared)
        return traits

    app = FastAPI()
    app.include_router(router)
    stage = Stage(typist.app(), pool, lambda: ["base", "another"])
    app.state.concordance_mods = ModsState(ModRegistry(), check, pool.rehearse, stage.perform)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        yield client


async def run(client: httpx.AsyncClient, source: str = CALM, **asked: Any) -> Any:
    reply = await client.post("/v1/mods/dry-run", json={"source": source, **asked}, timeout=60)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_a_source_is_run_on_the_model_and_everything_is_told(
    client: httpx.AsyncClient, typist: Typist
) -> None:
    came = await run(client, prompt="How are you?", seed=3)
    assert came["text"] == "Well. Yes."
    assert (came["status"], came["finish_reason"]) == (200, "length")
    forced = [token for token in came["tokens"] if token["origin"] == "forced"]
    assert [(token["text"], token["mod"]) for token in forced] == [(".", "calm")]
    assert "".join(token["text"] for token in came["tokens"]) == came["text"]
    assert came["usage"]["forced_tokens"] == came["usage"]["erased_tokens"] == 1
    assert [action["action"] for action in came["actions"]] == ["force_tokens"]
    assert came["prints"] == [{"mod": "calm", "text": "calm 1"}]
    assert (came["failures"], came["laws"], came["shown"]) == ([], None, None)
    names = [event["event"] for event in came["events"]]
    assert (names[0], names[-1], names.count("Prefilled")) == ("Prefilled", "Finished", 1)
    drawn = [event["token"]["text"] for event in came["events"] if event["event"] == "Sampled"]
    assert "".join(drawn) == SAYS
    asked = typist.asked[0]
    assert asked["model"] == "base"
    assert asked["messages"] == [{"role": "user", "content": "How are you?"}]
    assert (asked["temperature"], asked["seed"], asked["max_tokens"]) == (0, 3, 64)


async def test_its_trace_is_the_caller_s(pool: HostPool, typist: Typist) -> None:
    package = Package.from_source(CALM)
    body = {"prompt": "A", "max_tokens": 8}
    await Stage(typist.app(), pool, lambda: ["base"]).perform([package], {}, body, "ann")
    (asked,) = typist.traced_for
    assert asked is not None
    assert (asked.endpoint, asked.caller) == ("/v1/mods/dry-run", "ann")
    assert asked.content == {**body, "model": "base"}
    assert current_asked.get() is None


async def test_nothing_is_left_behind(client: httpx.AsyncClient, pool: HostPool) -> None:
    for _ in range(2):
        came = await run(client)
        assert came["prints"][0]["text"] == "calm 1", "an earlier run's state was still there"
    assert (await client.get("/v1/mods")).json()["data"] == []
    assert not list(pool.run_dir.glob("*.sock")), "a process is still there"


async def test_registered_mods_are_run_by_name_and_the_raw_prompt_goes_as_it_is(
    client: httpx.AsyncClient, typist: Typist
) -> None:
    for name in ("calm", "calm2"):
        await client.post("/v1/mods", json={"source": CALM, "name": name}, timeout=60)
    reply = await client.post("/v1/mods/calm+calm2/dry-run", json={"prompt": "A", "raw": True})
    came = reply.json()
    assert [mod["name"] for mod in came["mods"]] == ["calm", "calm2"]
    assert came["text"] == "Well. Yes."
    assert [action["overridden"] for action in came["actions"]] == [False, True]
    assert typist.asked[0]["prompt"] == "A"
    assert "messages" not in typist.asked[0]


async def test_a_stream_tells_the_pieces_that_it_showed(client: httpx.AsyncClient) -> None:
    came = await run(client, stream=True)
    assert came["shown"] == ["Well.", " Yes."]
    assert (came["text"], came["finish_reason"]) == ("Well. Yes.", "stop")


async def test_a_mod_that_fails_is_told_with_its_events_up_to_there(
    client: httpx.AsyncClient,
) -> None:
    came = await run(client, CALM.replace('actions.force_tokens(".")', "1 / 0"))
    assert (came["status"], came["finish_reason"]) == (422, "error")
    assert "ZeroDivisionError" in came["message"]
    assert "Traceback" in came["failures"][0]["traceback"]
    assert came["text"] == "Well"
    last = came["events"][-1]
    assert (last["event"], last["reason"]) == ("Finished", "error")
    assert last["position"] == len(came["tokens"])


async def test_one_of_the_served_models_can_be_named(
    client: httpx.AsyncClient, typist: Typist
) -> None:
    await run(client, model="another")
    assert typist.asked[0]["model"] == "another"
    reply = await client.post("/v1/mods/dry-run", json={"source": CALM, "model": "nobody"})
    assert reply.status_code == 404
    assert "there are base, another" in reply.json()["error"]["message"]


async def test_what_the_model_s_own_checks_refuse_is_refused_in_their_words(
    client: httpx.AsyncClient,
) -> None:
    asked = {"source": CALM, "max_tokens": 512}
    reply = await client.post("/v1/mods/dry-run", json=asked, timeout=60)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert (error["message"], error["code"]) == ("max_tokens is too large", 400)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"source": "def broken(:"}, "line 1"),
        ({"source": "x = 1"}, "no mod"),
        ({"prompt": "Hi"}, "source"),
        ({"source": f"import nowhere\n{CALM}"}, "nowhere"),
    ],
)
async def test_what_is_no_mod_is_a_400_and_asks_the_model_nothing(
    client: httpx.AsyncClient, typist: Typist, asked: dict[str, Any], words: str
) -> None:
    reply = await client.post("/v1/mods/dry-run", json=asked, timeout=60)
    assert reply.status_code == 400
    assert words in reply.json()["error"]["message"]
    assert typist.asked == []


async def test_a_folder_s_files_are_run_together(client: httpx.AsyncClient) -> None:
    main = CALM.replace('force_tokens(".")', "force_tokens(STOP)")
    files = {"words.py": "STOP = '.'\n", "main.py": f"from .words import STOP\n{main}"}
    reply = await client.post("/v1/mods/dry-run", json={"files": files}, timeout=60)
    assert reply.json()["text"] == "Well. Yes."
    files["main.py"] = f"from words import STOP\n{main}"
    reply = await client.post("/v1/mods/dry-run", json={"files": files}, timeout=60)
    assert reply.json()["text"] == "Well. Yes."


async def test_a_scripted_run_of_a_source_checks_the_laws(client: httpx.AsyncClient) -> None:
    came = await run(client, scripted=True, text="No!", max_tokens=8)
    assert came["text"] == "No."
    assert came["laws"]["broken"] is None
    assert came["laws"]["runs"] > 4
