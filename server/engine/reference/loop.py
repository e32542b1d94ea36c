"""The reference loop: a model, a tokenizer and mods, and one request at a time.

The oracle of the vLLM path: the same machine, the same edits, the same text, over the plainest
engine there is. Slow, and short enough to be believed.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from vllm.sampling_params import SamplingParams
from vllm.tokenizers import get_tokenizer

from mods.runtime.seat import LoadedMod
from mods.sdk.tokenizer import load_tokenizer
from server.engine.reference.backend import Backend
from server.engine.reference.generation import Generation, Piece
from server.engine.reference.grammars import LoopGrammars
from server.engine.reference.session import ReferenceSession
from server.engine.reference.transformers_backend import TransformersBackend
from server.engine.sentinel import choose_sentinel
from server.engine.spec import session_spec, with_ends


class BusyError(RuntimeError):
    """A second request was started while one is under way."""


class ReferenceLoop:
    """Runs sessions over one backend.

    tokenizer: the model's, as vLLM loads it, for text. mods_tokenizer: what mods in this process
    are handed, the same one if None. max_context: less than the backend's own, in tokens.
    """

    def __init__(
        self,
        backend: Backend,
        tokenizer: Any,
        mods_tokenizer: Any = None,
        max_context: int | None = None,
    ) -> None:
        self.backend, self.tokenizer = backend, tokenizer
        self.mods_tokenizer = tokenizer if mods_tokenizer is None else mods_tokenizer
        self.max_context = min(max_context or backend.max_context, backend.max_context)
        self.sentinel = choose_sentinel(tokenizer, backend.vocabulary)
        self.grammars = LoopGrammars(tokenizer, backend.vocabulary, backend.eos_ids)
        self._numbers = itertools.count(1)
        self._running = threading.Lock()

    @classmethod
    def load(cls, model: Path, **options: Any) -> Self:
        """From a model's folder. options: of `TransformersBackend.load`."""
        return cls(
            TransformersBackend.load(str(model), **options),
            get_tokenizer(str(model)),
            load_tokenizer(model),
        )

    def generate(
        self,
        prompt: Sequence[int],
        params: SamplingParams,
        mods: Sequence[LoadedMod] = (),
        **request: Any,
    ) -> Generation:
        """Run one request to its end. request: as `session` takes it.

        A session that fails is a `Generation` with a `failure`, no exception.
        """
        session = self.session(prompt, params, mods, streams=False, **request)
        for _ in self.stream(session):
            pass
        return session.generation

    def session(
        self,
        prompt: Sequence[int],
        params: SamplingParams,
        mods: Sequence[LoadedMod] = (),
        streams: bool = True,
        **request: Any,
    ) -> ReferenceSession:
        """A session that has not begun. streams: whether it shows anything before its end.

        request: fields of `SessionSpec` that sampling parameters do not hold, such as
        `request_id`, `conversation` and `tools`. Raises ValueError for what it cannot keep.
        """
        _refuse_what_cannot_be_kept(params)
        if not 0 < len(prompt) < self.max_context:
            most = self.max_context - 1
            raise ValueError(f"a prompt has 1 to {most} tokens, this one {len(prompt)}")
        own = with_ends(params, {"eos_token_id": list(self.backend.eos_ids)}, self.tokenizer)
        number = next(self._numbers)
        spec = session_spec(
            number,
            request.pop("request_id", f"reference.{number}"),
            list(prompt),
            own,
            max_context=self.max_context,
            vocabulary=self.backend.vocabulary,
            **{"sentinel": self.sentinel, **request},
        )
        return ReferenceSession(self, spec, own, mods, streams)

    def stream(self, session: ReferenceSession) -> Iterator[Piece]:
        """A session's pieces. Raises `BusyError` while another one is under way."""
        if not self._running.acquire(blocking=False):
            raise BusyError("the reference loop runs one request at a time: let the other one end")
        try:
            yield from session.pieces()
        finally:
            self._running.release()


def _refuse_what_cannot_be_kept(params: SamplingParams) -> None:
    refused = {
        "n": params.n != 1,
        "structured_outputs": params.structured_outputs is not None,
        "prompt_logprobs": params.prompt_logprobs is not None,
        "thinking_token_budget": params.thinking_token_budget is not None,
    }
    wrong = [name for name, asked in refused.items() if asked]
    if wrong:
        raise ValueError(f"the reference loop cannot keep {', '.join(wrong)}: leave it out")
