"""Whatever fits the server's own OpenAPI schema, and whatever nearly fits it, gets an answer that
is nobody's fault but the client's: no 5xx, no engine that ends, no memory that stays.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable

from tests.engine.conftest import OPTIONS
from tests.engine.live import Live, open_home, serving

KEY = "secret-key"
TOKENS = 4
"""Asked for by each case at most."""
PATIENCE_S = 60.0
ENDLESS = {"/logs/stream"}
"""Streams that go on until the client leaves."""
CLOSES = {"/add_user"}
"""The first key closes an open server: only for a server with keys."""
DOCUMENTED = {
    "trace_away": "without a Postgres there are no traces to read",
}
"""503 of these types is an answer that is documented."""
LIMITS = {
    "/v1/responses": ("max_output_tokens",),
    "/v1/chat/completions": ("max_tokens", "max_completion_tokens"),
}


def capped(body: Any, path: str) -> Any:
    """The body, asking for few tokens where it asks for many or does not say."""
    if not isinstance(body, dict):
        return body
    if isinstance(body.get("sampling_params"), dict):
        body = {**body, "sampling_params": capped(body["sampling_params"], "")}
    first, *others = LIMITS.get(path, ("max_tokens",))
    body = {first: TOKENS, **body}
    for name in (first, *others, "min_tokens"):
        if (isinstance(body.get(name), int) and body[name] > TOKENS) or body.get(name, 0) is None:
            body = {**body, name: TOKENS}
    return body


class Attempt:
    """Sends cases, and keeps what came of them."""

    def __init__(self, live: Live, key: str | None) -> None:
        self.live, self.session = live, requests.Session()
        if key is not None:
            self.session.headers["authorization"] = f"Bearer {key}"
        self.statuses: Counter[int] = Counter()
        self.faults: dict[tuple[str, str, int], str] = {}
        self.memory: list[int] = []
        """Of the API's process after each thousand cases, in KiB."""

    def __call__(self, case: Any) -> None:
        path = case.operation.path
        if path in ENDLESS:
            return
        case.body = capped(case.body, path)
        try:
            answer = case.call(session=self.session, timeout=PATIENCE_S)
        except (requests.exceptions.InvalidHeader, UnicodeError, ValueError):
            return  # The client's library sends no such thing.
        self.statuses[answer.status_code] += 1
        if self.statuses.total() % 1000 == 0:
            self.memory.append(memory_of(self.live))
        if answer.status_code >= 500 and not _documented(answer):
            fault = (case.method, path, answer.status_code)
            self.faults.setdefault(fault, f"{case.as_curl_command()[:20000]}\n{answer.text[:500]}")


def _documented(answer: Any) -> bool:
    found = re.search(r'"type":\s*"(\w+)"', answer.text)
    return answer.status_code == 503 and found is not None and found[1] in DOCUMENTED


def campaign(live: Live, cases: int, more_memory: float, key: str | None = None) -> None:
    """more_memory: by which part of itself the API's memory may have grown."""
    schema = schemathesis.openapi.from_url(
        f"{live.url}/openapi.json", headers={"authorization": f"Bearer {key}"} if key else {}
    )
    operations = [each.ok() for each in schema.get_all_operations()]
    operations = [each for each in operations if key or each.path not in CLOSES]
    attempt = Attempt(live, key)
    modes = list(schemathesis.GenerationMode)
    each = max(1, cases // (len(operations) * len(modes)))
    # What is loaded at its first use is loaded now: pyarrow by an export, most of all.
    _try_all(operations, modes, 1, attempt, 1)
    attempt.session.get(f"{live.url}/logs/export?format=parquet", timeout=PATIENCE_S)
    processes, memory = live.engine_processes(), memory_of(live)
    for number in count(2):
        _try_all(operations, modes, each, attempt, number)
        if attempt.statuses.total() >= cases:
            break
    grown = memory_of(live) / memory - 1
    print(f"{dict(sorted(attempt.statuses.items()))}; memory {grown:+.1%}: {attempt.memory} KiB")
    assert attempt.faults == {}, "\n\n".join(f"{k}: {v}" for k, v in attempt.faults.items())
    assert attempt.statuses[200] > 0
    assert live.engine_processes() == processes
    assert live.process.poll() is None
    headers = {"authorization": f"Bearer {key}"} if key else {}
    assert httpx.get(f"{live.url}/health", headers=headers, timeout=30).status_code == 200
    assert grown <= more_memory


def _try_all(operations: Any, modes: Any, each: int, attempt: Attempt, number: int) -> None:
    """So many cases of each operation at most. number: of the round; another has other cases."""
    for place, operation in enumerate(operations):
        for mode in modes:
            strategy = operation.as_strategy(generation_mode=mode)

            def one(case: Any) -> None:
                attempt(case)

            run = settings(
                max_examples=each,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(given(strategy)(one))
            try:
                seed(number * 1000 + place)(run)()
            except Unsatisfiable:
                continue  # Nothing is against a schema that allows everything.


def memory_of(live: Live) -> int:
    """Of the API's process, in KiB."""
    status = Path(f"/proc/{live.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found is not None
    return int(found[1])


def test_hundreds_of_cases_of_the_schema_harm_nothing(live: Live) -> None:
    # A young server's buffers and caches still fill.
    campaign(live, 300, 0.15)


@pytest.fixture
def locked() -> Iterator[Live]:
    """A server with a key, which a new one does not close."""
    stores = {"CONCORDANCE_EMBEDDED_POSTGRES": "true"}
    with open_home() as home, serving(home, *OPTIONS, "--api-key", KEY, **stores) as server:
        yield server


@pytest.mark.prove
def test_ten_thousand_cases_of_the_schema_harm_nothing(locked: Live) -> None:
    campaign(locked, int(os.environ.get("SCHEMA_CASES", "10000")), 0.05, KEY)
