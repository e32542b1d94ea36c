"""Each answer leaves a span, with what the conventions have settled and nothing that was said."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from vllm.sampling_params import RequestOutputKind, SamplingParams

from server.settings import Settings
from server.traces.asked import Asked, current_asked
from server.traces.record import Error
from server.traces.service import traces
from server.traces.spans import Spans
from server.traces.trace import Trace
from server.traces.watching import Observer
from tests.server.traces.making import made, modded
from tests.server.traces.playing import Kept, output_of

CHAT = Asked(
    "/v1/chat/completions",
    "ann",
    b'{"model": "demo/calm", "messages": [{"role": "user", "content": "secret"}]}',
)


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[Spans]:
    spans = Spans(SimpleSpanProcessor(exporter))
    yield spans
    spans.close()


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


def chatted(**request: Any) -> Trace:
    said = [{"role": "user", "content": "secret"}]
    return made("r1", 3, messages=said, user_prompt="secret", **request)


def test_a_span_has_the_settled_attributes(spans: Spans, exporter: InMemorySpanExporter) -> None:
    trace = chatted()
    spans.tell(trace, CHAT)
    span = only(exporter)
    assert span.name == "chat demo/calm"
    assert span.kind is SpanKind.SERVER
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "demo/calm",
        "gen_ai.response.model": "demo",
        "gen_ai.response.id": "r1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 4,
        "gen_ai.usage.output_tokens": 3,
        "concordance.tokens.forced": 0,
        "concordance.tokens.erased": 0,
    }
    assert span.status.is_unset
    assert "secret" not in span.to_json()


def test_its_times_are_the_request_s(spans: Spans, exporter: InMemorySpanExporter) -> None:
    trace = chatted()
    spans.tell(trace, CHAT)
    span = only(exporter)
    assert span.start_time
    assert span.end_time
    assert span.start_time == round(trace.request.created_at.timestamp() * 1e6) * 1000
    assert span.end_time - span.start_time == 1_000_000_000


def test_a_failure_is_an_error(spans: Spans, exporter: InMemorySpanExporter) -> None:
    spans.tell(chatted(error=Error("it broke", "mod_exception", 422)), CHAT)
    span = only(exporter)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "it broke")
    assert (span.attributes or {})["error.type"] == "mod_exception"


def test_mods_are_named(spans: Spans, exporter: InMemorySpanExporter) -> None:
    spans.tell(modded("r", "calm"), Asked("/v1/completions", body=b"{}"))
    found = only(exporter).attributes or {}
    assert found["concordance.mods"] == ("calm",)
    assert found["gen_ai.operation.name"] == "text_completion"
    assert found["gen_ai.request.model"] == "demo"


@pytest.mark.parametrize("sampled", [True, False])
def test_the_client_s_span_is_its_parent(
    spans: Spans, exporter: InMemorySpanExporter, sampled: bool
) -> None:
    """One that the client does not keep is not kept here."""
    given = f"00-{'ab' * 16}-{'cd' * 8}-0{int(sampled)}"
    spans.tell(chatted(), Asked(body=CHAT.body, traceparent=given))
    if not sampled:
        assert exporter.get_finished_spans() == ()
        return
    parent = only(exporter).parent
    assert parent is not None
    assert (parent.trace_id, parent.span_id) == (int("ab" * 16, 16), int("cd" * 8, 16))


def test_a_malformed_traceparent_begins_a_trace(
    spans: Spans, exporter: InMemorySpanExporter
) -> None:
    spans.tell(chatted(), Asked(body=CHAT.body, traceparent="nonsense"))
    assert only(exporter).parent is None


def test_the_service_is_named_as_somebody_says(
    monkeypatch: pytest.MonkeyPatch, spans: Spans, exporter: InMemorySpanExporter
) -> None:
    spans.tell(chatted(), CHAT)
    assert only(exporter).resource.attributes["service.name"] == "concordance"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    other = InMemorySpanExporter()
    Spans(SimpleSpanProcessor(other)).tell(chatted(), CHAT)
    assert only(other).resource.attributes["service.name"] == "mine"


def generate(observer: Observer) -> None:
    params = SamplingParams(output_kind=RequestOutputKind.DELTA)
    token = current_asked.set(CHAT)
    with observer.plain("r", {"prompt_token_ids": [1, 2]}, params) as watch:
        watch.saw(output_of([5], params, "stop", text="a"))
    current_asked.reset(token)


def test_a_trace_is_kept_where_no_span_can_be_made(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Spans):
        def tell(self, trace: Trace, asked: Asked) -> None:
            raise RuntimeError("no span")

    kept = Kept()
    observer = Observer(
        kept, model="demo", spans=Broken(SimpleSpanProcessor(InMemorySpanExporter()))
    )
    generate(observer)
    observer.close()
    assert len(kept.traces) == 1
    assert "no span can be made" in caplog.text


def test_without_a_collector_there_are_no_spans() -> None:
    assert Spans.to(None) is None


@pytest.fixture
def collector() -> Iterator[tuple[str, list[Any]]]:
    """An address, and the spans that were posted there."""
    found: list[Any] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    found.extend(scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", found
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_collector_gets_a_span_of_each_request(
    tmp_path: Path, collector: tuple[str, list[Any]]
) -> None:
    """By the real exporter; what waits is exported when the server stops."""
    address, found = collector
    settings = Settings(home=tmp_path, embedded_postgres=False, otlp_endpoint=address)
    async with traces(settings, "demo", 5) as running:
        generate(running.observer)
    assert [span.name for span in found] == ["chat demo/calm"]
