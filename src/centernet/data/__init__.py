"""Data sets, augmentation and loaders. The first two work without torch; loaders are imported when asked for.

A configuration names the classes from here: ``centernet.data.VOC``, ``centernet.data.Augment``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..annotations.mot import read_mot_detections
from ..annotations.problems import DataError, DataWarning, Problem
from .adapters import Albumentations, TorchvisionV2
from .columns import Columns
from .combining import Concatenated, DetectionForTracking, MapClasses, RandomSubset, Subset
from .dataset import DetectionDataset, VideoSequence
from .formats import (
    COCO,
    MOT,
    VOC,
    YOLO,
    CrowdHuman,
    ImageFolder,
    KITTITracking,
    SafetyHelmet,
    Synthetic,
    SyntheticSequences,
)
from .mosaic import Mosaic
from .sample import Annotation, Sample
from .sampling import ClassAware, RepeatFactors, Sampling
from .transforms import Augment, Resize, Transform

if TYPE_CHECKING:
    from .batch import Batch, collate
    from .datamodule import DataModule

__all__ = [
    "COCO",
    "MOT",
    "VOC",
    "YOLO",
    "Albumentations",
    "Annotation",
    "Augment",
    "Batch",
    "ClassAware",
    "Columns",
    "Concatenated",
    "CrowdHuman",
    "DataError",
    "DataModule",
    "DataWarning",
    "DetectionDataset",
    "DetectionForTracking",
    "ImageFolder",
    "KITTITracking",
    "MapClasses",
    "Mosaic",
    "Problem",
    "RandomSubset",
    "RepeatFactors",
    "Resize",
    "SafetyHelmet",
    "Sample",
    "Sampling",
    "Subset",
    "Synthetic",
    "SyntheticSequences",
    "TorchvisionV2",
    "Transform",
    "VideoSequence",
    "collate",
    "read_mot_detections",
]

_WITH_TORCH = {"Batch": "batch", "collate": "batch", "DataModule": "datamodule"}


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        return getattr(importlib.import_module(f".{_WITH_TORCH[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
