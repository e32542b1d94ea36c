"""The registry keeps callers apart, and says which mods there are when one is not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from mods.runtime.compile import Traits
from mods.runtime.files import MAX_FILES, PackageError
from mods.runtime.load import load_chain
from mods.runtime.package import Package
from server.mods.caller import EVERYBODY
from server.mods.registry import ModRegistry, StartupModError, UnknownModError

SOURCE = "@mod\ndef {name}(event, actions, tokenizer):\n    return {value}\n"


def package(name: str, value: int = 0) -> Package:
    return Package.from_source(SOURCE.format(name=name, value=value))


def add(registry: ModRegistry, caller: str, name: str, value: int = 0) -> bool:
    return registry.register(caller, package(name, value), Traits(name))


async def load_here(package: Package, shared: Mapping[str, str]) -> Traits:
    """A check that loads in this process: the tests' own mods may."""
    return load_chain([package], shared)[0].traits


def test_a_mod_is_found_by_its_caller_alone() -> None:
    registry = ModRegistry()
    add(registry, "ada", "shout")
    assert registry.get("ada", "shout").package == package("shout")
    with pytest.raises(UnknownModError, match=r"no mod 'shout'; there are none yet"):
        registry.get("bob", "shout")


def test_registering_a_name_again_replaces_it() -> None:
    registry = ModRegistry()
    assert not add(registry, "ada", "shout", 1)
    assert add(registry, "ada", "shout", 2)
    assert registry.resolve("ada", ["shout"]) == [package("shout", 2)]


def test_an_unknown_mod_is_told_with_those_there_are() -> None:
    registry = ModRegistry()
    add(registry, "ada", "shout")
    add(registry, EVERYBODY, "calm")
    with pytest.raises(UnknownModError, match=r"no mod 'shut'; there are calm, shout") as caught:
        registry.resolve("ada", ["shout", "shut"])
    assert caught.value.status == 404


def test_a_chain_is_resolved_in_its_order() -> None:
    registry = ModRegistry()
    for name in ("a", "b"):
        add(registry, "ada", name)
    assert [found.name for found in registry.resolve("ada", ["b", "a", "b"])] == ["b", "a", "b"]


def test_a_callers_own_mod_comes_before_everybodys() -> None:
    registry = ModRegistry()
    add(registry, EVERYBODY, "shout", 1)
    add(registry, "ada", "shout", 2)
    assert registry.get("ada", "shout").package == package("shout", 2)
    assert registry.get("bob", "shout").package == package("shout", 1)
    assert [mod.package.name for mod in registry.list("ada")] == ["shout"]


def test_deleting_forgets_ones_own_mod_only() -> None:
    registry = ModRegistry()
    add(registry, EVERYBODY, "shout", 1)
    add(registry, "ada", "shout", 2)
    registry.delete("ada", "shout")
    assert registry.get("ada", "shout").owner == EVERYBODY
    with pytest.raises(StartupModError, match="when the server started"):
        registry.delete("ada", "shout")
    with pytest.raises(UnknownModError):
        registry.delete("ada", "other")


def test_helper_modules_belong_to_one_caller() -> None:
    registry = ModRegistry()
    assert not registry.share("ada", {"helpers.py": "X = 1\n"})
    assert registry.share("ada", {"helpers.py": "X = 2\n", "more.py": ""})
    assert registry.shared("ada") == {"helpers.py": "X = 2\n", "more.py": ""}
    assert registry.shared("bob") == {}


def test_helper_modules_are_limited_over_all_uploads() -> None:
    registry = ModRegistry()
    registry.share("ada", {f"m{i}.py": "" for i in range(MAX_FILES)})
    with pytest.raises(PackageError, match=f"at most {MAX_FILES}"):
        registry.share("ada", {"one_more.py": ""})
    assert len(registry.shared("ada")) == MAX_FILES


async def test_a_folder_of_mods_is_everybodys(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "from mods.sdk import mod\n" + SOURCE.format(name="first", value=1)
    )
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "main.py").write_text(
        "from mods.sdk import mod\nfrom words import W\n" + SOURCE.format(name="second", value="W")
    )
    (tmp_path / "two" / "words.py").write_text("W = 1\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "_draft.py").write_text("(")
    (tmp_path / "README.md").write_text("hello")
    registry = ModRegistry()
    loaded = await registry.load_folder(tmp_path, load_here)
    assert [mod.package.name for mod in loaded] == ["first", "second"]
    assert loaded[0].traits.reach == 0
    assert registry.resolve("anybody", ["first"])[0].files["one.py"].startswith("from mods.sdk")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = (\n", r"broken\.py: broken\.py, line 1"),
        ("x = 1\n", r"broken\.py: no mod in broken\.py"),
        ("1 / 0\n@mod\ndef f(e, a, t): ...\n", r"broken\.py, line 1: ZeroDivisionError"),
    ],
)
async def test_a_broken_mod_in_a_folder_is_named(
    tmp_path: Path, source: str, expected: str
) -> None:
    (tmp_path / "broken.py").write_text(source)
    with pytest.raises(PackageError, match=expected):
        await ModRegistry().load_folder(tmp_path, load_here)


async def test_two_mods_of_one_name_in_a_folder_are_refused(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(
            "from mods.sdk import mod\n" + SOURCE.format(name="f", value=1)
        )
    with pytest.raises(PackageError, match=r"b\.py: another mod .* 'f'"):
        await ModRegistry().load_folder(tmp_path, load_here)


async def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="is no folder"):
        await ModRegistry().load_folder(tmp_path / "absent", load_here)
