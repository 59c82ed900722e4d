"""The worker of a run: it opens the model once, and makes a file of each shard that it is given."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from centernet.annotations.problems import DataError
from centernet.configuration import PACKAGED
from centernet.detections import Detections
from centernet.distributed.contents import Contents
from centernet.distributed.plan import Shard
from centernet.distributed.rows import new_rows, row_of
from centernet.images.limits import VARIABLE
from centernet.inference.detector import Detector
from centernet.inference.frame import Frame
from centernet.inference.opening import GRAPH
from centernet.inference.sources import SourceError
from centernet.packaged import check_packaged

SUFFIXES = (".onnx", ".xml")


@dataclass
class Done:
    """The file of a shard, and how much is in it: images that were looked at, their objects, and images, and archives,
    that could not be read."""

    number: int
    content: bytes
    images: int = 0
    objects: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Task:
    """The settings that all workers have in common; they are sent to them.

    Attributes:
        model: path of an ONNX or OpenVINO file, or the name of a model of the package.
        options: of `Detector`.
        sources: those of the plan.
        form: of the files, one of `rows.FORMATS`.
        max_pixels: of an image, as the variable of the environment has it; None for the default.
    """

    model: str
    options: Mapping[str, Any]
    sources: Sequence[str]
    form: str
    max_pixels: str | None = None


def model_file(model: str) -> Path:
    """Return the file that workers open.

    Raises:
        DataError: neither ONNX nor OpenVINO.
    """
    graph = PACKAGED / model / GRAPH
    path = graph if Path(model).name == model and graph.is_file() else Path(model)
    check_packaged(path)
    if path.suffix.lower() not in SUFFIXES:
        text = f"the workers of --engine ray run ONNX and OpenVINO files ({', '.join(SUFFIXES)})"
        raise DataError(f"{model}: {text}; `centernet export {model} --letterbox` writes one")
    return path


class Worker:
    """A detector that runs on one thread, if its options say no other number, and makes files of shards.

    Args:
        task: what is to be done.
    """

    def __init__(self, task: Task) -> None:
        if task.max_pixels is not None:
            os.environ[VARIABLE] = task.max_pixels
        cv2.setNumThreads(1)
        self.task = task
        self.detector = Detector(model_file(task.model), **{"threads": 1, **task.options})

    def run(self, shard: Shard) -> Done:
        """Find the objects in the images of a shard; one that cannot be read gets a row with its error.

        An archive that breaks off gets a row of its own, behind those of its images.
        """
        columns = self.detector.columns
        rows, done = new_rows(self.task.form, columns), Done(shard.number, b"")
        for name, frame, found, error in self._found(shard):
            size_hw = None if frame is None else frame.size_hw
            rows.add(row_of(name, size_hw, found, error, columns))
            done.images += frame is not None
            done.objects += 0 if found is None else len(found)
            done.failed += error is not None
        done.content = rows.content()
        return done

    def _found(self, shard: Shard) -> Iterator[tuple[str, Frame | None, Detections | None, str | None]]:
        """Iterate over the images of a shard in their order, with what was found in them or why nothing was."""
        contents = Contents(shard, self.task.sources)
        errors: list[str] = []  # of images whose turn has not come: they come in the order of the images
        place, broken = 0, None
        try:
            results = self.detector.stream(contents.source, on_error=lambda error: errors.append(str(error)))
            for frame, found in results:
                while place < frame.index:
                    yield contents.names[place], None, None, errors.pop(0)
                    place += 1
                yield contents.names[place], frame, found, None
                place += 1
        except SourceError as error:
            broken = str(error)
        for left in errors:
            yield contents.names[place], None, None, left
            place += 1
        if broken is not None:
            yield contents.name_of(shard.paths[0]), None, None, broken
