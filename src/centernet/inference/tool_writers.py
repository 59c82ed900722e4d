"""Writers of what annotation tools import to be corrected: one file each for CVAT and Label Studio.

Beside it stands a file with the labels, as the tool takes them when a task or project is made. LabelMe's writer is in
`image_writers`, as it has a file for each image.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from centernet.annotations import cvat
from centernet.annotations.keypoints import found_poses
from centernet.detections import Detections
from centernet.drawing import JOINT
from centernet.inference.guard import Inputs
from centernet.inference.sources import Frame
from centernet.inference.writers import JsonList, counted
from centernet.skeleton import Skeleton
from centernet.text import in_xml
from centernet.whole import Growing, write_json, write_text

if TYPE_CHECKING:
    from typing_extensions import Self


class CvatWriter:
    """Writes CVAT's XML 1.1 for images, all in one file, which a task with these images takes ("Upload annotations").

    ``NAME_labels.json`` beside it has the classes for the tab "Raw" of a new task. Objects with keypoints are
    skeletons, whose points of a score below .1 are "outside"; CVAT's skeletons have no box, so that theirs is lost.
    Images go to a file beside `path` as they come, and become it at the end.

    Args:
        path: of the XML file; its folder is made if missing.
        class_names: by label; empty where none are known, and then there is no file of labels.
    """

    def __init__(self, path: str | os.PathLike[str], class_names: Sequence[str] = ()) -> None:
        self.path, self.class_names = Path(path), tuple(class_names)
        self.labels = self.path.with_name(f"{self.path.stem}_labels.json")
        self._images = self._objects = 0
        self._begun, self._posed = False, 0
        self._file: Growing

    def protect(self, inputs: Inputs) -> None:
        """Raise a ValueError where a file is one of the inputs."""
        inputs.check(self.path, self.labels)

    def __enter__(self) -> Self:
        self._file = Growing.beside(self.path)
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._begin(None)
            self._file.add(cvat.END)
            self._file.finish()
        finally:
            self._file.discard()

    def write(self, frame: Frame, detections: Detections) -> None:
        """Add a frame and its objects."""
        skeleton, poses = found_poses(detections)
        self._begin(skeleton)
        objects = ((one.bbox.tolist(), one.name, pose) for one, pose in zip(detections, poses, strict=True))
        self._file.add(cvat.image_text(self._images, frame.name, frame.size_hw, objects))
        self._images, self._objects = self._images + 1, self._objects + len(detections)
        self._posed += sum(any(visible for _, _, visible in pose.values()) for pose in poses)

    def _begin(self, skeleton: Skeleton | None) -> None:
        """Write the labels, once: the first image tells whether there are keypoints."""
        if self._begun:
            return
        self._begun = True
        self._file.add(cvat.head_text(self.class_names, skeleton))
        if self.class_names:
            labels = [cvat.label_entry(name, skeleton) for name in self.class_names]
            write_json(self.labels, labels, ensure_ascii=False)

    def summary(self) -> str:
        posed = f"; {self._posed} are skeletons, which have no box of their own" if self._posed else ""
        return f"{self.path} ({counted(self._objects, 'object')}{posed})"


class LabelStudioWriter:
    """Writes one JSON file of tasks, each with an image and a prediction, as Label Studio imports it.

    Boxes are regions of `RectangleLabels` named ``label``; keypoints of a skeleton are regions of `KeyPointLabels`
    named ``keypoints``, whose parent is the box; those of a score below .1 are left out. The image is
    ``/data/local-files/?d=NAME``, as local storage serves it. ``NAME.xml`` beside it is the labelling interface of such
    a project ("Labeling Interface", "Code"). Rows go to a file beside `path` and become it at the end.

    Args:
        path: of the JSON file; its folder is made if missing.
        model: what the predictions are called.
        class_names: by label; empty where none are known, and then those that occur are in the interface.
    """

    def __init__(self, path: str | os.PathLike[str], model: str = "centernet", class_names: Sequence[str] = ()) -> None:
        self.path, self.model, self.interface = Path(path), model, Path(path).with_suffix(".xml")
        self._labels, self._joints = dict.fromkeys(class_names), dict[str, None]()
        self._objects = 0
        self._list: JsonList

    def protect(self, inputs: Inputs) -> None:
        """Raise a ValueError where a file is one of the inputs."""
        inputs.check(self.path, self.interface)

    def __enter__(self) -> Self:
        self._list = JsonList(self.path)
        return self

    def __exit__(self, *error: object) -> None:
        self._list.finish()
        controls = _control("RectangleLabels", "label", self._labels) if self._labels else ""
        controls += _control("KeyPointLabels", "keypoints", self._joints) if self._joints else ""
        view = f'<View>\n<Image name="image" value="$image"/>\n{controls}</View>\n'
        write_text(self.interface, view, errors="backslashreplace")

    def write(self, frame: Frame, detections: Detections) -> None:
        """Add a frame and its objects."""
        self._labels |= dict.fromkeys(detections.names)
        self._joints |= {
            name: None for column in detections.columns if column.skeleton for name in column.skeleton.names
        }
        task = {
            "data": {"image": f"/data/local-files/?d={quote(frame.name, errors='surrogateescape')}"},
            "predictions": [{"model_version": self.model, "result": regions(detections, frame.size_hw)}],
        }
        self._list.add([json.dumps(task, ensure_ascii=False)])
        self._objects += len(detections)

    def summary(self) -> str:
        return f"{self.path} ({counted(self._objects, 'object')})"


def _control(kind: str, name: str, labels: Iterable[str]) -> str:
    """Return a control of Label Studio's interface with its labels."""
    values = "".join(f"  <Label value={quoteattr(in_xml(label))}/>\n" for label in labels)
    return f'<{kind} name="{name}" toName="image">\n{values}</{kind}>\n'


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
