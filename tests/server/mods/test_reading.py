"""Large uploads are parsed in a process of their own, with the same outcome."""

from __future__ import annotations

import asyncio

import pytest

from mods.runtime.files import PackageError
from mods.runtime.package import Package
from server.mods import reading
from server.mods.reading import SMALL, read_package

SOURCE = "@mod\ndef shout(event, actions, tokenizer):\n    return None\n"
LARGE = SOURCE + "# é\n" * SMALL


@pytest.mark.parametrize("source", [SOURCE, LARGE])
async def test_an_upload_of_any_size_becomes_the_same_package(source: str) -> None:
    payload = {"source": source, "name": "loud"}
    assert await read_package(payload) == Package.from_payload(payload)


@pytest.mark.parametrize("padding", ["", "# more\n" * SMALL])
async def test_an_error_is_the_same_wherever_it_was_found(padding: str) -> None:
    with pytest.raises(PackageError, match=r"mod\.py, line 2, column 1") as caught:
        await read_package({"source": "x = 1\n)\n" + padding})
    error = caught.value
    assert (error.param, error.file, error.line) == ("source", "mod.py", 2)


async def test_a_large_source_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(PackageError, match="not UTF-8"):
        await read_package({"files": {"a.py": LARGE + "# \ud800"}})


async def test_the_loop_goes_on_while_a_large_source_is_parsed() -> None:
    reader = asyncio.create_task(read_package({"source": SOURCE + "x = [1, (2, 3)]\n" * 20_000}))
    gaps = []
    while not reader.done():
        before = asyncio.get_running_loop().time()
        await asyncio.sleep(0.001)
        gaps.append(asyncio.get_running_loop().time() - before)
    assert (await reader).name == "shout"
    assert len(gaps) > 50


async def test_a_source_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PATIENCE", 0.01)
    with pytest.raises(PackageError, match="took longer than"):
        await read_package({"source": LARGE})


async def test_an_import_path_is_read_apart_too() -> None:
    with pytest.raises(PackageError, match="no such module"):
        await read_package({"import_path": "no_such_package.mod"})
