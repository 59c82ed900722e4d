"""Data sets: one file a format, all of them children of DetectionDataset."""

from __future__ import annotations

from .coco import COCO
from .crowdhuman import CrowdHuman
from .dataset import DetectionDataset, StoredDataset, Subset
from .folder import ImageFolder
from .helmet import SafetyHelmet
from .kitti import KITTITracking
from .mot import MOT
from .mot_detections import read_mot_detections
from .sequences import VideoSequence
from .synthetic import Synthetic
from .synthetic_sequences import SyntheticSequences
from .voc import VOC
from .yolo import YOLO

__all__ = [
    "COCO",
    "MOT",
    "VOC",
    "YOLO",
    "CrowdHuman",
    "DetectionDataset",
    "ImageFolder",
    "KITTITracking",
    "SafetyHelmet",
    "StoredDataset",
    "Subset",
    "Synthetic",
    "SyntheticSequences",
    "VideoSequence",
    "read_mot_detections",
]
