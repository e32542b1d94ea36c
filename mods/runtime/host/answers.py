"""What a host answers when a mod left nothing good to answer: failures, and records made plain."""

from __future__ import annotations

import json
import traceback
from typing import Any

from mods.runtime.decisions import Fail, Next
from mods.runtime.host.frames import MAX_ANSWER, FrameTooLongError, frame
from mods.runtime.host.protocol import Closed, Loaded, LoadFailed, Reply
from mods.sdk.errors import ModError, ModRaisedError

MAX_MESSAGE = 16_384
"""Characters of a failure's message at most."""
_UNSENDABLE = (TypeError, ValueError, OverflowError, RecursionError)


def failure(error: ModError) -> Fail:
    return Fail(error.status, error.type, readable(error))


def unexpected(error: BaseException) -> str:
    return f"the session broke off with {type(error).__name__}: {readable(error)}"


def readable(error: BaseException) -> str:
    """The error's message, without the lone surrogates that no encoding carries."""
    return str(error).encode("utf-8", "replace").decode()


def load_failed(error: BaseException, prints: list[str]) -> LoadFailed:
    """An error of an import, with the file and the line where it arose."""
    if isinstance(error, ModError):
        return LoadFailed(error.status, error.type, readable(error), prints)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    message = f"importing the mod raised {type(error).__name__}: {readable(error)}{where}"
    return LoadFailed(ModRaisedError.status, ModRaisedError.type, message, prints)


def answer_frame(answer: Reply | Closed | Loaded | LoadFailed) -> bytes:
    """The answer as a frame. What cannot be sent as it is, is made plain, or left out.

    Mods put lone surrogates, huge integers and objects into tool calls, messages and traces, and
    print more than anybody reads.
    """
    try:
        return frame(answer, MAX_ANSWER)
    except _UNSENDABLE as error:
        reason = f"{type(error).__name__}: {readable(error)}"
    if isinstance(answer, Closed):
        return _record_frame(answer, reason)
    assert isinstance(answer, Reply), "what a load answers is plain already"
    return frame(Reply(answer.id, _plain_failure(answer.next, reason), answer.slot))


def _plain_failure(answer: Next, reason: str) -> Fail:
    if not isinstance(answer, Fail):
        return failure(ModError(f"what the mod answered cannot be sent: {reason}"))
    message = answer.message[:MAX_MESSAGE].encode("utf-8", "replace").decode()
    return Fail(answer.status, answer.type, message, answer.usage)


def _record_frame(answer: Closed, reason: str) -> bytes:
    try:
        record = _plain(answer.record)
        while True:
            try:
                return frame(Closed(answer.id, record, answer.tape), MAX_ANSWER)
            except FrameTooLongError:
                _shed(record)
    except _UNSENDABLE:
        note = {"mod": "", "message": f"the record of this session cannot be sent: {reason}"}
        return frame(Closed(answer.id, {"failures": [note]}))


def _shed(record: dict[str, Any]) -> None:
    """Drop the second half of every list in the record. Raises ValueError if there is none."""
    lists = [entries for entries in record.values() if isinstance(entries, list) and entries]
    if not lists:
        raise ValueError("it is too long")
    for entries in lists:
        kept = len(entries) // 2
        record["dropped"] = record.get("dropped", 0) + len(entries) - kept
        del entries[kept:]


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """The record as JSON would have it, its integers within 64 bits."""
    text = json.dumps(record, default=str, ensure_ascii=False)
    clean = text.encode("utf-8", "replace").decode()
    plain: dict[str, Any] = json.loads(clean, parse_int=_clamped)
    return plain


def _clamped(digits: str) -> int:
    return max(-(2**63), min(2**63 - 1, int(digits)))
