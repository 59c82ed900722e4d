"""The embedding: what tells an object from others of its kind, so that a tracker finds it again.

Source: FairMOT, https://arxiv.org/abs/2004.01888: the vector at an object's centre, scaled to one length, is classified
over all identities of the training data. Differences: a scale that stays finite for two identities, other losses by
choice, and any number of classes (identities of all classes share one classifier).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from centernet.detections import Column
from centernet.network.heads.head import Head, TrainingData, tower
from centernet.ops import Peaks, Targets, gather_at, losses


class EmbeddingHead(Head):
    """A vector for every cell; detections gain `embeddings`, B×K×dim float32 of length 1.

    `cross_entropy` and `focal` learn by a classifier over the identities of the training data. It is made when training
    starts, lives in checkpoints, and is no part of what `save_pretrained` and exports write. `triplet` and
    `supervised_contrastive` compare the objects of a batch and need identities that come in several of its images, as
    those of videos do.

    Objects without an identity (−1) have no part in the loss. In evaluation mode the classifier's term is 0: the
    identities of other data are others.

    Args:
        dim: length of the vector.
        loss: how identities are learned.
        margin: by which another identity is to be farther, for `triplet`.
        temperature: for `supervised_contrastive`.
        weight: of the loss.
        layers: further options, those of `tower`: width, depth, convolution and norm.
    """

    training_only = ("classifier",)
    proportional = True

    def __init__(
        self,
        in_channels: int,
        stride: int,
        num_classes: int,
        *,
        dim: int = 128,
        loss: Literal["cross_entropy", "focal", "triplet", "supervised_contrastive"] = "cross_entropy",
        margin: float = 0.3,
        temperature: float = 0.1,
        weight: float = 1.0,
        **layers: Any,
    ) -> None:
        super().__init__()
        if dim < 1 or margin < 0 or temperature <= 0:
            raise ValueError(
                f"expected dim of at least 1, margin of at least 0 and temperature above 0, "
                f"got {dim}, {margin} and {temperature}"
            )
        self.layers = tower(in_channels, dim, **layers)
        self.columns = (Column("embeddings", "vector", (dim,)),)
        self.dim, self.loss_name = dim, loss
        self.margin, self.temperature, self.weight = margin, temperature, weight
        self.classifier: nn.Linear | None = None

    @property
    def classifies(self) -> bool:
        """True where the loss needs a classifier over identities."""
        return self.loss_name in ("cross_entropy", "focal")

    @property
    def num_identities(self) -> int:
        """Number of identities that the classifier knows; 0 without one."""
        return 0 if self.classifier is None else self.classifier.out_features

    @property
    def scale(self) -> float:
        """Length that embeddings have for the classifier: √2 · log(identities − 1), FairMOT's; at least √2 · log 2."""
        return math.sqrt(2) * math.log(max(self.num_identities - 1, 2))

    def set_identities(self, count: int) -> None:
        """Start a classifier over `count` identities anew."""
        if count < 1:
            raise ValueError(f"expected at least one identity, got {count}")
        self.classifier = nn.Linear(self.dim, count).to(next(self.parameters()).device)

    def prepare(self, data: TrainingData) -> None:
        if data.num_identities < 1:
            raise ValueError(
                "the embedding head learns identities, but the training data have none: wrap data sets of still "
                "images in DetectionForTracking, or leave the head out"
            )
        if self.classifies:
            if self.classifier is None:
                self.set_identities(data.num_identities)
            data.check_identities(self.num_identities)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        weight = state_dict.get(f"{prefix}classifier.weight")
        if weight is not None and self.classifies and len(weight) != self.num_identities:
            self.set_identities(len(weight))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def loss(self, output: Tensor, targets: Targets) -> dict[str, Tensor]:
        if self.classifies and not self.training:
            return {"identity": output.new_zeros((), dtype=torch.float32)}
        known = targets.object_ids >= 0
        ids = targets.object_ids[known]
        raw = output.permute(0, 2, 3, 1).reshape(-1, self.dim)[targets.center_index[known]]  # N×dim
        with torch.autocast(output.device.type, enabled=False):
            embeddings = F.normalize(raw.float(), dim=-1)
            return {"identity": self.weight * self._identity_loss(embeddings, ids)}

    def _identity_loss(self, embeddings: Tensor, ids: Tensor) -> Tensor:
        if self.loss_name == "triplet":
            return losses.triplet_loss(embeddings, ids, margin=self.margin)
        if self.loss_name == "supervised_contrastive":
            return losses.supervised_contrastive_loss(embeddings, ids, temperature=self.temperature)
        if self.classifier is None:
            raise RuntimeError(
                "the embedding head does not know how many identities there are: train with a "
                "centernet.data.DataModule, or call set_identities(count) of the head first"
            )
        loss = losses.identity_cross_entropy if self.loss_name == "cross_entropy" else losses.identity_focal_loss
        return loss(self.classifier(self.scale * embeddings), ids)

    def decode(self, output: Tensor, peaks: Peaks) -> dict[str, Tensor]:
        return {"embeddings": F.normalize(gather_at(output, peaks.cells).float(), dim=-1)}
