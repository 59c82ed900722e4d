"""Figures of a running server in Prometheus' text form: requests by status, seconds, and how many are at work."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.responses import Response

REGISTRY = CollectorRegistry()
REQUESTS = Counter("centernet_requests", "Requests answered, by status.", ["status"], registry=REGISTRY)
SECONDS = Histogram("centernet_request_seconds", "Seconds from a request's head to its answer.", registry=REGISTRY)
ACTIVE = Gauge("centernet_requests_active", "Requests that are being read, waiting or worked on.", registry=REGISTRY)


class Metrics:
    """Counts the requests to one path; an ASGI middleware."""

    def __init__(self, app: Any, path: str) -> None:
        self.app, self.path = app, path

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != self.path:
            await self.app(scope, receive, send)
            return
        status = "none"

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        start = time.perf_counter()
        ACTIVE.inc()
        try:
            await self.app(scope, receive, noting)
        finally:
            ACTIVE.dec()
            REQUESTS.labels(status).inc()
            SECONDS.observe(time.perf_counter() - start)


def metrics_page() -> Response:
    """Return the figures."""
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
