"""One OpenTelemetry span for each answer, where a collector is configured.

A span is made of the finished trace, on the thread that made that, and exported in batches by a
thread of OpenTelemetry's. It has what the conventions for generative models have settled, and the
id by which the whole trace is found here; never what was said.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from server.traces.asked import Asked
from server.traces.trace import Trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.util.types import AttributeValue

log = logging.getLogger("concordance.traces")

SERVICE = "concordance"
"""The service's name, where OTEL_SERVICE_NAME gives no other."""
TRACES_PATH = "/v1/traces"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Spans:
    """Makes spans. processor: what they are handed to when they end."""

    def __init__(self, processor: SpanProcessor) -> None:
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider

        named = Resource({"service.name": SERVICE}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=named, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(SERVICE)

    @classmethod
    def to(cls, endpoint: str | None) -> Spans | None:
        """Spans to a collector by OTLP over HTTP, None without one. endpoint: its base address.

        What other `OTEL_*` variables say (headers, sampling, names) OpenTelemetry reads itself.
        """
        if not endpoint:
            return None
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + TRACES_PATH)
        return cls(BatchSpanProcessor(exporter))

    def tell(self, trace: Trace, asked: Asked) -> None:
        """A request is over. Its span is a child of the client's, if that sent a `traceparent`."""
        from opentelemetry.trace import SpanKind, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        request = trace.request
        found = attributes(trace, asked)
        span = self._tracer.start_span(
            " ".join(str(found[f"gen_ai.{part}"]) for part in ("operation.name", "request.model")),
            TraceContextTextMapPropagator().extract({"traceparent": asked.traceparent}),
            SpanKind.SERVER,
            found,
            start_time=_nanoseconds(request.created_at),
        )
        if request.error is not None:
            span.set_status(StatusCode.ERROR, request.error.message)
        span.end(_nanoseconds(request.completed_at or request.created_at))

    def close(self) -> None:
        """Export what waits, as far as the collector takes it."""
        self._provider.shutdown()


def attributes(trace: Trace, asked: Asked) -> dict[str, AttributeValue]:
    """By the names of OpenTelemetry's conventions, and of ours for what they have none for."""
    request = trace.request
    wanted = asked.content.get("model")
    found: dict[str, AttributeValue] = {
        "gen_ai.operation.name": "chat" if request.messages else "text_completion",
        "gen_ai.request.model": wanted if isinstance(wanted, str) else request.model,
        "gen_ai.response.model": request.model,
        "gen_ai.response.id": request.request_id,
        "gen_ai.response.finish_reasons": [request.finish_reason],
        "gen_ai.usage.input_tokens": request.usage.prompt,
        "gen_ai.usage.output_tokens": request.usage.sampled + request.usage.forced,
        "concordance.tokens.forced": request.usage.forced,
        "concordance.tokens.erased": request.usage.erased,
    }
    if request.mods:
        found["concordance.mods"] = [mod.name for mod in request.mods]
    if request.error is not None:
        found["error.type"] = request.error.type or "_OTHER"
    return found


def _nanoseconds(moment: datetime) -> int:
    return 1000 * ((moment - _EPOCH) // _MICROSECOND)
