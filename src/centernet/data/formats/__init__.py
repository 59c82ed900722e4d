"""Data sets: one file a format, all of them children of DetectionDataset."""

from __future__ import annotations

from .coco import COCO
from .dataset import DetectionDataset, StoredDataset, Subset
from .folder import ImageFolder
from .synthetic import Synthetic
from .voc import VOC

__all__ = ["COCO", "VOC", "DetectionDataset", "ImageFolder", "StoredDataset", "Subset", "Synthetic"]
