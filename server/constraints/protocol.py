"""What the server and its triers say to each other: msgpack in frames, over a socket for each."""

from __future__ import annotations

import struct

import msgspec

from mods.runtime.grammar.trial import Trial
from mods.runtime.grammar.violations import Verdict
from mods.sdk.constraints import Constraint


class TryOut(msgspec.Struct, frozen=True, tag="try_out"):
    """Compile this, begin it and walk it."""

    constraint: Constraint


class Judge(msgspec.Struct, frozen=True, tag="judge"):
    """Say whether this text keeps the constraint. finished: as `violations.judge` has it."""

    constraint: Constraint
    text: str
    finished: bool


class Tried(msgspec.Struct, frozen=True, tag="tried"):
    """The constraint can be used. memory: bytes that the process grew by."""

    trial: Trial
    memory: int = 0


class Judged(msgspec.Struct, frozen=True, tag="judged"):
    """What was found."""

    verdict: Verdict


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """A `ConstraintError`, in parts."""

    reason: str
    part: str
    position: str | None


Work = TryOut | Judge
Answer = Tried | Judged | Refused

WORK = msgspec.msgpack.Decoder(Work)
ANSWER = msgspec.msgpack.Decoder(Answer)

PID = struct.Struct("<i")
"""How the zygote tells a trier's pid; before the first one, 0 says that it is ready."""
