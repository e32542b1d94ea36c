"""An account of one request with mods, whichever engine ran it: what came of it, what its mods
were told, and what they did.

A mod at the head of the chain, the witness, keeps the story of each request. It gives it away to
a later request of the same chain, as the message of an error: so it comes out of a host as well
as out of this process.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import torch
from vllm.sampling_params import SamplingParams

import mods.sdk.testing.script as script_module
from mods.runtime.load import load_chain
from mods.runtime.package import Package
from mods.runtime.seat import LoadedMod
from mods.sdk.testing.script import Line, Script
from server.demo import MODEL_PATH
from server.engine.reference.loop import ReferenceLoop
from server.engine.reference.transformers_backend import TransformersBackend
from tests.engine.live import MODEL, Live

NEAR_TIE = 1e-4
"""How much less likely (in logits) a drawn token must be for another draw to count as the same."""

WITNESS = """
import dataclasses, json, sys
from mods.sdk import *

telling, told = {}, {}

@mod(reach=0, logits=False)
def witness(event, actions, tokenizer):
    rid = event.request_id
    if isinstance(event, Prefilled):
        asked = json.loads(get_conversation()[0]["content"])
        if asked.get("report"):
            return actions.emit_error(report(asked["key"], asked["since"]))
        telling[rid] = asked["key"], []
    if rid not in telling:
        return
    key, events = telling[rid]
    events.append([event.name, plain(event)])
    if isinstance(event, Finished):
        del telling[rid]
        told[key] = {"events": events, "actions": record().actions}

def plain(event):
    # What a request cost is the engine's affair: one that was kept waiting is computed twice.
    # What is computed for it alone, it must not name, or it would be computed.
    fields = [f.name for f in dataclasses.fields(event)]
    names = [name for name in fields if name[0] != "_" and name not in ("request_id", "forwarded")]
    values = {name: getattr(event, name) for name in names}
    if "context_info" in values:
        values["context_info"] = list(values["context_info"].tokens)
    if isinstance(event, Finished):
        values["tokens"] = list(event.tokens)
    return values

def report(key, since):
    # In parts: an error's message has a limit.
    whole = json.dumps(told.get(key))
    part = whole[since : since + 8_000]
    if len(whole) <= since + 8_000:
        told.pop(key, None)
        return json.dumps({"part": part, "next": None})
    return json.dumps({"part": part, "next": since + 8_000})

def record():
    # The machine's own, found on the stack: a mod is not handed it.
    frame = sys._getframe()
    while not hasattr(frame.f_locals.get("self"), "_record"):
        frame = frame.f_back
    return frame.f_locals["self"]._record
"""

ACTOR = """
import json
from mods.sdk import *
from script import Line, perform

plays = {{}}

@mod(reach={reach}, logits={logits})
def {name}(event, actions, tokenizer):
    rid = event.request_id
    if isinstance(event, Prefilled):
        asked = json.loads(get_conversation()[0]["content"])
        plays[rid] = [0, read(asked.get("scripts", {{}}).get("{seat}", {{}}))]
    play = plays[rid]
    line = play[1].get(play[0], Line())
    play[0] += 1
    if isinstance(event, Finished):
        del plays[rid]
    return perform(line, event, actions)

def read(lines):
    return {{int(number): Line(**thawed(line)) for number, line in lines.items()}}

def thawed(line):
    bias = {{int(token): amount for token, amount in line["bias"].items()}}
    allow = line["allow"] if line["allow"] is None else frozenset(line["allow"])
    return {{**line, "bias": bias, "ban": frozenset(line["ban"]), "allow": allow}}
