"""Who looks on while requests run, and hands what was seen over once they are over.

    watch = tracing.plain(request_id, prompt, params)     one vLLM request, with all its choices
    watch = tracing.session(request_id, index, …)         one choice with mods, or a constraint

A watch observes; it never alters what goes to the engine or the client, but for asking the engine
for probabilities at level `full` and keeping them from a client who did not. What costs time is
done on a thread of its own, after the end.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Literal, Protocol

from server.traces.asked import Asked, Tracing, current_asked
from server.traces.finishing import TOP_TOKENS, trace_of
from server.traces.live import Live
from server.traces.record import Error, ModUse
from server.traces.seen import Seen, micros
from server.traces.spans import Spans
from server.traces.spool import Spool
from server.traces.trace import Trace

log = logging.getLogger("concordance.traces")

LONGEST_ID = 180
MAX_PENDING = 5_000
"""Finished requests that wait to be made traces of; those beyond are dropped and counted."""


LOOK_SECONDS = 0.1
"""After so long it is looked where the tokens of a whole answer are: a shorter one that is aborted
has none in its trace."""


class UnderWay(Protocol):
    """A choice that has given no output yet."""

    @property
    def choice(self) -> int: ...
    @property
    def tokens(self) -> Callable[[], list[int]]: ...
    @property
    def text(self) -> Callable[[], str]: ...


Look = Callable[[], Sequence[UnderWay]]


class Keeps(Protocol):
    """What takes finished traces: a `Spool`."""

    def append(self, trace: Trace) -> Any: ...
    def drop(self, cause: str) -> None: ...


class Observer:
    """Makes the watches of one server's requests.

    spool: where traces go; None to trace nothing. level: of requests that do not ask for one.
    model: what the server calls its model. candidates: how many of the likeliest tokens the engine
    can be asked for. spans: where a span of each trace goes, the caller's to close.
    """

    def __init__(
        self,
        spool: Keeps | Spool | None,
        level: Tracing = "tokens",
        *,
        model: str = "",
        candidates: int = TOP_TOKENS,
        live: Live | None = None,
        spans: Spans | None = None,
    ) -> None:
        self.live = Live() if live is None else live
        self.level = level
        self.model = model
        self.pending = 0
        self.candidates = min(candidates, TOP_TOKENS)
        self._spool, self._spans = spool, spans
        self._thread = ThreadPoolExecutor(1, "traces")

    def plain(
        self, request_id: str, prompt: Any, params: Any, look: Look = tuple
    ) -> PlainWatch | Nobody:
        """Look on while vLLM runs a request by itself. look: finds the choices under way."""
        asked, level = self._asked()
        if level == "off":
            return NOBODY
        return PlainWatch(self, asked, level, request_id, prompt, params, look)

    def session(
        self, request_id: str, index: int, prompt_text: str, params: Any, mods: list[ModUse]
    ) -> SessionWatch | None:
        """Look on while a session runs. index: of the choice."""
        asked, level = self._asked()
        if level == "off":
            return None
        seen = self.begin(asked, level, request_id, index, params)
        seen.prompt_text, seen.mods = prompt_text, mods
        return SessionWatch(self, seen)

    def begin(
        self,
        asked: Asked,
        level: Literal["tokens", "full"],
        request_id: str,
        index: int,
        params: Any,
    ) -> Seen:
        """A choice begins."""
        own = request_id[:LONGEST_ID]
        if asked.chosen_id:
            own = f"{own[: LONGEST_ID - 9]}-{uuid.uuid4().hex[:8]}"
        if index:
            own = f"{own}.{index}"
        seen = Seen(asked, own, request_id[:LONGEST_ID], index, level, self.model, params=params)
        asked.ids.append(own)
        if self.live:
            told = {"type": "begun", "request_id": own, "model": self.model}
            self.live.tell(asked.caller, {**told, "endpoint": asked.endpoint})
        return seen

    def came(self, seen: Seen, at: int, tokens: Sequence[int]) -> None:
        """For those who watch: the output is its first `at` tokens, then these."""
        if self.live:
            told = {"type": "tokens", "request_id": seen.request_id, "at": at}
            self.live.tell(seen.asked.caller, {**told, "tokens": list(tokens)})

    def over(self, seen: Seen) -> None:
        """Make a trace of what was seen, and spool it. Returns at once."""
        seen.ended = micros()
        if self.live:
            status = "failed" if seen.error else seen.finish_reason
            told = {"type": "ended", "request_id": seen.request_id, "status": status}
            self.live.tell(seen.asked.caller, {**told, "text": seen.text})
        if self._spool is None:
            return
        if self.pending >= MAX_PENDING:
            self._spool.drop("busy")
            return
        self.pending += 1
        self._thread.submit(self._keep, self._spool, seen)

    def close(self) -> None:
        """Finish what waits. The spool is the caller's to close."""
        self._thread.shutdown()

    def _keep(self, spool: Keeps, seen: Seen) -> None:
        try:
            trace = trace_of(seen)
        except Exception:
            log.exception("no trace can be made of request %r", seen.request_id)
            spool.drop("unwritable")
        else:
            spool.append(trace)
            self._tell(trace, seen.asked)
        finally:
            self.pending -= 1

    def _tell(self, trace: Trace, asked: Asked) -> None:
        if self._spans is None:
            return
        try:
            self._spans.tell(trace, asked)
        except Exception:  # others' code; a trace is worth more than its span
            log.exception("no span can be made of trace %r", trace.request.request_id)

    def _asked(self) -> tuple[Asked, Tracing]:
        asked = current_asked.get() or Asked()
        if self._spool is None and not self.live:
            return asked, "off"
        return asked, asked.level or self.level


