"""What a server decides about all constraints, as vLLM's flags of the same names do."""

from __future__ import annotations

import hashlib

import msgspec

from mods.sdk.constraints import Constraint, digest


class Options(msgspec.Struct, frozen=True):
    """disable_any_whitespace: JSON comes without spaces and line breaks.

    disable_additional_properties: JSON objects hold only the properties that a schema names.
    specials: the model's special tokens, name and id, which structural tags may use as marks.
    """

    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False
    specials: tuple[tuple[str, int], ...] = ()


def digest_with(constraint: Constraint, options: Options) -> str:
    """The constraint's own digest with default options, else another one."""
    own = digest(constraint)
    if options == Options():
        return own
    return hashlib.sha256(own.encode() + _ENCODER.encode(options)).hexdigest()[:32]


_ENCODER = msgspec.msgpack.Encoder()
