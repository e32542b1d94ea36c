"""`/v1/mods` and `/sdk`: upload, list, show and delete. Nothing of a mod runs in this process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response

from mods.runtime.compile import Traits
from mods.runtime.files import PackageError
from mods.runtime.package import Package, shared_files
from mods.sdk.errors import ModError
from server.mods.caller import caller_of
from server.mods.errors import ModRoute
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
from server.mods.reading import read_package
from server.mods.registry import Check, ModRegistry

__all__ = ["ModsState", "caller_of", "router"]


@dataclass(frozen=True)
class ModsState:
    """What the routes work with, found at `app.state.concordance_mods`."""

    registry: ModRegistry
    check: Check


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
    traits = await _loaded(state, package, state.registry.shared(caller))
    replaced = state.registry.register(caller, package, traits)
    response.status_code = 200 if replaced else 201
    mod = mod_of(state.registry.get(caller, package.name))
    return RegisteredReply(**mod.model_dump(), replaced=replaced)


@router.get("/v1/mods")
async def list_mods(state: State, caller: Caller) -> ModList:
    """Every mod that your requests can name."""
    return ModList(data=[mod_of(mod) for mod in state.registry.list(caller)])


@router.get("/v1/mods/{name}")
async def show_mod(name: str, state: State, caller: Caller, source: bool = False) -> Mod:
    """One mod; with `?source=true`, its files' sources too."""
    return mod_of(state.registry.get(caller, name), source)


@router.delete("/v1/mods/{name}")
async def delete_mod(name: str, state: State, caller: Caller) -> Deleted:
    """Forget a mod. Requests that already run with it go on."""
    state.registry.delete(caller, name)
    return Deleted(name=name)


@router.post("/sdk", status_code=201, responses={200: {"description": "Replaced"}})
async def share_modules(
    upload: SharedUpload, state: State, caller: Caller, response: Response
) -> SharedList:
    """Keep helper modules that your mods may import. They are never written to disk."""
    files = shared_files(upload.model_dump(exclude_none=True))
    response.status_code = 200 if state.registry.share(caller, files) else 201
    return SharedList(data=files_of(dict(state.registry.shared(caller))))


@router.get("/sdk")
async def list_shared_modules(state: State, caller: Caller, source: bool = False) -> SharedList:
    """Your helper modules; with `?source=true`, their sources too."""
    return SharedList(data=files_of(dict(state.registry.shared(caller)), source))


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
