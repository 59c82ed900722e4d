"""The service: what a worker does with requests, and the server around the workers.

Requests come in by `limits.Door` in one process, and are worked on by workers in processes of their own, each with a
detector. Errors of one request are its own: others of the same batch do not notice.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import cv2
import litserve
from fastapi import Depends
from PIL import Image
from starlette.responses import JSONResponse, Response

from centernet.detections import Detections
from centernet.ending import end_with_parent
from centernet.files import NamedBytes
from centernet.images import ImageError, read_image
from centernet.inference.detector import Detector
from centernet.serving.limits import Door, Limits
from centernet.serving.metrics import Metrics
from centernet.serving.pages import add_pages

PATH = "/predict"
DRAWN = "image/jpeg"
_QUALITY = 90


class Service(litserve.LitAPI):  # type: ignore[misc]
    """A worker, which turns uploads into responses.

    Args:
        model: of the detector.
        arguments: of the detector.
        options: of `LitAPI`: max_batch_size, batch_timeout.
    """

    def __init__(self, model: str, arguments: Mapping[str, Any], **options: Any) -> None:
        super().__init__(api_path=PATH, **options)
        self.model, self.arguments = model, dict(arguments)

    def setup(self, device: str) -> None:
        """Open the model in the worker's process."""
        end_with_parent()
        cv2.setNumThreads(self.arguments.get("threads") or 1)
        self.detector = Detector(self.model, **self.arguments)

    def decode_request(self, request: Any) -> Any:
        """Return the images of an upload, read; the response that says what is wrong where one cannot be."""
        images = []
        for number, (name, data) in enumerate(request["images"]):
            try:
                images.append(read_image(NamedBytes(name or f"image {number}", data)))
            except ImageError as error:
                return JSONResponse({"detail": str(error)}, 400)
        if DRAWN in request["accept"] and len(images) != 1:
            return JSONResponse({"detail": f"{DRAWN} is the answer for one image; ask for JSON"}, 406)
        return request, images

    def predict(self, x: Any, **_: Any) -> Any:
        """Look at the images of a request, or of all requests of a batch at once."""
        requests = x if isinstance(x, list) else [x]
        images = [image for request in requests if not isinstance(request, Response) for image in request[1]]
        found = iter(self.detector(images) if images else [])
        answers = [
            request if isinstance(request, Response) else (*request, [next(found) for _ in request[1]])
            for request in requests
        ]
        return answers if isinstance(x, list) else answers[0]

    def encode_response(self, output: Any, **_: Any) -> Response:
        """Return the answer: JSON, or the drawn image."""
        if isinstance(output, Response):
            return output
        request, images, found = output
        if request["score_threshold"] is not None:
            found = [one.filter(score_threshold=request["score_threshold"]) for one in found]
        if DRAWN in request["accept"]:
            drawn = io.BytesIO()
            Image.fromarray(found[0].plot(images[0])).save(drawn, "JPEG", quality=_QUALITY)
            return Response(drawn.getvalue(), media_type=DRAWN)
        names = [name for name, _ in request["images"]]
        return JSONResponse({"images": [_described(*one) for one in zip(names, images, found, strict=True)]})


class BatchedService(Service):
    """A worker that takes several uploads at once; the detector puts their images together."""

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output


def _described(name: str, image: Any, found: Detections) -> dict[str, Any]:
    """Return an image and its objects in COCO's form."""
    rows = [
        {key: value for key, value in row.items() if key != "image_id"} | {"category_name": of_class}
        for row, of_class in zip(found.to_coco(0), found.names, strict=True)
    ]
    return {"file_name": name, "height": image.shape[0], "width": image.shape[1], "detections": rows}


def make_server(
    model: str,
    arguments: Mapping[str, Any],
    about: Mapping[str, Any],
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    workers: int = 1,
    max_batch_size: int = 1,
    batch_timeout: float = 0.005,
    api_key: str | None = None,
) -> Any:
    """Return a `litserve.LitServer`; its `run` serves.

    Args:
        model, arguments: of the detector of each worker.
        about: what the page shows of the model: its name, class names, thresholds, colours.
        limits: of requests.
        workers: processes with a detector each.
        max_batch_size: requests that are worked on together; 1 for each by itself.
        batch_timeout: seconds that a batch waits to be filled.
        api_key: that requests have to bring in the header X-API-Key.
    """
    door = Door(limits, api_key)
    # LitServe asks FastAPI for what this annotation says, and hands that to a worker.
    Service.decode_request.__annotations__["request"] = Annotated[Any, Depends(door)]
    batching = {"max_batch_size": max_batch_size, "batch_timeout": batch_timeout} if max_batch_size > 1 else {}
    server = litserve.LitServer(
        (BatchedService if batching else Service)(model, arguments, **batching),
        accelerator="cpu",  # the detector's own argument says the device
        devices=1,
        workers_per_device=workers,
        timeout=limits.seconds,
        middlewares=[partial(Metrics, path=PATH)],
        restart_workers=True,
    )
    server.app.title = "centernet"
    add_pages(server.app, about, PATH)
    return server
