"""Pipelines of other libraries in place of Augment, written in YAML as lists of classes.

Identities and ignore flags follow their boxes; boxes of which a pipeline leaves nothing are dropped. What it returns is
fitted into the network's input as inference does it.
"""

from __future__ import annotations

import difflib
import importlib
import os
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from .. import boxes as box_ops
from ..annotations.problems import DataError
from ..documents import read_yaml_text
from ..images import Preprocessing
from ..trust import current_door, through
from .fields import IDENTITY, placed
from .sample import Sample
from .transforms import Resize, Transform

# Bare `dict`: within a type of Any, jsonargparse would make objects of the class paths by itself.
Pipeline: TypeAlias = list[dict[str, str | dict]] | str  # type: ignore[type-arg]


class Albumentations(Transform):
    """A pipeline of albumentations: 2.0.8, the last release under the MIT licence (extra ``albumentations``).

    Args:
        transforms: a list of ``{class_path, init_args}``, or the path of a YAML file that holds one. A class path
            without a dot is looked up in ``albumentations``; init_args may hold more such entries (``OneOf``,
            ``Sequential``).

    Raises:
        DataError: the package is missing, a class is unknown, or its arguments are wrong.
    """

    def __init__(self, transforms: Pipeline) -> None:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask PyPI for its newest version when imported
        library = _library("albumentations", "pip install 'centernet[albumentations]'")
        boxes = library.BboxParams(format="pascal_voc", label_fields=["rows"], clip=True, filter_invalid_bboxes=True)
        points = library.KeypointParams(format="xy", remove_invisible=False)
        with warnings.catch_warnings():  # that boxes stay where they are is right for a pipeline of colours alone
            warnings.filterwarnings("ignore", message="Got processor for ")
            built = _build(transforms, library)
            self.pipeline = library.Compose(built, bbox_params=boxes, keypoint_params=points)

    def __call__(self, sample: Sample, rng: np.random.Generator, preprocessing: Preprocessing) -> Sample:
        self.pipeline.set_random_seed(int(rng.integers(2**32)))
        points = _points_of(sample)
        rows = np.arange(len(sample.boxes))
        result = self.pipeline(image=sample.image, bboxes=sample.boxes, rows=rows, keypoints=points)
        sample = _with_points(sample, result["keypoints"], result["image"].shape)
        return _fit(self, sample, result["image"], result["bboxes"], result["rows"], rng, preprocessing)


class TorchvisionV2(Transform):
    """A pipeline of ``torchvision.transforms.v2``.

    Args:
        transforms: as for Albumentations; a class path without a dot is looked up in ``torchvision.transforms.v2``.

    Raises:
        DataError: a class is unknown, or its arguments are wrong.
    """

    def __init__(self, transforms: Pipeline) -> None:
        library = _library("torchvision.transforms.v2", "pip install torchvision")
        self.pipeline = library.Compose(_build(transforms, library))

    def __call__(self, sample: Sample, rng: np.random.Generator, preprocessing: Preprocessing) -> Sample:
        import torch
        from torchvision import tv_tensors

        boxes: Any = torch.from_numpy(sample.boxes)
        inputs = {
            "image": tv_tensors.Image(torch.from_numpy(sample.image).permute(2, 0, 1)),
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=sample.size_hw),
            "labels": torch.arange(len(boxes)),  # SanitizeBoundingBoxes drops from both
        }
        if sample.fields:
            points: Any = torch.from_numpy(_points_of(sample))
            inputs["points"] = tv_tensors.KeyPoints(points, canvas_size=sample.size_hw)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            outputs = self.pipeline(inputs)
        image, boxes, rows = (outputs[name].numpy() for name in ("image", "boxes", "labels"))
        image = image.transpose(1, 2, 0)
        if sample.fields:
            sample = _with_points(sample, outputs["points"].numpy(), image.shape)
        return _fit(self, sample, image, boxes, rows, rng, preprocessing)


