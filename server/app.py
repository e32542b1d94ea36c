"""The process that people start: engine, mods' hosts and HTTP, put together in this order."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mods.runtime.host.confine.limits import MEGABYTE
from mods.runtime.host.confine.terms import Terms
from mods.runtime.host.pool import HostPool
from mods.sdk.errors import HostError
from server.api.doors import Doors
from server.api.gate import Gate
from server.api.guard import Allowed, Guard
from server.api.readiness import Readiness
from server.http import Door
from server.json_lines import JsonLines
from server.keys.audit import Audit
from server.keys.book import KeyBook
from server.keys.start import OPEN_NOTICE, book_for, is_open_to_this_machine_only, kept_up
from server.limits.limiter import Limiter
from server.limits.limits import Limits
from server.mods.registry import Check, ModRegistry, StartupModError
from server.quiet import Quiet
from server.settings import Settings, SettingsError

if TYPE_CHECKING:
    from server.engine.keeper import EngineKeeper

RESTORE_SECONDS = 5.0
"""By which the server is ready later so that the mods of before are there when it is."""

log = logging.getLogger("concordance")


class StartError(RuntimeError):
    """The server could not start; the message is the one line that a person needs."""


def run(settings: Settings, engine_args: Sequence[str]) -> int:
    """Serve until told to stop. Returns the exit status; says in one line why a start failed."""
    quiet = Quiet(settings.home / "logs" / "engine.log")
    try:
        with quiet:
            _serve_until_stopped(settings, engine_args, quiet)
    except SettingsError as error:
        return _complain(str(error), 2)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 0
    except (StartError, StartupModError) as error:
        return _complain(str(error), 1)
    except Exception as error:
        quiet.restore()
        reason = quiet.cause(error)
        return _complain(f"cannot serve {settings.model}: {reason} (more in {quiet.log})", 1)
    return 0


def _complain(message: str, status: int) -> int:
    print(f"concordance: {' '.join(message.split())}", file=sys.stderr)
    return status


def _serve_until_stopped(settings: Settings, engine_args: Sequence[str], quiet: Quiet) -> None:
    shared_memory = Path("/dev/shm")
    parent = shared_memory if os.access(shared_memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="concordance-", dir=parent) as folder:
        run_dir = Path(folder) / "hosts"
        run_dir.mkdir(mode=0o700)
        _prepare_worker(settings, str(run_dir))
        import uvloop

        from server.engine.options import engine_options

        options = engine_options(settings, engine_args)
        book = _keys(settings, options)
        uvloop.run(_serve(settings, options, run_dir, quiet, book))


def _keys(settings: Settings, options: Namespace) -> KeyBook:
    """Who may come in, known before anything is loaded. Raises `SettingsError` if nobody could."""
    given = options.api_key or [key for key in [os.environ.get("VLLM_API_KEY", "")] if key]
    # Ours is the one guard: vLLM's own, over some routes, knows one spelling of a key only.
    options.api_key = None
    os.environ.pop("VLLM_API_KEY", None)
    network = not is_open_to_this_machine_only(settings.host, options)
    return book_for(settings, [key for key in given if key], network=network)


def _prepare_worker(settings: Settings, run_dir: str) -> None:
    """What the engine's processes find in their environment; they inherit it at their start."""
    from processors import environment

    os.environ[environment.RUN_DIR] = run_dir
    os.environ[environment.SOFT_DEADLINE] = str(settings.soft_deadline_ms / 1000)
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_COLOR", "0")


async def _serve(
    settings: Settings, options: Namespace, run_dir: Path, quiet: Quiet, book: KeyBook
) -> None:
    from vllm.entrypoints.launchers.launcher import setup_server

    _, sock = setup_server(options, reuse_port=False)
    began = time.monotonic()
    try:
        async with _engine(settings, options) as engine:
            loaded_in = time.monotonic() - began
            pool, running = await _start_hosts(settings, engine, run_dir), AsyncExitStack()
            try:
                readiness = Readiness(await _kept(settings, engine, loaded_in, running))
                app = await build(settings, options, engine, pool, running, book, readiness)
                quiet.restore()
                _log_to_terminal(settings.log_level, settings.log_format)
                if not book.any:
                    log.warning(OPEN_NOTICE)
                limiter: Limiter = app.state.concordance_limiter
                door = Door(readiness, lambda: limiter.under_way, settings.drain_s)
                await door.serve(app, sock, options)
            finally:
                await running.aclose()
                await pool.stop()
    finally:
        sock.close()


