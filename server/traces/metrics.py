"""How traces fare, as Prometheus metrics: the spool, what is behind, what was dropped, restarts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.traces.status import ShippingStatus, lag

if TYPE_CHECKING:
    from server.traces.service import Traces

CAUSES = ("disk", "full", "busy", "unwritable", "closed")


class TraceMetrics(Collector):
    """Reads the numbers when somebody asks for them; nothing is counted twice."""

    def __init__(self) -> None:
        self.traces: Traces | None = None

    def collect(self) -> Iterator[Metric]:
        running = self.traces
        if running is None or running.spool is None:
            return
        spool, folder = running.spool, running.spool.folder
        status = ShippingStatus.load(folder)
        yield _gauge(
            "spool_bytes", "Bytes of traces on disk that are not deleted yet.", spool.size()
        )
        yield _gauge("spool_lag_bytes", "Bytes of traces that are not shipped yet.", lag(folder))
        yield _gauge(
            "traces_pending", "Finished requests without a trace.", running.observer.pending
        )
        yield _counter("traces", "Traces that are durable.", spool.counts.durable)
        dropped = CounterMetricFamily(
            "concordance_traces_dropped", "Traces that could not be kept.", labels=["cause"]
        )
        for cause in CAUSES:
            dropped.add_metric([cause], spool.counts.dropped[cause])
        yield dropped
        yield _counter("traces_refused", "Traces that were refused for good.", status.refused)
        yield _counter("traces_damaged", "Traces that were torn or damaged.", status.damaged)
        if running.sidecar is not None:
            restarts = running.sidecar.restarts
            yield _counter("ingest_restarts", "Restarts of the ingest writer.", restarts)

    def describe(self) -> Iterator[Any]:
        yield from ()


_metrics: list[TraceMetrics] = []


def gauge_traces(running: Traces | None) -> None:
    """Show this server's traces in the metrics; None for none any more."""
    if not _metrics:
        _metrics.append(TraceMetrics())
        REGISTRY.register(_metrics[0])
    _metrics[0].traces = running


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"concordance_{name}", words, value=value)


def _counter(name: str, words: str, value: float) -> Metric:
    return CounterMetricFamily(f"concordance_{name}", words, value=value)