def _points_of(sample: Sample) -> Any:
    """Return three points around the middle of the image, by which a mirror is known, and all points of the fields."""
    (height, width), points = sample.size_hw, list[Any]()

    def note(xy: Any) -> Any:
        points.append(xy.reshape(-1, 2))
        return xy

    placed(sample.data, sample.fields, note, (1, 1), mirrored=False)
    middle = np.array([[0.5, 0.5], [0.51, 0.5], [0.5, 0.51]]) * [width, height]
    return np.concatenate([middle, *points]).astype(np.float32)


def _with_points(sample: Sample, found: Any, shape: tuple[int, ...]) -> Sample:
    """Return the sample with the points of its fields at the places that a pipeline gave those of `_points_of`."""
    found = np.asarray(found, dtype=np.float32).reshape(-1, 2)
    (across, down), start = found[1:3] - found[0], 3

    def place(xy: Any) -> Any:
        nonlocal start
        start += (count := xy.size // 2)
        return found[start - count : start].reshape(xy.shape)

    mirrored = bool(across[0] * down[1] < across[1] * down[0])
    data = placed(sample.data, sample.fields, place, (shape[0], shape[1]), mirrored=mirrored)
    return sample.replace(data=data)


def _fit(transform: Transform, sample: Sample, image: Any, boxes: Any, rows: Any, *rest: Any) -> Sample:
    """Return the pipeline's image and what is left of the boxes, fitted into the network's input."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        form = f"{image.dtype} of shape {tuple(image.shape)}" if hasattr(image, "dtype") else type(image).__name__
        raise DataError(
            f"the pipeline of {type(transform).__name__} returned {form}, expected uint8 H×W×3: leave out transforms "
            "that normalise or make tensors (Normalize, ToFloat, ToDtype, ToTensorV2), the device does that"
        )
    boxes = box_ops.clip(np.asarray(boxes, dtype=np.float32).reshape(-1, 4), (image.shape[0], image.shape[1]))
    kept = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
    rows = np.asarray(rows, dtype=np.int64).reshape(-1)[kept]
    kept_boxes = boxes[kept]
    return Resize()(sample.select(rows, image=np.ascontiguousarray(image), boxes=kept_boxes, matrix=IDENTITY), *rest)


def _library(name: str, install: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DataError(f"this augmentation needs {name.partition('.')[0]}: {install} ({error})") from error


def _build(transforms: Pipeline, library: ModuleType) -> Any:
    door = current_door()
    if isinstance(transforms, str):
        path = Path(transforms)
        door = None if door is None or transforms in door.named else door  # who names the file trusts what is in it
        try:
            transforms = read_yaml_text(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read as a YAML list of transforms ({error})") from error
    if not isinstance(transforms, list):
        raise DataError(f"transforms: expected a list of {{class_path, init_args}}, got {transforms!r:.100}")
    for place, spec in enumerate(transforms):
        if not _is_spec(spec):
            raise DataError(f"transforms[{place}]: expected {{class_path, init_args}}, got {spec!r:.100}")
    with through(door):
        return _instance(transforms, library, "transforms")


def _is_spec(value: Any) -> bool:
    return isinstance(value, dict) and "class_path" in value


def _instance(value: Any, library: ModuleType, where: str) -> Any:
    """Return the object that a value of a configuration stands for: itself, unless it is or holds a class path."""
    if isinstance(value, list):
        return [_instance(item, library, f"{where}[{place}]") for place, item in enumerate(value)]
    if not _is_spec(value):
        return value
    unknown = set(value) - {"class_path", "init_args"}
    if unknown:
        raise DataError(f"{where}: unknown key {', '.join(sorted(unknown))}; expected class_path and init_args")
    given = value.get("init_args") or {}
    arguments = {key: _instance(item, library, f"{where}.{key}") for key, item in given.items()}
    path = str(value["class_path"])
    module, _, name = path.rpartition(".")
    door = current_door()
    if door is not None:
        door.check(path, where)
    try:
        made = getattr(importlib.import_module(module) if module else library, name)
    except (ImportError, AttributeError) as error:
        nearest = difflib.get_close_matches(name, dir(library), n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise DataError(f"{where}: no class {value['class_path']} in {module or library.__name__}{hint}") from error
    if door is not None:
        door.check_found(path if module else f"{library.__name__}.{name}", made)
    try:
        return made(**arguments)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {value['class_path']} does not take {arguments}: {error}") from error
