"""Heads: each file holds all that one head is: layers, targets, loss and decode."""

from centernet.network.heads.box3d import Box3DHead
from centernet.network.heads.dense import DenseHead
from centernet.network.heads.embedding import EmbeddingHead
from centernet.network.heads.head import Head
from centernet.network.heads.heatmap import HeatmapHead
from centernet.network.heads.keypoints import KeypointHead
from centernet.network.heads.ltrb import LTRBHead
from centernet.network.heads.size_offset import SizeOffsetHead

__all__ = [
    "Box3DHead",
    "DenseHead",
    "EmbeddingHead",
    "Head",
    "HeatmapHead",
    "KeypointHead",
    "LTRBHead",
    "SizeOffsetHead",
]