class PlainWatch:
    """A request that vLLM runs by itself. A context manager: its end is the request's."""

    def __init__(
        self,
        observer: Observer,
        asked: Asked,
        level: Literal["tokens", "full"],
        request_id: str,
        prompt: Any,
        params: Any,
        look: Look = tuple,
    ) -> None:
        self._observer, self._asked, self._level = observer, asked, level
        self._look = look
        self._looking: asyncio.TimerHandle | None = None
        self._under_way: Sequence[UnderWay] = ()
        self._request_id, self._given = request_id, params
        self._kind = getattr(getattr(params, "output_kind", None), "name", "CUMULATIVE")
        self._prompt = prompt if isinstance(prompt, dict) else {}
        self._choices: dict[int, Seen] = {}
        self._began = micros()
        self.params = with_candidates(params, observer.candidates) if level == "full" else params
        """What the engine is to be asked with."""

    def __enter__(self) -> PlainWatch:
        if self._kind == "FINAL_ONLY" and self._look is not tuple:
            loop = asyncio.get_running_loop()
            self._looking = loop.call_later(LOOK_SECONDS, self._look_in)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._looking is not None:
            self._looking.cancel()
        for left in self._under_way:
            if left.choice not in self._choices:
                seen = self._begin(left.choice)
                seen.took(left.tokens(), None, None)
                seen.text = left.text()
        for index in range(max(1, getattr(self._given, "n", 1) or 1)):
            seen = self._choices.get(index) or self._begin(index)
            if not seen.finish_reason:
                end_without_reason(seen, error)
            self._observer.over(seen)

    def saw(self, output: Any) -> None:
        """Something came of the engine, on its way to the client."""
        for completion in output.outputs:
            seen = self._choices.get(completion.index) or self._begin(completion.index, output)
            fresh = completion.token_ids
            if self._kind == "CUMULATIVE":
                fresh = fresh[len(seen.tokens) :]
            draws = completion.logprobs
            if draws is not None:
                draws = list(draws[len(draws) - len(fresh) :])
            seen.took(fresh, draws, None)
            seen.text = seen.text + completion.text if self._kind == "DELTA" else completion.text
            if self.params is not self._given:
                hide_candidates(completion, self._given)
            self._observer.came(seen, len(seen.tokens) - len(fresh), fresh)
            if completion.finish_reason is not None:
                seen.finish_reason = str(completion.finish_reason)
                seen.stop_reason = completion.stop_reason
                if seen.finish_reason == "error":
                    seen.error = Error("the engine failed the request", "engine_error", 500)
                _note_first_token(seen, output)

    def _look_in(self) -> None:
        """What the engine has, it forgets when the client goes away. This still holds it then."""
        self._under_way = self._look()

    def _begin(self, index: int, output: Any = None) -> Seen:
        seen = self._observer.begin(self._asked, self._level, self._request_id, index, self._given)
        seen.began, seen.streams = self._began, self._kind != "FINAL_ONLY"
        seen.prompt = self._prompt.get("prompt_token_ids") or ()
        seen.prompt_text = self._prompt.get("prompt") or ""
        if output is not None:
            seen.prompt = output.prompt_token_ids or seen.prompt
            seen.prompt_text = output.prompt or seen.prompt_text
            seen.cached = output.num_cached_tokens or 0
        self._choices[index] = seen
        return seen


