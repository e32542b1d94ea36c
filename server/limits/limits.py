"""What is allowed, as it is set and as `GET /v1/limits` tells it."""

from __future__ import annotations

from msgspec import Struct

from server.settings import Settings

MIB, KIB = 2**20, 2**10


class Limits(Struct, frozen=True, kw_only=True):
    """Of one key, unless it says otherwise. 0 for no limit, where that makes sense."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    concurrent_requests: int = 0
    queued_requests: int = 0
    total_requests: int = 0
    """Of everybody, running and waiting."""
    max_n: int = 8
    max_prompts: int = 256
    max_tokens: int = 32_768
    max_logprobs: int = 20
    max_body_bytes: int = 32 * MIB
    max_mods: int = 0
    max_source_bytes: int = MIB
    max_hosts: int = 0

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(
            requests_per_minute=settings.requests_per_minute,
            tokens_per_minute=settings.tokens_per_minute,
            concurrent_requests=settings.concurrent_requests,
            queued_requests=settings.queued_requests,
            total_requests=settings.total_requests,
            max_n=settings.max_n,
            max_prompts=settings.max_prompts,
            max_tokens=settings.max_output_tokens,
            max_logprobs=settings.max_logprobs,
            max_body_bytes=settings.max_body_mb * MIB,
            max_mods=settings.max_mods,
            max_source_bytes=settings.max_source_kb * KIB,
            max_hosts=settings.max_user_hosts,
        )