async def _kept(
    settings: Settings, engine: Any, loaded_in: float, running: AsyncExitStack
) -> EngineKeeper | None:
    """Who restarts the engine; nobody where it runs in this process. loaded_in: seconds."""
    if settings.backend == "huggingface":
        return None
    from server.engine.core import VllmCore
    from server.engine.keeper import EngineKeeper

    keeper = EngineKeeper(VllmCore(engine), settings.engine_silence_s, loaded_in)
    return await running.enter_async_context(keeper)


def _engine(settings: Settings, options: Namespace) -> AbstractAsyncContextManager[Any]:
    """vLLM's engine in processes of its own, or the reference engine in this one."""
    if settings.backend == "huggingface":
        from server.engine.reference.engine import reference_engine

        reference: AbstractAsyncContextManager[Any] = reference_engine(options)
        return reference
    from vllm.entrypoints.launchers.api_server.entry import build_async_engine_client

    engine: AbstractAsyncContextManager[Any] = build_async_engine_client(options)
    return engine


async def _start_hosts(settings: Settings, engine: Any, run_dir: Path) -> HostPool:
    from server.engine.assembly import model_tokens

    pool = HostPool(
        run_dir,
        tokenizer_folder(engine, run_dir.parent / "tokenizer"),
        hard_deadline=settings.hard_deadline_s,
        max_hosts=settings.max_hosts,
        max_caller_hosts=settings.max_user_hosts,
        tokens=model_tokens(engine),
        idle_seconds=settings.host_idle_s,
        terms=Terms(
            trusted=settings.trust_mods,
            memory=settings.host_memory_mb * MEGABYTE,
            imports=tuple(settings.mod_imports.split(",")),
        ),
    )
    try:
        await pool.start()
    except HostError as error:
        await pool.stop()
        raise StartError(str(error)) from error
    return pool


def tokenizer_folder(engine: Any, spare: Path) -> Path:
    """Where the model's `tokenizer.json` lies: its own folder, or `spare`, written from memory.

    Raises `StartError` for a tokenizer that cannot be written in that form.
    """
    own = Path(engine.model_config.tokenizer)
    if (own / "tokenizer.json").is_file():
        return own
    save = getattr(engine.renderer.tokenizer, "save_pretrained", None)
    if save is not None:
        save(str(spare))
    if not (spare / "tokenizer.json").is_file():
        raise StartError(f"{own} has no tokenizer.json, which mods need to encode and decode text")
    return spare


async def build(
    settings: Settings,
    options: Namespace,
    engine: Any,
    pool: HostPool,
    running: AsyncExitStack,
    book: KeyBook,
    readiness: Readiness,
) -> Gate:
    """vLLM's own application over an engine with mods, with our gate, our way in and our routes.

    running: takes what must be stopped when the server stops.
    """
    from vllm.entrypoints.launchers.api_server.app_state import init_app_state
    from vllm.entrypoints.launchers.app import build_app

    from server.api.entrance import Entrance
    from server.api.stage import Stage
    from server.engine.assembly import mod_engine
    from server.mods.caller import caller_of
    from server.mods.keeping import ModKeeper
    from server.mods.routes import ModsState
    from server.traces.replay import Replayer
    from server.traces.service import traces

    tasks = await engine.get_supported_tasks()
    kept = await running.enter_async_context(
        traces(settings, _served_name(options), _candidates(engine))
    )
    with_mods: Any
    with_mods, admission = await running.enter_async_context(
        mod_engine(engine, pool, settings.health_timeout_s, settings.jump_forward, kept.observer)
    )
    app = build_app(options, tasks, engine.model_config)
    await init_app_state(with_mods, app.state, options, tasks)
    registry, check = await _registry(settings, pool)
    if getattr(app.state, "serving_structured_decisions", None) is None:
        drop_route(app, "/v1/systemone")  # it would answer 501, whatever it is asked
    mount(app, admission, kept, engine.renderer.tokenizer)
    app.state.concordance_backend = settings.backend
    app.state.concordance_sandbox = pool.sandbox.as_dict()
    keeper = ModKeeper(kept.archive, registry, check)
    await kept.once_connected(keeper.restore, RESTORE_SECONDS)

    def served_names() -> Iterable[str]:
        models = app.state.openai_serving_models
        yield from (model.name for model in models.base_model_paths)
        yield from models.lora_requests

    perform = Stage(app, pool, served_names).perform
    limits = Limits.of(settings)
    guard = Guard(limits, Allowed.by(options, engine.model_config.get_vocab_size()))
    app.state.concordance_replayer = Replayer(with_mods, registry, pool, guard)
    app.state.concordance_mods = ModsState(registry, check, pool.rehearse, perform, keeper, limits)
    await running.enter_async_context(kept_up(book, kept.archive))
    entrance = Entrance(app, registry, pool, served_names, caller_of)
    return gate_of(app, entrance, settings, options, book, guard, readiness)


