"""Which mods there are, and whose. Kept in memory, behind one class.

ModError
├── UnknownModError         404  no such mod for this caller; names those there are
├── TooManyModsError        409  the caller has as many mods as they may
├── StartupModError         409  a mod that the server was started with cannot be deleted
└── SetAsideError           424  a mod whose process fell too often; says why it fell
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mods import library
from mods.runtime.compile import Traits
from mods.runtime.files import PackageError
from mods.runtime.host.restarts import WINDOW, Restarts
from mods.runtime.package import Package, check_shared
from mods.sdk.errors import ModError
from server.mods.caller import BUILT_IN, EVERYBODY

FALLS = 5
"""So many falls of a mod's process within `WINDOW`, and the mod is set aside."""

LIBRARY = Path(library.__file__).parent
"""Where the stock mods are."""

log = logging.getLogger("concordance.mods")

Check = Callable[[Package, Mapping[str, str]], Awaitable[Traits]]
"""Loads a mod in a process of its own, with the caller's helper modules, and tells its traits.

Raises a `ModError` for a mod that cannot be loaded.
"""


class UnknownModError(ModError):
    """A caller named a mod that is not there."""

    status = 404
    type = "unknown_mod"


class TooManyModsError(ModError):
    """A caller registered one mod more than they may."""

    status = 409
    type = "too_many_mods"


class StartupModError(ModError):
    """A caller tried to delete a mod that the server was started with."""

    status = 409
    type = "mod_not_deletable"


class SetAsideError(ModError):
    """A caller named a mod that was set aside for them."""

    status = 424
    type = "mod_set_aside"


@dataclass(frozen=True)
class RegisteredMod:
    """A package that was found to load. created: seconds since the epoch."""

    package: Package
    traits: Traits
    created: float
    owner: str


@dataclass
class _Shelf:
    """What one caller has."""

    mods: dict[str, RegisteredMod] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    aside: dict[str, str] = field(default_factory=dict)
    """Why each mod that was set aside fell, by the mod's digest."""


