"""Registered mods over restarts: kept in Postgres beside the traces, and registered again.

Postgres may come later than the server, or not at all. Then a mod lives in memory, and is kept as
soon as there is one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from mods.runtime.package import Package
from mods.sdk.errors import ModError
from server.mods.registry import Check, ModRegistry, UnknownModError
from server.traces.archive import Archive
from server.traces.errors import TraceError

log = logging.getLogger("concordance.mods")


class ModKeeper:
    """Writes down what is registered; brings back what was."""

    def __init__(self, archive: Archive, registry: ModRegistry, check: Check) -> None:
        self._archive, self._registry, self._check = archive, registry, check
        self._waiting: dict[tuple[str, str], Package | None] = {}
        """What Postgres has not heard of yet: a mod, or that one is gone."""
        self._shared: dict[str, dict[str, str]] = {}

    async def registered(self, caller: str, package: Package) -> bool:
        """Returns whether the mod will be there after a restart, as far as is known now."""
        self._waiting[caller, package.name] = package
        return await self._write()

    async def deleted(self, caller: str, name: str) -> bool:
        """The same of a mod that is not to be there."""
        self._waiting[caller, name] = None
        return await self._write()

    async def shared(self, caller: str, files: Mapping[str, str]) -> bool:
        """The same of helper modules."""
        self._shared.setdefault(caller, {}).update(files)
        return await self._write()

    async def restore(self) -> None:
        """Register what was kept, unless it was uploaded again since. What loads no more is said
        in the log and stays where it is."""
        stored = (await self._archive.shelves()).mods
        for caller, files in (await stored.all_shared()).items():
            self._registry.share(caller, {**files, **self._registry.shared(caller)})
        for kept in await stored.all():
            if (kept.owner, kept.package.name) in self._waiting or self._has(
                kept.owner, kept.package
            ):
                continue
            try:
                traits = await self._check(kept.package, self._registry.shared(kept.owner))
            except ModError as error:
                log.warning("mod %r was kept and does not load: %s", kept.package.name, error)
            else:
                self._registry.register(kept.owner, kept.package, traits)
        await self._write()

    def _has(self, owner: str, package: Package) -> bool:
        try:
            return self._registry.get(owner, package.name).owner == owner
        except UnknownModError:
            return False

    async def _write(self) -> bool:
        try:
            stored = (await self._archive.shelves()).mods
            for (caller, name), package in list(self._waiting.items()):
                if package is None:
                    await stored.forget(caller, name)
                else:
                    await stored.keep(caller, package)
                if self._waiting.get((caller, name)) is package:
                    del self._waiting[caller, name]
            for caller in list(self._shared):
                await stored.keep_shared(caller, self._shared.pop(caller))
        except TraceError as error:
            log.warning("what was registered is in memory only: %s", error)
            return False
        return True
