"""What can be set from outside: `CONCORDANCE_*` variables and a few well-known names, read once.

Command-line options win over the environment, which wins over `.env` in the working directory,
which wins over the defaults. A name that is not known or a value that does not fit stops the
start, with the name in the message.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr
from pydantic import ValidationError as PydanticValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from server.demo import MODEL_PATH

PREFIX = "CONCORDANCE_"
DOTENV = Path(".env")


class SettingsError(ValueError):
    """A setting is unknown or malformed; the message is one line that names it."""


def _backend_name(value: object) -> object:
    if not isinstance(value, str):
        return value
    return {"hf": "huggingface"}.get(value.lower(), value.lower())


def _existing_folder(path: Path | None) -> Path | None:
    if path is not None and not path.is_dir():
        raise ValueError("there is no such folder")
    return path


def _expanded(value: object) -> object:
    return Path(value).expanduser() if isinstance(value, (str, Path)) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _postgres(url: SecretStr | None) -> SecretStr | None:
    if url and not url.get_secret_value().startswith(("postgres://", "postgresql://")):
        raise ValueError("expected a postgresql:// address")
    return url


def _module_names(names: str) -> str:
    for name in names.split(","):
        if not name.strip().isidentifier():
            raise ValueError(f"expected names of top-level modules by comma, got {name!r}")
    return ",".join(name.strip() for name in names.split(","))


def _web(url: str | None) -> str | None:
    if url and not url.startswith(("http://", "https://")):
        raise ValueError("expected an http:// or https:// address")
    return url


Folder = Annotated[Path, BeforeValidator(_expanded)]
Backend = Annotated[Literal["vllm", "huggingface"], BeforeValidator(_backend_name)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]


class Settings(BaseSettings):
    """Every setting, with its default. `Settings.load` reads them; nothing else should."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    model: str = Field(
        default=str(MODEL_PATH),
        min_length=1,
        validation_alias=AliasChoices("CONCORDANCE_MODEL", "MODEL_ID"),
        description="A folder or a Hugging Face name; by default the bundled demo model.",
    )
    backend: Backend = Field(default="vllm", description="What runs the model.")
    max_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Output tokens where a request does not say; vLLM's if unset.",
    )
    temperature: float | None = Field(
        default=None, ge=0.0, description="Where a request does not say; the model's if unset."
    )
    top_p: float | None = Field(
        default=None,
        gt=0.0,
        le=1.0,
        description="Where a request does not say; the model's if unset.",
    )
    top_k: int | None = Field(
        default=None,
        ge=0,
        description="Where a request does not say, 0 for no limit; the model's if unset.",
    )
    home: Folder = Field(
        default=Path("~/.concordance").expanduser(), description="The data folder."
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="The address to listen on.")
    port: int = Field(default=8000, ge=1, le=65535, description="The port to listen on.")
    mods: Annotated[Folder | None, AfterValidator(_existing_folder)] = Field(
        default=None, description="A folder of mods to load at the start."
    )
    soft_deadline_ms: float = Field(
        default=20.0, gt=0.0, description="How long one step waits for all mods together."
    )
    hard_deadline_s: float = Field(
        default=1.0, gt=0.0, description="How long one request waits for its mods at one event."
    )
    max_hosts: int = Field(default=64, ge=1, description="Mod processes at once.")
    host_idle_s: float = Field(
        default=600.0, gt=0.0, description="After how long an unused mod process ends."
    )
    host_memory_mb: int = Field(
        default=512, ge=64, description="Memory that one mod process may use, in MiB."
    )
    mod_imports: Annotated[str, AfterValidator(_module_names)] = Field(
        default="stdlib,numpy", description="What mods may import beside the SDK, by comma."
    )
    trust_mods: bool = Field(default=False, description="Run mods without a sandbox.")
    jump_forward: bool = Field(
        default=True,
        description="Whether tokens that a constraint leaves no choice about enter unsampled.",
    )
    health_timeout_s: float = Field(
        default=5.0, gt=0.0, description="How long the engine may make no progress and be healthy."
    )
    engine_silence_s: float = Field(
        default=30.0,
        gt=0.0,
        description="How long the engine may answer nothing and compute nothing; then it is"
        " started again.",
    )
    drain_s: float = Field(
        default=30.0, ge=0.0, description="How long a stopping server lets requests finish."
    )
    slow_reader_s: float = Field(
        default=30.0, gt=0.0, description="After how long a client that does not read is cut off."
    )
    log_level: LogLevel = Field(default="info", description="debug, info, warning or error.")
    log_format: Annotated[Literal["text", "json"], BeforeValidator(_lower)] = Field(
        default="text", description="text, or json: an object on each line."
    )
    trace: Annotated[Literal["off", "tokens", "full"], BeforeValidator(_lower)] = Field(
        default="tokens",
        description="What is kept of a request that does not say: off, tokens, full.",
    )
    spool_mb: int = Field(
        default=1024, ge=1, description="How large the spool of traces may get, in MiB."
    )
    trace_days: int | None = Field(
        default=None, ge=1, description="How many days of traces to keep; all if unset."
    )
    embedded_postgres: bool = Field(
        default=True, description="Whether a Postgres is started where DATABASE_URL is unset."
    )
    requests_per_minute: int = Field(
        default=6000, ge=0, description="Requests of one key in a minute; 0 for no limit."
    )
    tokens_per_minute: int = Field(
        default=2_000_000, ge=0, description="Tokens of one key in a minute; 0 for no limit."
    )
    concurrent_requests: int = Field(
        default=256, ge=0, description="Requests of one key that run at once; 0 for no limit."
    )
    queued_requests: int = Field(
        default=1024, ge=0, description="Requests of one key that wait beside those that run."
    )
    total_requests: int = Field(
        default=4096, ge=0, description="Requests of everybody in the server; 0 for no limit."
    )
    max_n: int = Field(default=8, ge=1, description="Answers that one request may ask for.")
    max_prompts: int = Field(default=256, ge=1, description="Prompts that one request may have.")
    max_output_tokens: int = Field(
        default=32_768, ge=1, description="Output tokens that one request may ask for."
    )
    max_logprobs: int = Field(
        default=20, ge=0, description="Likeliest tokens that one request may ask for."
    )
    max_body_mb: int = Field(default=32, ge=1, description="Size of a request's body, in MiB.")
    max_mods: int = Field(default=100, ge=0, description="Mods that one user may register.")
    max_source_kb: int = Field(
        default=1024, ge=1, le=1024, description="Size of one mod's source, in KiB."
    )
    max_user_hosts: int = Field(
        default=32, ge=1, description="Mod processes that one user may have."
    )
    hf_token: SecretStr | None = Field(
        default=None, validation_alias="HF_TOKEN", description="For gated Hugging Face models."
    )
    database_url: Annotated[SecretStr | None, AfterValidator(_postgres)] = Field(
        default=None, validation_alias="DATABASE_URL", description="A Postgres to keep traces in."
    )
    quote_log_ingest_url: Annotated[str | None, AfterValidator(_web)] = Field(
        default=None,
        validation_alias="QUOTE_LOG_INGEST_URL",
        description="Where else to send finished traces.",
    )
    otlp_endpoint: Annotated[str | None, AfterValidator(_web)] = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="An OpenTelemetry collector, by OTLP over HTTP, that gets a span per answer.",
    )

    @property
    def is_demo(self) -> bool:
        """Whether the model is the bundled one."""
        return Path(self.model) == MODEL_PATH

    @classmethod
    def load(cls, **options: Any) -> Settings:
        """The settings of this process; `options` (by field name) win, None means not given.

        Raises `SettingsError` with one line that names every setting at fault.
        """
        _refuse_unknown([*os.environ, *dotenv_values(DOTENV)])
        given = {name: value for name, value in options.items() if value is not None}
        try:
            return cls(_env_file=DOTENV, **given)  # type: ignore[call-arg]
        except PydanticValidationError as error:
            raise SettingsError(
                "; ".join(_complaint(cls, fault) for fault in error.errors())
            ) from None


def variable_names(field: str) -> list[str]:
    """The environment variables that set a field, the one that wins first."""
    alias = Settings.model_fields[field].validation_alias
    if alias is None:
        return [PREFIX + field.upper()]
    return (
        [str(choice) for choice in alias.choices]
        if isinstance(alias, AliasChoices)
        else [str(alias)]
    )


def all_variable_names() -> list[str]:
    """Every environment variable that is read."""
    return [name for field in Settings.model_fields for name in variable_names(field)]


def _refuse_unknown(names: Iterable[str]) -> None:
    known = all_variable_names()
    for name in sorted({name for name in names if name.upper().startswith(PREFIX)}):
        if name.upper() in known:
            continue
        close = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)[0]
        raise SettingsError(f"{name} is no setting; did you mean {close}?")


def _complaint(settings: type[Settings], fault: Any) -> str:
    """One malformed value in words: where it came from, what it is and what was expected."""
    place = str(fault["loc"][0]) if fault["loc"] else ""
    name = place if place not in settings.model_fields else variable_names(place)[0]
    secret = name in {"HF_TOKEN", "DATABASE_URL"}
    value = "" if secret else f"={fault['input']}"
    return f"{name}{value}: {fault['msg'].removeprefix('Value error, ')}"
