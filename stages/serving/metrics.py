"""Numbers on the server for Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

import time
from collections.abc import Callable, Collection

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024)
RESULTS = ("classified", "rejected")  # of rows


class Metrics:
    """What is counted. Any number of threads may count."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter("headstart_requests", "Answered requests.", ["path", "status"], registry=registry)
        self.seconds = Histogram(
            "headstart_request_seconds", "From a request to its answer.", ["path"], buckets=SECONDS, registry=registry
        )
        self.rows = Counter("headstart_rows", "Rows, by whether they were classified.", ["result"], registry=registry)
        self.batch_rows = Histogram(
            "headstart_batch_rows", "Rows that were computed together.", buckets=ROWS, registry=registry
        )
        self.batch_seconds = Histogram(
            "headstart_batch_seconds", "Time to compute a batch.", buckets=SECONDS, registry=registry
        )
        self.reloads = Counter(
            "headstart_reloads", "Models that replaced one, or could not.", ["result"], registry=registry
        )
        self._waiting = Gauge("headstart_waiting_rows", "Rows that are in no batch yet.", registry=registry)
        ProcessCollector(registry=registry)

    def watch_waiting(self, count: Callable[[], int]) -> None:
        """Let `count` tell how many rows wait."""
        self._waiting.set_function(count)

    def observe_batch(self, rows: int, seconds: float) -> None:
        """Count a batch."""
        self.batch_rows.observe(rows)
        self.batch_seconds.observe(seconds)

    def count_rows(self, *, classified: int, rejected: int) -> None:
        """Count rows."""
        for name, count in zip(RESULTS, (classified, rejected), strict=True):
            self.rows.labels(name).inc(count)

    def row_count(self) -> int:
        """Return the number of rows so far."""
        values = (self._registry.get_sample_value("headstart_rows_total", {"result": name}) for name in RESULTS)
        return round(sum(value or 0 for value in values))

    def observe_reload(self, worked: bool) -> None:
        """Count a reload."""
        self.reloads.labels("loaded" if worked else "failed").inc()

    def text(self) -> bytes:
        """Write all numbers."""
        return generate_latest(self._registry)


class Measured:
    """An application whose requests are counted."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str]) -> None:
        """Wrap an application; requests for others than these paths are counted as one."""
        self._app, self._metrics, self._paths = app, metrics, frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self._paths else "other"
        started, status = time.monotonic(), 500

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        finally:
            self._metrics.requests.labels(path, str(status)).inc()
            self._metrics.seconds.labels(path).observe(time.monotonic() - started)