async def _registry(settings: Settings, pool: HostPool) -> tuple[ModRegistry, Check]:
    """The mods that are there from the start, and how another one is tried."""
    registry, check = ModRegistry(), _check_in(pool)
    pool.fallen = registry.fell
    await registry.load_library(check)
    if settings.mods is not None:
        await registry.load_folder(settings.mods, check)
    return registry, check


def mount(app: Any, admission: Any, kept: Any, tokenizer: Any) -> None:
    """Our routes beside vLLM's. admission: of constraints. kept: traces. tokenizer: the model's."""
    from server.api.health import router as health_routes
    from server.api.page import mount_page
    from server.api.pieces import TokenPieces
    from server.constraints.generate import mount_generate
    from server.constraints.routes import mount_constraints
    from server.keys.routes import router as key_routes
    from server.limits.routes import router as limit_routes
    from server.mods.routes import router as mod_routes
    from server.traces.mounting import mount_traces

    # vLLM's own says neither why not nor what runs the model.
    drop_route(app, "/health")
    for router in (mod_routes, health_routes, key_routes, limit_routes):
        app.include_router(router)
    mount_constraints(app, admission)
    mount_generate(app)
    pieces = TokenPieces(tokenizer)
    mount_traces(app, kept, pieces)
    mount_page(app, pieces)


def drop_route(app: Any, path: str) -> None:
    """Take away one of vLLM's routes."""
    routes = app.router.routes
    routes[:] = [route for route in routes if getattr(route, "path", None) != path]


def gate_of(
    app: Any,
    entrance: Any,
    settings: Settings,
    options: Namespace,
    book: KeyBook,
    guard: Guard,
    readiness: Readiness,
) -> Gate:
    """The gate in front of everything."""
    limiter = Limiter(Limits.of(settings))
    app.state.concordance_keys, app.state.concordance_limiter = book, limiter
    app.state.concordance_readiness = readiness
    return Gate(
        entrance,
        Doors(app),
        book,
        limiter,
        guard,
        Audit(settings.home),
        open_here=is_open_to_this_machine_only(settings.host, options),
        origins=options.allowed_origins,
        readiness=readiness,
        slow_reader_s=settings.slow_reader_s,
    )


def _served_name(options: Namespace) -> str:
    named = getattr(options, "served_model_name", None)
    return str(named[0] if isinstance(named, list) and named else named or options.model)


def _candidates(engine: Any) -> int:
    """How many of the likeliest tokens the engine tells of at most."""
    from server.traces.finishing import TOP_TOKENS

    most = getattr(engine.model_config, "max_logprobs", TOP_TOKENS)
    return TOP_TOKENS if most < 0 else min(most, TOP_TOKENS)


def _check_in(pool: HostPool) -> Check:
    """How an upload is tried: loaded in a host that is stopped then, never in this process."""

    async def check(package: Any, shared: Any) -> Any:
        (traits,) = await pool.check([package], shared)
        return traits

    return check


def _log_to_terminal(level: str, form: str = "text") -> None:
    """Our own loggers, what mods print among them, beside the web server's access log."""
    handler = logging.StreamHandler(sys.stderr)
    words = logging.Formatter("%(levelname)s:     %(message)s")
    handler.setFormatter(JsonLines() if form == "json" else words)
    if form == "json":
        # The web server's own loggers have handlers of their own.
        for name in ("uvicorn", "uvicorn.access"):
            for other in logging.getLogger(name).handlers:
                other.setFormatter(JsonLines())
    log.addHandler(handler)
    log.setLevel(level.upper())
    log.propagate = False
