"""The formats of data sets: one file each, all of them children of DetectionDataset."""

from __future__ import annotations

from .coco import COCO
from .crowdhuman import CrowdHuman
from .folder import ImageFolder
from .helmet import SafetyHelmet
from .kitti import KITTITracking
from .mot import MOT
from .synthetic import Synthetic, SyntheticSequences
from .voc import VOC
from .yolo import YOLO

__all__ = [
    "COCO",
    "MOT",
    "VOC",
    "YOLO",
    "CrowdHuman",
    "ImageFolder",
    "KITTITracking",
    "SafetyHelmet",
    "Synthetic",
    "SyntheticSequences",
]
