"""Data sets, augmentation and loaders. The first two work without torch; loaders are imported when asked for.

A configuration names the classes from here: ``centernet.data.VOC``, ``centernet.data.Augment``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..annotations.mot import read_mot_detections as read_mot_detections
from ..annotations.problems import DataError as DataError, DataWarning as DataWarning, Problem as Problem
from .adapters import Albumentations as Albumentations, TorchvisionV2 as TorchvisionV2
from .columns import Columns as Columns
from .combining import (
    ChosenImages as ChosenImages,
    Concatenated as Concatenated,
    DetectionForTracking as DetectionForTracking,
    MapClasses as MapClasses,
    RandomSubset as RandomSubset,
    Subset as Subset,
)
from .dataset import DetectionDataset as DetectionDataset, VideoSequence as VideoSequence
from .formats.coco import COCO as COCO
from .formats.crowdhuman import CrowdHuman as CrowdHuman
from .formats.csv_boxes import CSV as CSV
from .formats.cvat import CVAT as CVAT
from .formats.datumaro import Datumaro as Datumaro
from .formats.folder import ImageFolder as ImageFolder
from .formats.kitti import KITTI as KITTI, KITTITracking as KITTITracking
from .formats.label_studio import LabelStudio as LabelStudio
from .formats.labelme import LabelMe as LabelMe
from .formats.mot import MOT as MOT
from .formats.mpii import MPII as MPII
from .formats.open_images import OpenImages as OpenImages
from .formats.shards import Shards as Shards
from .formats.synthetic import (
    Synthetic as Synthetic,
    SyntheticAnimals as SyntheticAnimals,
    SyntheticSequences as SyntheticSequences,
)
from .formats.voc import VOC as VOC, SafetyHelmet as SafetyHelmet
from .formats.wider_face import WIDERFace as WIDERFace
from .formats.yolo import YOLO as YOLO
from .mosaic import Mosaic as Mosaic
from .sample import Annotation as Annotation, Sample as Sample
from .sampling import ClassAware as ClassAware, RepeatFactors as RepeatFactors, Sampling as Sampling
from .transforms import Augment as Augment, Resize as Resize, Transform as Transform

if TYPE_CHECKING:
    from .batch import Batch as Batch, collate as collate
    from .datamodule import DataModule as DataModule

_WITH_TORCH = {"Batch": "batch", "collate": "batch", "DataModule": "datamodule"}


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        return getattr(importlib.import_module(f".{_WITH_TORCH[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