class ModRegistry:
    """The mods and helper modules of each caller, and those that everybody may use.

    A caller's own mod comes before one of the same name that the server was started with, and that
    before a stock mod.
    """

    def __init__(self) -> None:
        self._shelves: dict[str, _Shelf] = {}
        self._falls = Restarts()

    def register(self, caller: str, package: Package, traits: Traits) -> bool:
        """Keep a mod under its name. Returns whether it replaced one of the caller's."""
        mods = self._shelf(caller).mods
        self._pardon(caller, package)
        replaced = package.name in mods
        mods[package.name] = RegisteredMod(package, traits, time.time(), caller)
        return replaced

    def owned(self, caller: str) -> Collection[str]:
        """The names of the caller's own mods."""
        return self._shelf(caller).mods.keys()

    def list(self, caller: str) -> Sequence[RegisteredMod]:
        """Every mod that the caller may name, by name."""
        visible = {
            name: mod
            for owner in (BUILT_IN, EVERYBODY, caller)
            for name, mod in self._shelf(owner).mods.items()
        }
        return [visible[name] for name in sorted(visible)]

    def get(self, caller: str, name: str) -> RegisteredMod:
        """Raises `UnknownModError`."""
        for owner in (caller, EVERYBODY, BUILT_IN):
            found = self._shelf(owner).mods.get(name)
            if found is not None:
                return found
        raise UnknownModError(self._unknown(caller, name))

    def delete(self, caller: str, name: str) -> None:
        """Raises `UnknownModError`, or `StartupModError` for a mod that is everybody's."""
        gone = self._shelf(caller).mods.pop(name, None)
        if gone is None:
            if self.get(caller, name).owner == BUILT_IN:
                raise StartupModError(
                    f"mod {name!r} comes with the server; one of your own of that name goes first"
                )
            raise StartupModError(
                f"mod {name!r} was loaded when the server started; remove its file and restart"
            )
        self._pardon(caller, gone.package)

    def resolve(self, caller: str, names: Sequence[str]) -> Sequence[Package]:
        """The packages of a chain, in order. Raises `UnknownModError` and `SetAsideError`."""
        packages = [self.get(caller, name).package for name in names]
        for package in packages:
            why = self.set_aside(caller, package)
            if why is not None:
                raise SetAsideError(
                    f"mod {package.name!r} is set aside: its process fell {FALLS} times within"
                    f" {WINDOW:.0f} s, at last because {why}; upload it again to try it again"
                )
        return packages

    def fell(self, caller: str, package: Package, why: str) -> None:
        """A process of the caller's fell while this mod ran: set it aside if that goes on.

        For this caller only: what one of them sends to a mod that everybody may use costs the
        others nothing.
        """
        if self._falls.fell((caller, package.digest), time.monotonic()) >= FALLS:
            self._shelf(caller).aside[package.digest] = why

    def set_aside(self, caller: str, package: Package) -> str | None:
        """Why the mod may not run for this caller; None if it may."""
        return self._shelf(caller).aside.get(package.digest)

    def _pardon(self, caller: str, package: Package) -> None:
        """A mod that was uploaded again gets another chance."""
        self._shelf(caller).aside.pop(package.digest, None)
        self._falls.forget((caller, package.digest))

    def share(self, caller: str, files: Mapping[str, str]) -> bool:
        """Keep helper modules for all the caller's mods. Returns whether any was replaced.

        files: relative path to source. Raises `PackageError` if, with those there already, they
        are too many, too large, or two of one name.
        """
        shelf = self._shelf(caller)
        kept = check_shared({**shelf.shared, **files})
        replaced = not shelf.shared.keys().isdisjoint(files)
        shelf.shared = kept
        return replaced

    def shared(self, caller: str) -> Mapping[str, str]:
        """The caller's helper modules: relative path to source."""
        return dict(self._shelf(caller).shared)

    async def load_folder(
        self, folder: Path, check: Check, owner: str = EVERYBODY
    ) -> Sequence[RegisteredMod]:
        """Register every mod of a folder for everybody: each .py file and each folder with some.

        What starts with `.` or `_` is passed over. Raises `PackageError` for the first broken
        one, naming its path.
        """
        for path in _mods_in(folder):
            await self._load(path, check, owner)
        return list(self._shelf(owner).mods.values())

    async def load_library(self, check: Check) -> Sequence[RegisteredMod]:
        """Register the stock mods. One that may not be loaded here is left out, and logged: the
        operator may allow mods fewer imports than it needs."""
        for path in _mods_in(LIBRARY):
            try:
                await self._load(path, check, BUILT_IN)
            except PackageError as error:
                log.warning("a stock mod is left out: %s", error)
        return list(self._shelf(BUILT_IN).mods.values())

    async def _load(self, path: Path, check: Check, owner: str) -> None:
        try:
            package = Package.from_folder(path)
            traits = await check(package, {})
        except ModError as error:
            line = getattr(error, "line", None)
            raise PackageError(f"{path}: {error}", file=str(path), line=line) from error
        if self.register(owner, package, traits):
            raise PackageError(
                f"{path}: another mod of this folder is called {package.name!r} too;"
                " rename one with @mod(name=…)",
                file=str(path),
            )

    def _shelf(self, caller: str) -> _Shelf:
        return self._shelves.get(caller) or self._shelves.setdefault(caller, _Shelf())

    def _unknown(self, caller: str, name: str) -> str:
        names = ", ".join(mod.package.name for mod in self.list(caller))
        there = f"there are {names}" if names else "there are none yet; POST one to /v1/mods"
        return f"no mod {name!r:.100}; {there}"


def _mods_in(folder: Path) -> Sequence[Path]:
    if not folder.is_dir():
        raise PackageError(f"{folder} is no folder; give one that holds mods")
    paths = (path for path in sorted(folder.iterdir()) if path.name[0] not in "._")
    return [path for path in paths if _holds_python(path)]


def _holds_python(path: Path) -> bool:
    if path.is_dir():
        return any(path.rglob("*.py"))
    return path.suffix == ".py"