class SessionWatch:
    """One session. `Session` tells it what comes; `closed` is the end."""

    def __init__(self, observer: Observer, seen: Seen) -> None:
        self._observer, self.seen = observer, seen
        self.candidates = observer.candidates if seen.level == "full" else 0
        self._over = False

    def took(self, completion: Any, place: int, cached: int | None, asked: Any) -> None:
        """New tokens of the engine. place: the first one's in the output. asked: the client's
        parameters."""
        self.seen.took(completion.token_ids, completion.logprobs, place)
        if place == 0 and cached:
            self.seen.cached = cached
        if self.candidates:
            hide_candidates(completion, asked)
        self._observer.came(self.seen, place, completion.token_ids)

    def edited(self, count: int, keep: int, tokens: Sequence[int]) -> None:
        """Of an output of `count` tokens the first `keep` are left, and these follow."""
        if tokens or keep < count:
            self._observer.came(self.seen, keep, tokens)

    def finished(self, output: Any, tool_calls: list[dict[str, Any]] | None, reason: str) -> None:
        """The last output, on its way to the client."""
        (completion,) = output.outputs
        self.seen.finish_reason, self.seen.stop_reason = reason, completion.stop_reason
        self.seen.tool_calls = tool_calls

    def broke(self, error: BaseException) -> None:
        """Something was raised that ends the session."""
        if not self.seen.finish_reason:
            end_without_reason(self.seen, error)

    def failed(self, status: int, type_: str, message: str) -> None:
        """The session failed, by its mods' fault or the engine's."""
        self.seen.error = Error(message, type_[:256], status)
        self.seen.finish_reason = "error"

    def closed(
        self,
        record: dict[str, Any],
        asked_prompt: list[int],
        prompt: list[int],
        tokens: list[int],
        text: str,
    ) -> None:
        """It is over, and this is what its host says. Only the first time counts.

        asked_prompt: before a mod changed it.
        """
        if self._over:
            return
        self._over = True
        seen = self.seen
        seen.record, seen.output, seen.text = record, list(tokens), text
        seen.asked_prompt, seen.prompt = asked_prompt, prompt
        if not seen.finish_reason:
            end_without_reason(seen, None)
        self._observer.over(seen)


class Nobody:
    """Looks on at nothing."""

    params = None

    def __enter__(self) -> Nobody:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def saw(self, output: Any) -> None:
        pass


NOBODY = Nobody()


def end_without_reason(seen: Seen, error: BaseException | None) -> None:
    """A request that ended otherwise than by a last output."""
    if error is None or isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        seen.finish_reason = "abort"
        return
    status = getattr(error, "http_status", None) or getattr(error, "status", None)
    seen.error = Error(str(error), type(error).__name__, int(status) if status else 500)
    seen.finish_reason = "error"


def with_candidates(params: Any, count: int) -> Any:
    """The parameters, with so many of the likeliest tokens asked for; the same ones if the client
    asked for what cannot be taken apart again."""
    given = params.num_logprobs
    if count == 0 or given == -1 or params.logprob_token_ids is not None:
        return params
    if given is not None and given >= count:
        return params
    more = params.clone()
    more.logprobs = count
    return more


def hide_candidates(completion: Any, params: Any) -> None:
    """Leave of the log-probabilities what the client asked for."""
    given = params.num_logprobs
    if given is None:
        completion.logprobs = completion.cumulative_logprob = None
    elif completion.logprobs is not None and given >= 0 and params.logprob_token_ids is None:
        completion.logprobs = [
            draw if draw is None else _shown(draw, token, given)
            for draw, token in zip(completion.logprobs, completion.token_ids, strict=False)
        ]


def _shown(draw: dict[int, Any], own: int, most: int) -> dict[int, Any]:
    return {
        token: each
        for token, each in draw.items()
        if token == own or (each.rank is not None and each.rank <= most)
    }


def _note_first_token(seen: Seen, output: Any) -> None:
    """Where all came at the end, the engine knows when the first token did."""
    latency = getattr(getattr(output, "metrics", None), "first_token_latency", 0.0)
    if not seen.streams:
        seen.first = seen.began + int(latency * 1e6) if latency else None


UNOBSERVED = Observer(None)
