"""Writes what was found as predictions of Label Studio (https://labelstud.io/guide/predictions)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from centernet.detections import Detections
from centernet.drawing import JOINT
from centernet.inference.guard import Inputs
from centernet.inference.sources import Frame
from centernet.inference.writers import JsonList, counted

if TYPE_CHECKING:
    from typing_extensions import Self


class LabelStudioWriter:
    """Writes one JSON file of tasks, each with an image and a prediction, as Label Studio imports it.

    Boxes are regions of `RectangleLabels` named ``label``; keypoints of a skeleton are regions of `KeyPointLabels`
    named ``keypoints``, whose parent is the box; those of a score below .1 are left out. The image is
    ``/data/local-files/?d=NAME``, as local storage serves it. Rows go to a file beside `path` and become it at the end.

    Args:
        path: of the JSON file; its folder is made if missing.
        model: what the predictions are called.
    """

    def __init__(self, path: str | os.PathLike[str], model: str = "centernet") -> None:
        self.path, self.model = Path(path), model
        self._objects = 0
        self._list: JsonList

    def protect(self, inputs: Inputs) -> None:
        """Raise a ValueError where the file is one of the inputs."""
        inputs.check(self.path)

    def __enter__(self) -> Self:
        self._list = JsonList(self.path)
        return self

    def __exit__(self, *error: object) -> None:
        self._list.finish()

    def write(self, frame: Frame, detections: Detections) -> None:
        """Add a frame and its objects."""
        task = {
            "data": {"image": f"/data/local-files/?d={quote(frame.name, errors='surrogateescape')}"},
            "predictions": [{"model_version": self.model, "result": regions(detections, frame.size_hw)}],
        }
        self._list.add([json.dumps(task, ensure_ascii=False)])
        self._objects += len(detections)

    def summary(self) -> str:
        return f"{self.path} ({counted(self._objects, 'object')})"


def regions(detections: Detections, size_hw: tuple[int, int]) -> list[dict[str, Any]]:
    """Return the regions of an image of this (height, width): places are percentages of its sides."""
    height, width = size_hw
    skeletons = {column.name: column.skeleton for column in detections.columns if column.skeleton is not None}

    def region(kind: str, name: str, number: str, value: dict[str, Any]) -> dict[str, Any]:
        sides = {"original_width": width, "original_height": height, "image_rotation": 0}
        return {"id": number, "type": kind, "from_name": name, "to_name": "image", **sides, "value": value}

    found: list[dict[str, Any]] = []
    for i, one in enumerate(detections):
        x1, y1, x2, y2 = (100 * float(v) / side for v, side in zip(one.bbox, (width, height) * 2, strict=True))
        place = {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1}
        box = {key: round(value, 4) for key, value in place.items()} | {"rotation": 0, "rectanglelabels": [one.name]}
        found.append(region("rectanglelabels", "label", f"box{i}", box) | {"score": round(one.score, 5)})
        for name, skeleton in skeletons.items():
            for k, (x, y, score) in enumerate(one.data[name].tolist()):
                if score < JOINT:
                    continue
                point = {"x": round(100 * x / width, 4), "y": round(100 * y / height, 4), "width": 0.5}
                point |= {"keypointlabels": [skeleton.names[k]]}
                entry = region("keypointlabels", "keypoints", f"box{i}_{name}_{k}", point)
                found.append(entry | {"parentID": f"box{i}", "score": round(score, 5)})
    return found
