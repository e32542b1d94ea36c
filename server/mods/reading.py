"""From an upload to a package, without holding up the requests that are being served.

Parsing a mebibyte of source takes seconds in which nothing else runs in a process, and source can
be written to exhaust the parser. So what is large is parsed in a process that lives only for it,
without the server's secrets, and locked as a mod's process is where the kernel can do that. None of
the source runs there.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from mods.runtime.files import PackageError
from mods.runtime.host.confine.lock import lock
from mods.runtime.host.confine.terms import CONFINED
from mods.runtime.package import Package

SMALL = 16 * 1024
"""Characters of source that are parsed in place: some tens of milliseconds at most."""

PATIENCE = 20.0
"""Seconds that a larger upload may take to be parsed."""


class Refusal(msgspec.Struct):
    """A `PackageError` as it leaves the process that found it."""

    message: str
    param: str | None
    file: str | None
    line: int | None


class Reading(msgspec.Struct):
    """What the process answers: one of the two."""

    package: Package | None = None
    refusal: Refusal | None = None


async def read_package(payload: Mapping[str, Any]) -> Package:
    """`Package.from_payload`, for the event loop. Raises `PackageError`."""
    if "import_path" not in payload and _size(payload) <= SMALL:
        return Package.from_payload(payload)
    try:
        sent = msgspec.json.encode(payload)
    except UnicodeEncodeError:
        return Package.from_payload(payload)  # it names the file that is not UTF-8, and parses none
    reading = msgspec.json.decode(await _read_apart(sent), type=Reading)
    if reading.package is not None:
        return reading.package
    told = reading.refusal
    assert told is not None
    raise PackageError(told.message, param=told.param, file=told.file, line=told.line)


async def _read_apart(payload: bytes) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        __name__,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUTF8": "1"},
    )
    try:
        answer, _ = await asyncio.wait_for(process.communicate(payload), PATIENCE)
    except TimeoutError:
        raise PackageError(
            f"the mod took longer than {PATIENCE:.0f} s to parse; make it simpler", param="source"
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise PackageError("the mod's source cannot be parsed; make it simpler", param="source")
    return answer


def _size(payload: Mapping[str, Any]) -> int:
    texts = [payload.get("source") or ""]
    for key in ("files", "bundle"):
        texts += (payload.get(key) or {}).values()
    return sum(map(len, texts))


def main() -> None:
    """Read a payload from standard input, write a `Reading` to standard output."""
    payload = msgspec.json.decode(sys.stdin.buffer.read())
    if "import_path" not in payload:
        # Where the kernel lacks something, what could be given up is given up.
        with suppress(OSError, ValueError):
            lock(CONFINED, os.getppid())
    try:
        reading = Reading(package=Package.from_payload(payload))
    except PackageError as error:
        reading = Reading(refusal=Refusal(str(error), error.param, error.file, error.line))
    sys.stdout.buffer.write(msgspec.json.encode(reading))


if __name__ == "__main__":
    main()
