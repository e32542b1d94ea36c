"""What goes over a host's socket, and between the API process and the zygote.

A connection opens with `Hello` and says whose it is. The worker's carries feeds and verdicts, one
pair a step; the API's carries numbered calls, those of one session answered in order. Every struct
is an array with a number in front; see `frames` for how one is cut from the stream.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from mods.runtime.compile import Traits
from mods.runtime.decisions import Decision, Next, SessionSpec, Sureness
from mods.runtime.host.confine.sandbox import Sandbox
from mods.runtime.package import Package
from mods.runtime.rehearsal import Scene

WORKER, API = "worker", "api"

MAX_ROWS = 16_384
"""Rows in one feed at most: more than any engine has in one step."""


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The first message of a connection to a host. kind: `WORKER` or `API`."""

    kind: str


# worker → host


class FeedRow(msgspec.Struct, frozen=True, array_like=True):
    """One row of a step: the arguments of `Machine.decide`, and the session they are for.

    earlier: tokens before `token` that no feed has told of, oldest first. sureness: given when a
    mod asks how sure the model is.
    """

    session: int
    segment: int
    position: int
    token: int
    earlier: list[int] = []
    sureness: Sureness | None = None


class Arena(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """From here on rows of logits lie in the file whose descriptor comes along with this message.

    float32, shape [rows, vocabulary].
    """

    rows: int
    vocabulary: int


class Feed(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """One step of one host's rows. arena: row i's raw logits lie in slot i of the arena."""

    seq: int
    rows: list[FeedRow]
    arena: bool = False


# host → worker


class Verdicts(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The decisions for the feed with this number, in the order of its rows.

    rows: by index, the whole rows of logits (float32 bytes) that go with a `Shape` and that
    could not be written to the arena, because the feed had none.
    """

    seq: int
    decisions: Annotated[list[Decision], msgspec.Meta(max_length=MAX_ROWS)]
    rows: dict[int, bytes] = {}


# API → host


class Load(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Import this chain; the first message of the API, once.

    shared: sources by module name. deadline: seconds that one handler call may take, waits
    included, where its mod declares no more.
    """

    packages: list[Package]
    shared: dict[str, str]
    deadline: float


class Open(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """Open a session; answered by `Reply` with its slot on the status page."""

    id: int
    spec: SessionSpec


class Tail(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """A segment has ended: the arguments of `Machine.tail`; answered by `Reply`."""

    id: int
    session: int
    segment: int
    position: int
    token: int
    earlier: list[int] = []


class Rehearse(msgspec.Struct, frozen=True, array_like=True, tag=18):
    """Run the chain against a scripted model; answered by `Closed`, whose record is a `Rehearsal`.

    The host does nothing else meanwhile: it is one that was made for this.
    """

    id: int
    scene: Scene


class Close(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """The session is over; answered by `Closed`.

    reason: what `Finished` says if nothing else. tells: whether the record is to have the output,
    token by token with the mod that each is from. traces: whether the answer is to have the tape.
    """

    id: int
    session: int
    reason: str
    tells: bool = False
    traces: bool = False


# host → API


class Loaded(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """The chain is ready. prints: what it printed while it was imported."""

    traits: list[Traits]
    prints: list[str] = []


class LoadFailed(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """The chain could not be imported: status and kind (its `type`), message for the client."""

    status: int
    kind: str
    message: str
    prints: list[str] = []


class Reply(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """What the session does next. slot: where its floor is on the page, -1 if it has none."""

    id: int
    next: Next
    slot: int = -1


class Closed(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """What the session's mods did and said; empty for a session that the host does not know.

    tape: what happened token by token, packed (`mods.runtime.tape`), if it was asked for.
    """

    id: int
    record: dict[str, Any]
    tape: bytes = b""


# API → zygote


class Spawn(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """Fork a host; answered by `Spawned` or `NotSpawned`."""

    host: str


class Kill(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """End a host now. The zygote does it, because only it knows that the pid is still its own."""

    host: str


# zygote → API


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=14):
    """Everything is imported, the tokenizer is loaded, and the sandbox was tried."""

    sandbox: Sandbox


class Spawned(msgspec.Struct, frozen=True, array_like=True, tag=15):
    """The host lives; its socket listens and its page exists."""

    host: str
    pid: int


class NotSpawned(msgspec.Struct, frozen=True, array_like=True, tag=16):
    """The host could not be forked."""

    host: str
    message: str


class Died(msgspec.Struct, frozen=True, array_like=True, tag=17):
    """A host is gone. code: its exit code, or minus the number of the signal that ended it."""

    host: str
    code: int


TO_HOST = msgspec.msgpack.Decoder(Hello | Arena | Feed | Load | Rehearse | Open | Tail | Close)
FROM_HOST = msgspec.msgpack.Decoder(Loaded | LoadFailed | Reply | Closed)
TO_WORKER = msgspec.msgpack.Decoder(Verdicts)
TO_ZYGOTE = msgspec.msgpack.Decoder(Spawn | Kill)
FROM_ZYGOTE = msgspec.msgpack.Decoder(Ready | Spawned | NotSpawned | Died)
