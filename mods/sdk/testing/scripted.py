"""A fake of the engine: it draws by a model of no size, obeys decisions, and can misbehave.

It does to a machine what vLLM, its worker and the session do. Its misbehaviour is what the real
engine is entitled to.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from mods.runtime.decisions import SessionSpec
from mods.runtime.handlers import Watch
from mods.runtime.machine import Machine
from mods.runtime.seat import LoadedMod
from mods.runtime.spans import Matchers
from mods.sdk.testing.clock import ClockWatch
from mods.sdk.testing.masks import ByteMatchers
from mods.sdk.testing.model import HashModel, Model
from mods.sdk.testing.outcome import Outcome
from mods.sdk.testing.session import ScriptedSession
from mods.sdk.testing.tokenizer import EOS, SENTINEL, VOCABULARY, ByteTokenizer
from mods.sdk.testing.trouble import NO_TROUBLE, Trouble

_sessions = count(1)


def spec_for(
    prompt: str | Sequence[int] = "hi", max_tokens: int = 16, **rest: object
) -> SessionSpec:
    """A request over the byte tokenizer. `rest`: any field of `SessionSpec`."""
    session = next(_sessions)
    fields: dict[str, object] = {
        "session": session,
        "request_id": f"request-{session}",
        "prompt": list(prompt.encode() if isinstance(prompt, str) else prompt),
        "max_tokens": max_tokens,
        "max_context": 4096,
        "vocabulary": VOCABULARY,
        "sentinel": SENTINEL,
        "eos": [EOS],
    }
    return SessionSpec(**{**fields, **rest})  # type: ignore[arg-type]


MachineFactory = Callable[[SessionSpec, Sequence[LoadedMod], Any, Watch, Matchers], Machine]


class ScriptedEngine:
    """Runs sessions, one or many at once, each with its own machine.

    tokenizer and matchers: of another vocabulary than the bytes; the model's rows and the request
    must then be of that one too.
    """

    def __init__(
        self,
        model: Model | None = None,
        *,
        trouble: Trouble = NO_TROUBLE,
        machine: MachineFactory = Machine,
        seed: int = 0,
        tokenizer: Any = None,
        matchers: Matchers | None = None,
    ) -> None:
        self.model: Model = model or HashModel()
        self.tokenizer = tokenizer or ByteTokenizer()
        self.matchers: Matchers = matchers or ByteMatchers()
        self.trouble = trouble
        self._machine = machine
        self._seed = seed

    def run(self, spec: SessionSpec, mods: Sequence[LoadedMod]) -> Outcome:
        """One session, from its start to its end."""
        session = self.session(spec, mods)
        session.alone = True
        for _ in session.steps():
            pass
        return session.outcome

    def run_all(self, requests: Sequence[tuple[SessionSpec, Sequence[LoadedMod]]]) -> list[Outcome]:
        """Many sessions at once, their steps mixed."""
        order = random.Random(self._seed)
        sessions = [self.session(spec, mods) for spec, mods in requests]
        running = [session.steps() for session in sessions]
        while running:
            steps = order.choice(running)
            if next(steps, None) is None:
                running.remove(steps)
        return [session.outcome for session in sessions]

    def session(self, spec: SessionSpec, mods: Sequence[LoadedMod]) -> ScriptedSession:
        machine = self._machine(spec, mods, self.tokenizer, ClockWatch(), self.matchers)
        reads_logits = any(mod.traits.logits for mod in mods)
        session = ScriptedSession(
            spec, machine, self.model, self.trouble, reads_logits, self.matchers
        )
        session.asks_confidence = any(mod.traits.confidence for mod in mods)
        return session
