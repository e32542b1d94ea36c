"""Stock mods in the registry: there without upload, and a caller's own of that name goes first."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pytest

from mods.runtime.compile import Traits
from mods.runtime.files import PackageError
from mods.runtime.load import load_chain
from mods.runtime.package import Package
from server.mods.caller import EVERYBODY
from server.mods.models import mod_of
from server.mods.registry import LIBRARY, ModRegistry, StartupModError

NAMES = sorted(path.stem for path in LIBRARY.glob("[a-z]*.py"))


async def load_here(package: Package, shared: Mapping[str, str]) -> Traits:
    return load_chain([package], shared)[0].traits


@pytest.fixture
async def registry() -> ModRegistry:
    made = ModRegistry()
    await made.load_library(load_here)
    return made


def own(name: str) -> Package:
    source = "from mods.sdk import mod\n\n@mod\ndef f(event, actions, tokenizer): ...\n"
    return Package.from_source(source, name=name)


async def test_every_caller_may_name_them_and_sees_that_they_are_built_in(
    registry: ModRegistry,
) -> None:
    listed = registry.list("ada")
    assert [mod.package.name for mod in listed] == NAMES
    for mod in listed:
        told = mod_of(mod, None)
        assert (told.built_in, told.shared) == (True, True)
        assert told.description
        assert told.reach is not None
    assert registry.resolve("bob", ["redact", "ban_phrases"])[0].name == "redact"


async def test_a_callers_own_goes_first_and_then_everybodys(registry: ModRegistry) -> None:
    stock = registry.get("ada", "redact").package.digest
    registry.register(EVERYBODY, own("redact"), Traits("redact"))
    everybodys = registry.get("ada", "redact")
    assert everybodys.package.digest != stock
    assert not mod_of(everybodys, None).built_in
    assert mod_of(everybodys, None).shared
    assert not registry.register("ada", own("redact"), Traits("redact"))
    assert registry.get("ada", "redact").owner == "ada"
    assert [mod.owner for mod in registry.list("ada") if mod.package.name == "redact"] == ["ada"]
    assert registry.get("bob", "redact") is everybodys
    registry.delete("ada", "redact")
    assert registry.get("ada", "redact") is everybodys


async def test_they_cannot_be_deleted(registry: ModRegistry) -> None:
    with pytest.raises(StartupModError, match="comes with the server"):
        registry.delete("ada", "redact")
    assert registry.get("ada", "redact")


async def test_one_that_may_not_be_loaded_here_is_left_out_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def picky(package: Package, shared: Mapping[str, str]) -> Traits:
        if "import re\n" in "".join(package.files.values()):
            raise PackageError(f"mod {package.name!r} imports 're', which mods may not import here")
        return await load_here(package, shared)

    registry = ModRegistry()
    with caplog.at_level(logging.WARNING, logger="concordance.mods"):
        await registry.load_library(picky)
    assert {mod.package.name for mod in registry.list("ada")} == {*NAMES} - {"redact"}
    assert "redact" in caplog.text
