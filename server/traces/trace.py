"""One request's trace as it is spooled and stored: small, and nothing of the record lost.

Where a record has an event and a call for every token, a trace has arrays. `of` makes a trace
of a record and `record` gives the record back, equal to the one it was made of.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from server.traces.reading import RecordError, read_record
from server.traces.record import (
    VERSION,
    Action,
    Count,
    Event,
    ModCall,
    ModLog,
    Name,
    Record,
    Request,
)
from server.traces.retelling import events_of, story_of
from server.traces.story import Story


class Calls(Struct, omit_defaults=True):
    """Every call of a handler, in order, as parallel arrays.

    events: numbers of events. mods: places in the request's chain. micros: how long it took,
    in microseconds.
    """

    events: list[Count] = []
    mods: list[int] = []
    micros: list[int | None] = []

    def add(self, event: int, mod: int, micros: int | None) -> int:
        """Returns the call's number."""
        self.events.append(event)
        self.mods.append(mod)
        self.micros.append(micros)
        return len(self.events) - 1


class Failure(Struct, omit_defaults=True):
    """An exception in a call. call: its number."""

    call: Count
    type: Name = ""
    message: str = ""
    traceback: str = ""


class Trace(Struct, omit_defaults=True, kw_only=True):
    """What a session leaves behind.

    events: kept only where they do not follow from the story, as in some records from outside.
    """

    request: Request
    version: Count = field(default_factory=lambda: VERSION)
    story: Story = field(default_factory=Story)
    calls: Calls = field(default_factory=Calls)
    failures: list[Failure] = []
    logs: list[ModLog] = []
    actions: list[Action] = []
    events: list[Event] | None = None

    @classmethod
    def of(cls, record: Record) -> Trace:
        """The trace of a record that was read with `read_record`."""
        request = record.request
        story = story_of(record.events, request)
        trace = cls(request=request, story=story, logs=record.mod_logs, actions=record.actions)
        if not _may_follow(story, record) or events_of(story, request) != record.events:
            trace.events = record.events
        places = {mod.name: place for place, mod in reversed(list(enumerate(request.mods)))}
        for call in record.mod_calls:
            number = trace.calls.add(
                call.event_sequence_order, places[call.mod_name], _micros(call.execution_time_ms)
            )
            if call.exception_occurred:
                trace.failures.append(
                    Failure(
                        number,
                        call.exception_type,
                        call.exception_message,
                        call.exception_traceback,
                    )
                )
        return trace

    @classmethod
    def from_json(cls, body: bytes) -> Trace:
        """What `POST /v1/ingest` was sent. Raises `RecordError`."""
        return cls.of(read_record(body))

    @classmethod
    def decode(cls, data: bytes) -> Trace:
        """What `encode` made. Raises `RecordError`, also for a version that is not known."""
        try:
            trace = _msgpack.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RecordError("", f"these bytes are no trace: {error}") from None
        except RecursionError:
            raise RecordError("", "the trace is nested too deeply") from None
        if trace.version != VERSION:
            raise RecordError("version", f"expected {VERSION}, got {trace.version}")
        return trace

    def encode(self) -> bytes:
        """msgpack. Text that has no UTF-8 and numbers without 64 bits are changed to what has."""
        try:
            return msgspec.msgpack.encode(self)
        except (UnicodeEncodeError, OverflowError):
            plain = _plain(msgspec.to_builtins(self))
            return msgspec.msgpack.encode(msgspec.convert(plain, Trace))

    def record(self) -> Record:
        """All five parts."""
        events = self.events
        return Record(
            request=self.request,
            version=self.version,
            events=events_of(self.story, self.request) if events is None else events,
            mod_calls=self._calls(),
            mod_logs=self.logs,
            actions=self.actions,
        )

    def _calls(self) -> list[ModCall]:
        names = [mod.name for mod in self.request.mods]
        columns = (self.calls.events, self.calls.mods, self.calls.micros)
        calls = [
            ModCall(event, names[mod], None if micros is None else micros / 1000)
            for event, mod, micros in zip(*columns, strict=True)
        ]
        for failure in self.failures:
            call = calls[failure.call]
            call.exception_occurred = True
            call.exception_type = failure.type
            call.exception_message = failure.message
            call.exception_traceback = failure.traceback
        return calls


_msgpack = msgspec.msgpack.Decoder(Trace)


def _may_follow(story: Story, record: Record) -> bool:
    """Whether it is worth telling the events of a story, of which each round is at least one: one
    who sends a single event of step two billion must not make us tell that many."""
    return 0 < story.forward_passes + 2 <= len(record.events)


def _micros(milliseconds: float | None) -> int | None:
    return None if milliseconds is None else round(milliseconds * 1000)


def _plain(value: Any) -> Any:
    """The same with text that has UTF-8 and integers of 64 bits."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    return value
