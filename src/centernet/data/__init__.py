"""Data sets, augmentation and loaders. The first two work without torch; loaders are imported when asked for.

A configuration names the classes from here: ``centernet.data.VOC``, ``centernet.data.Augment``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..annotations.mot import read_mot_detections as read_mot_detections
from ..annotations.problems import DataError as DataError
from ..annotations.problems import DataWarning as DataWarning
from ..annotations.problems import Problem as Problem
from .adapters import Albumentations as Albumentations
from .adapters import TorchvisionV2 as TorchvisionV2
from .columns import Columns as Columns
from .combining import Concatenated as Concatenated
from .combining import DetectionForTracking as DetectionForTracking
from .combining import MapClasses as MapClasses
from .combining import RandomSubset as RandomSubset
from .combining import Subset as Subset
from .dataset import DetectionDataset as DetectionDataset
from .dataset import VideoSequence as VideoSequence
from .formats.coco import COCO as COCO
from .formats.crowdhuman import CrowdHuman as CrowdHuman
from .formats.folder import ImageFolder as ImageFolder
from .formats.kitti import KITTITracking as KITTITracking
from .formats.mot import MOT as MOT
from .formats.synthetic import Synthetic as Synthetic
from .formats.synthetic import SyntheticSequences as SyntheticSequences
from .formats.voc import VOC as VOC
from .formats.voc import SafetyHelmet as SafetyHelmet
from .formats.yolo import YOLO as YOLO
from .mosaic import Mosaic as Mosaic
from .sample import Annotation as Annotation
from .sample import Sample as Sample
from .sampling import ClassAware as ClassAware
from .sampling import RepeatFactors as RepeatFactors
from .sampling import Sampling as Sampling
from .transforms import Augment as Augment
from .transforms import Resize as Resize
from .transforms import Transform as Transform

if TYPE_CHECKING:
    from .batch import Batch as Batch
    from .batch import collate as collate
    from .datamodule import DataModule as DataModule

_WITH_TORCH = {"Batch": "batch", "collate": "batch", "DataModule": "datamodule"}


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        return getattr(importlib.import_module(f".{_WITH_TORCH[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