"""
"""Plays the script that its request carries. The same source for every script of these traits."""


@dataclass(frozen=True)
class Actor:
    """A mod to upload. Named by its traits and its seat, so that equal ones are uploaded once."""

    seat: int
    reach: int | None
    logits: bool

    @property
    def name(self) -> str:
        return f"actor_{self.seat}_{self.reach}_{self.logits}"

    def files(self) -> dict[str, str]:
        source = ACTOR.format(**self.__dict__, name=self.name)
        return {"acting.py": source, "script.py": Path(script_module.__file__).read_text()}


@dataclass(frozen=True)
class Case:
    """One request. mods: files by name, in the order of the chain. scripts: what actors play.

    params: sampling parameters as both HTTP and vLLM call them.
    """

    prompt: Sequence[int]
    mods: dict[str, dict[str, str]]
    params: dict[str, Any] = field(default_factory=dict)
    scripts: dict[str, Any] = field(default_factory=dict)
    stream: bool = False

    @classmethod
    def of_scripts(cls, prompt: Sequence[int], chain: Sequence[Script], **more: Any) -> Case:
        actors = [Actor(seat, script.reach, script.logits) for seat, script in enumerate(chain)]
        plays = {str(seat): _lines(script) for seat, script in enumerate(chain)}
        return cls(prompt, {actor.name: actor.files() for actor in actors}, scripts=plays, **more)

    def chain(self) -> dict[str, dict[str, str]]:
        return {"witness": {"witness.py": WITNESS}, **self.mods}


def _lines(script: Script) -> dict[str, Any]:
    return {str(number): _frozen(line) for number, line in script.lines.items()}


def _frozen(line: Line) -> dict[str, Any]:
    """A line as JSON takes it."""
    sets = {
        "ban": sorted(line.ban),
        "allow": None if line.allow is None else sorted(line.allow),
    }
    return {**line.__dict__, **sets, "bias": dict(line.bias), "tokens": list(line.tokens)}


@dataclass(frozen=True)
class Account:
    """What came of a request, and its story. status, kind: of a failure; 200 and None else.

    near_ties: by number of the draw, where a little noise would have drawn another token; known
    of the reference alone.
    """

    status: int
    kind: str | None
    tokens: list[int]
    text: str
    finish: str | None
    stop_reason: int | str | None
    usage: tuple[int, int, int] | None
    events: list[Any]
    actions: list[Any]
    near_ties: frozenset[int] = frozenset()

    def differs_from(self, other: Account) -> str | None:
        """How another engine's account differs from this, the reference's; None if it does not.

        Where it begins to differ at a draw that was a near-tie, all that follows may.
        """
        pairs = enumerate(itertools.zip_longest(self.events, other.events))
        at = next((i for i, (ours, theirs) in pairs if ours != theirs), None)
        if at is not None:
            draws = sum(1 for name, _ in self.events[: at + 1] if name == "Sampled")
            near = at < len(self.events) and self.events[at][0] == "Sampled"
            if near and draws in self.near_ties:
                return None
            ours, theirs = self.events[at : at + 1], other.events[at : at + 1]
            return f"event {at}: the reference was told {ours}, the engine {theirs}"
        for name in _COMPARED:
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs:
                return f"{name}: {ours!r} in the reference, {theirs!r} in the engine"
        return None


_COMPARED = ("actions", "status", "kind", "tokens", "text", "finish", "stop_reason", "usage")

_keys = itertools.count(1)


class Reference:
    """The oracle: the reference loop, with mods in this process, watching for near-ties."""

    def __init__(self) -> None:
        self._backend = Wary.load(str(MODEL_PATH))
        plain = ReferenceLoop.load(MODEL_PATH)
        self.loop = ReferenceLoop(self._backend, plain.tokenizer, plain.mods_tokenizer, 2048)
        self._chains: dict[tuple[str, ...], list[LoadedMod]] = {}

    def account(self, case: Case) -> Account:
        mods, key = self._chain(case), f"case {next(_keys)}"
        params = SamplingParams(**case.params)
        asked = {"key": key, "scripts": case.scripts}
        self._backend.begin()
        session = self.loop.session(
            case.prompt, params, mods, streams=case.stream, conversation=_message(asked)
        )
        for _ in self.loop.stream(session):
            pass
        made, near = session.generation, frozenset(self._backend.near)
        told = self._report(mods, key)
        failed = made.failure
        usage = made.usage
        return Account(
            200 if failed is None else failed.status,
            None if failed is None else failed.type,
            made.tokens if failed is None else [],
            made.text if failed is None else "",
            made.finish_reason if failed is None else None,
            made.stop_reason,
            (usage.sampled, usage.forced, usage.erased) if failed is None else None,
            told["events"],
            told["actions"],
            near,
        )

    def _report(self, mods: Sequence[LoadedMod], key: str) -> Any:
        def ask(asked: dict[str, Any]) -> str:
            message = _message(asked)
            told = self.loop.generate([5], SamplingParams(), mods, conversation=message).failure
            assert told is not None
            return told.message

        return _reported(key, ask)

    def _chain(self, case: Case) -> list[LoadedMod]:
        names = tuple(case.chain())
        if names not in self._chains:
            packages = [Package.from_files(files) for files in case.chain().values()]
            self._chains[names] = load_chain(packages, {})
        return self._chains[names]


class Wary(TransformersBackend):
    """Notes the draws that a little noise in the logits would have decided otherwise."""

    near: set[int]
    _draws = 0

    def begin(self) -> None:
        self.near, self._draws = set(), 0

    def sample(
        self,
        logits: torch.Tensor,
        params: SamplingParams,
        generator: torch.Generator | None = None,
    ) -> int:
        less, state = logits.clone(), None if generator is None else generator.get_state()
        token = super().sample(logits, params, generator)
        less[token] -= NEAR_TIE
        again = None if state is None else torch.Generator().set_state(state)
        self._draws += 1
        if super().sample(less, params, again) != token:
            self.near.add(self._draws)
        return token


class Engine:
    """The server, asked over HTTP. Mods are uploaded when they are first needed."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._uploaded: set[str] = set()

    def prepare(self, cases: Sequence[Case]) -> None:
        for name, files in {k: v for case in cases for k, v in case.chain().items()}.items():
            if name not in self._uploaded:
                answer = self._live.post("/v1/mods", {"name": name, "files": files})
                assert answer.status_code in (200, 201), answer.text
                self._uploaded.add(name)

    def account(self, case: Case) -> Account:
        key = f"case {next(_keys)}"
        asked = {"key": key, "scripts": case.scripts}
        send = self._stream if case.stream else self._whole
        made = send(self._body(case, asked, **case.params))
        told = self._report(case, key)
        return replace(made, events=told["events"], actions=told["actions"])

    def _report(self, case: Case, key: str) -> Any:
        """A session is closed a moment after its answer, so the story may not be there yet."""

        def ask(asked: dict[str, Any]) -> str:
            body = {**self._body(case, asked, max_tokens=1), "prompt": [5], "stream": False}
            answer = self._live.post("/v1/completions", body)
            assert answer.status_code == 400, answer.text
            return str(answer.json()["error"]["message"])

        for patience in (0, 0.05, 0.2, 1, 3):
            time.sleep(patience)
            told = _reported(key, ask)
            if told is not None:
                return told
        raise AssertionError(f"the witness never heard of the end of {key}")

    def _body(self, case: Case, asked: dict[str, Any], **params: Any) -> dict[str, Any]:
        return {
            "model": f"{MODEL}/{'+'.join(case.chain())}",
            "prompt": list(case.prompt),
            "messages": _message(asked),
            "return_token_ids": True,
            "stream": case.stream,
            **params,
        }

    def _whole(self, body: dict[str, Any]) -> Account:
        answer = self._live.post("/v1/completions", {**body, "stream": False})
        if answer.status_code != 200:
            return _failed(answer.status_code, answer.json()["error"])
        content = answer.json()
        (choice,) = content["choices"]
        usage = content["usage"]
        counted = tuple(usage[f"{name}_tokens"] for name in ("sampled", "forced", "erased"))
        return Account(
            200, None, choice["token_ids"], choice["text"], choice["finish_reason"],
            choice["stop_reason"], counted, [], [],
        )  # fmt: skip

    def _stream(self, body: dict[str, Any]) -> Account:
        tokens: list[int] = []
        text, finish, stop_reason, counted = "", None, None, None
        body = {**body, "stream_options": {"include_usage": True}}
        url = f"{self._live.url}/v1/completions"
        with httpx.stream("POST", url, json=body, timeout=120) as answer:
            if answer.status_code != 200:
                answer.read()
                return _failed(answer.status_code, answer.json()["error"])
            for event in _events(answer):
                if "error" in event:
                    return _failed(event["error"]["code"], event["error"])
                for choice in event["choices"]:
                    tokens += choice.get("token_ids") or []
                    text += choice["text"]
                    finish = choice["finish_reason"] or finish
                    stop_reason = choice.get("stop_reason", stop_reason)
                usage = event.get("usage")
                if usage and "sampled_tokens" in usage:
                    names = ("sampled", "forced", "erased")
                    counted = tuple(usage[f"{name}_tokens"] for name in names)
        if counted and not counted[0] + counted[1]:
            tokens = []  # vLLM's streams want a token to end on
        return Account(200, None, tokens, text, finish, stop_reason, counted, [], [])


def _reported(key: str, ask: Callable[[dict[str, Any]], str]) -> Any:
    """What the witness kept under the key, asked for part by part."""
    whole, since = "", 0
    while since is not None:
        answer = json.loads(ask({"key": key, "report": True, "since": since}))
        whole, since = whole + answer["part"], answer["next"]
    return json.loads(whole)


def _events(answer: httpx.Response) -> Any:
    return (json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: {"))


def _failed(status: int, error: dict[str, Any]) -> Account:
    return Account(status, error["type"], [], "", None, None, None, [], [])


def _message(asked: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": json.dumps(asked)}]
