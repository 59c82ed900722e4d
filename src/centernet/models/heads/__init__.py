"""Heads: each file holds all that one head is: layers, targets, loss and decode."""

from centernet.models.heads.embedding import EmbeddingHead
from centernet.models.heads.head import Head
from centernet.models.heads.heatmap import HeatmapHead
from centernet.models.heads.ltrb import LTRBHead
from centernet.models.heads.size_offset import SizeOffsetHead

__all__ = ["EmbeddingHead", "Head", "HeatmapHead", "LTRBHead", "SizeOffsetHead"]
