"""What a service counts of itself, for Prometheus; a registry of its own, so that two services never mix."""

from __future__ import annotations

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
REFUSED = (408, 413, 429, 503, 504)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters, gauges and histograms of one service."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.requests = Counter("polyfuse_requests", "Requests answered.", ("route", "status"), registry=own)
        self.latency = Histogram(
            "polyfuse_request_seconds", "From request to answer.", ("route",), buckets=LATENCIES, registry=own
        )
        self.rows = Counter("polyfuse_rows", "Rows computed.", ("model", "task"), registry=own)
        self.waiting = Gauge("polyfuse_queue_rows", "Rows that wait.", ("model",), registry=own)
        self.batch = Histogram("polyfuse_batch_rows", "Rows of a batch.", ("model",), buckets=SIZES, registry=own)
        self.compute = Histogram(
            "polyfuse_batch_seconds", "Time of a batch in the worker.", ("model",), buckets=LATENCIES, registry=own
        )
        self.rejects = Counter("polyfuse_rejects", "Requests refused, by status.", ("status",), registry=own)
        self.dropped = Counter(
            "polyfuse_dropped_rows", "Rows dropped before compute: client gone or too late.", ("model",), registry=own
        )
        self.restarts = Counter("polyfuse_worker_restarts", "Workers started again.", ("model",), registry=own)
        self.ready = Gauge("polyfuse_ready", "Whether a model answers.", ("model",), registry=own)
        self.held = Gauge("polyfuse_held_bytes", "Bytes of requests in memory.", registry=own)

        # looking a child up by its labels takes longer than counting
        self._routes = cache(self.latency.labels)
        self._statuses = cache(lambda route, status: self.requests.labels(route, str(status)))

    def count(self, route: str, status: int, seconds: float) -> None:
        """A request that was answered, or refused, so many seconds after it came."""
        self._statuses(route, status).inc()
        self._routes(route).observe(seconds)
        if status in REFUSED:
            self.rejects.labels(str(status)).inc()

    def page(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
