"""Pages of a server beside its service: one to try it, metrics, and the description of a request for OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from centernet.serving.metrics import metrics_page

_BINARY = {"type": "string", "format": "binary"}
_FILES = {"type": "object", "properties": {"files": {"type": "array", "items": _BINARY}}}
BODY = {
    "requestBody": {
        "required": True,
        "content": {"image/*": {"schema": _BINARY}, "multipart/form-data": {"schema": _FILES}},
    },
    "summary": "Find objects in an image, or in several.",
}


def add_pages(app: Any, about: Mapping[str, Any], service: str) -> None:
    """Add the page at /, its files, and /metrics to a FastAPI application whose service is there already."""
    templates = files("centernet") / "templates" / "web"
    page = Environment(autoescape=True).from_string((templates / "index.html").read_text("utf-8"))
    note = "Photos go to this server, which does not keep them."
    shown = page.render(name=about["name"], sources="", note=note)
    script, style = ((templates / name).read_text("utf-8") for name in ("page.js", "page.css"))
    answers: dict[str, Response] = {
        "/": HTMLResponse(shown),
        "/page.js": Response(script, media_type="text/javascript"),
        "/page.css": Response(style, media_type="text/css"),
        "/model.json": JSONResponse({**about, "service": service.lstrip("/")}),
    }
    for path, answer in answers.items():
        app.router.routes.insert(0, Route(path, _always(answer)))  # LitServe has a page at / already
    app.router.routes.insert(0, Route("/metrics", _metrics))
    for route in app.router.routes:
        if getattr(route, "path", None) == service:
            route.openapi_extra = BODY


def _always(answer: Response) -> Any:
    async def endpoint(request: Any) -> Response:
        return answer

    return endpoint


async def _metrics(request: Any) -> Response:
    return metrics_page()
