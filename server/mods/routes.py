"""`/v1/mods` and `/sdk`: upload, list, show and delete. Nothing of a mod runs in this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response

from mods.runtime.compile import Traits
from mods.runtime.files import PackageError
from mods.runtime.package import Package, shared_files
from mods.runtime.rehearsal import Rehearsal, Scene
from mods.sdk.errors import HostError, ModError
from server.api.gone import unless_gone
from server.limits.limits import Limits
from server.mods.caller import caller_of
from server.mods.dry_run import DryRun, DryRunReply, DryRunUpload, performed, rehearsed
from server.mods.errors import ModRoute
from server.mods.keeping import ModKeeper
from server.mods.models import (
    Deleted,
    ErrorReply,
    Mod,
    ModList,
    ModUpload,
    RegisteredReply,
    SharedList,
    SharedUpload,
    files_of,
    mod_of,
)
from server.mods.performance import Perform, Performance, nowhere
from server.mods.reading import read_package
from server.mods.registry import Check, ModRegistry, RegisteredMod, TooManyModsError

__all__ = ["ModsState", "caller_of", "router"]


Rehearse = Callable[[Sequence[Package], Mapping[str, str], Scene], Awaitable[Rehearsal]]
"""Runs a chain of mods against a scripted model, in a process of its own. Raises `ModError`."""


async def _nowhere(
    packages: Sequence[Package], shared: Mapping[str, str], scene: Scene
) -> Rehearsal:
    raise HostError("this server has no processes for mods")


@dataclass(frozen=True)
class ModsState:
    """What the routes work with, found at `app.state.concordance_mods`."""

    registry: ModRegistry
    check: Check
    rehearse: Rehearse = _nowhere
    perform: Perform = nowhere
    keeper: ModKeeper | None = None
    limits: Limits = field(default_factory=Limits)


def _state(request: Request) -> ModsState:
    return cast(ModsState, request.app.state.concordance_mods)


State = Annotated[ModsState, Depends(_state)]
Caller = Annotated[str, Depends(caller_of)]

router = APIRouter(tags=["mods"], route_class=ModRoute, responses={"4XX": {"model": ErrorReply}})


@router.post("/v1/mods", status_code=201, responses={200: {"description": "Replaced"}})
async def register_mod(
    upload: ModUpload, state: State, caller: Caller, response: Response
) -> RegisteredReply:
    """Register a mod, or replace one of the same name.

    The mod is loaded once in a process of its own; if that fails, nothing is registered.
    """
    package = await read_package(upload.model_dump(exclude_none=True))
    _check_limits(state, caller, package)
    traits = await _loaded(state, package, state.registry.shared(caller))
    _check_limits(state, caller, package)  # others may have been registered meanwhile
    replaced = state.registry.register(caller, package, traits)
    if state.keeper is not None:
        await state.keeper.registered(caller, package)
    response.status_code = 200 if replaced else 201
    mod = _told(state.registry, caller, state.registry.get(caller, package.name))
    return RegisteredReply(**mod.model_dump(), replaced=replaced)


@router.get("/v1/mods")
async def list_mods(state: State, caller: Caller) -> ModList:
    """Every mod that your requests can name."""
    registry = state.registry
    return ModList(data=[_told(registry, caller, mod) for mod in registry.list(caller)])


@router.get("/v1/mods/{name}")
async def show_mod(name: str, state: State, caller: Caller, source: bool = False) -> Mod:
    """One mod; with `?source=true`, its files' sources too."""
    return _told(state.registry, caller, state.registry.get(caller, name), source)


@router.delete("/v1/mods/{name}")
async def delete_mod(name: str, state: State, caller: Caller) -> Deleted:
    """Forget a mod. Requests that already run with it go on."""
    state.registry.delete(caller, name)
    if state.keeper is not None:
        await state.keeper.deleted(caller, name)
    return Deleted(name=name)


@router.post("/v1/mods/dry-run")
async def dry_run_source(
    asked: DryRunUpload, state: State, caller: Caller, request: Request
) -> DryRunReply:
    """Run a mod on one prompt without registering it, and tell everything that it did."""
    asked.check()
    package = await read_package(asked.upload())
    await _loaded(state, package, state.registry.shared(caller))
    return await _dry_run([package], asked, state, caller, request)


@router.post("/v1/mods/{name}/dry-run")
async def dry_run(
    name: str, asked: DryRun, state: State, caller: Caller, request: Request
) -> DryRunReply:
    """Run a mod (or several, `a+b`) on one prompt, and tell everything that they did.

    The mods run in a process of their own, which ends with it: nothing is left behind. With
    `scripted` they run against a scripted model, and the laws are checked.
    """
    asked.check()
    packages = state.registry.resolve(caller, name.split("+"))
    return await _dry_run(packages, asked, state, caller, request)


@router.post("/sdk", status_code=201, responses={200: {"description": "Replaced"}})
async def share_modules(
    upload: SharedUpload, state: State, caller: Caller, response: Response
) -> SharedList:
    """Keep helper modules that your mods may import. They are never written to disk."""
    files = shared_files(upload.model_dump(exclude_none=True))
    response.status_code = 200 if state.registry.share(caller, files) else 201
    if state.keeper is not None:
        await state.keeper.shared(caller, files)
    return SharedList(data=files_of(dict(state.registry.shared(caller))))


@router.get("/sdk")
async def list_shared_modules(state: State, caller: Caller, source: bool = False) -> SharedList:
    """Your helper modules; with `?source=true`, their sources too."""
    return SharedList(data=files_of(dict(state.registry.shared(caller)), source))


def _told(registry: ModRegistry, caller: str, mod: RegisteredMod, source: bool = False) -> Mod:
    return mod_of(mod, registry.set_aside(caller, mod.package), source)


async def _dry_run(
    packages: Sequence[Package], asked: DryRun, state: ModsState, caller: str, request: Request
) -> DryRunReply:
    shared = state.registry.shared(caller)
    if asked.scripted:
        scene = asked.scene()
        return rehearsed(packages, scene, await state.rehearse(packages, shared, scene))
    work = state.perform(packages, shared, asked.body(), caller)
    return performed(packages, asked, await unless_gone(request, _awaited(work)))


def _check_limits(state: ModsState, caller: str, package: Package) -> None:
    """Raises `PackageError` and `TooManyModsError`."""
    size = sum(len(source.encode()) for source in package.files.values())
    most = state.limits.max_source_bytes
    if size > most:
        raise PackageError(f"the mod has {size} bytes of source, at most {most} are allowed here")
    owned, most = state.registry.owned(caller), state.limits.max_mods
    if most and len(owned) >= most and package.name not in owned:
        raise TooManyModsError(f"you may have {most} mods; delete one, or replace one by its name")


async def _awaited(work: Awaitable[Performance]) -> Performance:
    return await work


async def _loaded(state: ModsState, package: Package, shared: Mapping[str, str]) -> Traits:
    """The traits of a mod that loads. Whatever stops it from loading is the upload's fault."""
    try:
        return await state.check(package, shared)
    except PackageError:
        raise
    except ModError as error:
        told = str(error)
        if error.type != PackageError.type:
            told = f"mod {package.name!r} cannot be loaded: {told}"
        raise PackageError(told) from error
