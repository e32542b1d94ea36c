"""How the tests of the reference loop ask: questions, parameters, and mods in a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from vllm.sampling_params import SamplingParams

from mods.runtime.compile import Traits
from mods.runtime.seat import LoadedMod
from mods.sdk.actions import Action, ActionBuilder
from mods.sdk.events import Event
from server.engine.reference.generation import Generation, Piece
from server.engine.reference.loop import ReferenceLoop
from server.engine.reference.session import ReferenceSession

FRANCE = "What is the capital of France?"
PARIS = "The capital of France is Paris."
COUNT = "Count to ten."
COUNTED = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10."

Handle = Callable[[Any, ActionBuilder, Any], Action | None]


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


def begin(
    loop: ReferenceLoop, question: str, *mods: LoadedMod, **more: Any
) -> tuple[ReferenceSession, Iterator[Piece]]:
    session = loop.session(ask(loop, question), greedy(**more), mods)
    return session, loop.stream(session)
