"""Samples put together for the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .sample import Annotation, Problem, Sample

if TYPE_CHECKING:
    from torch import Tensor

_TENSORS = ("images", "boxes", "labels", "ids", "ignore", "counts")


@dataclass
class Batch:
    """B images of one size with their boxes, padded to the longest list.

    Rows from ``counts[b]`` on are padding: label -1, `ignore` false, box 0 0 0 0. A row with label -1 before that is an
    ignore box of any class.

    Attributes:
        images: uint8 B×3×H×W, RGB, in channels-last memory (a view of B×H×W×3).
        boxes: float32 B×M×4, input pixels; M is at least 1.
        labels: int64 B×M.
        ids: int64 B×M, -1 where a box has no identity.
        ignore: bool B×M.
        counts: int64 B, boxes of each image.
        annotations: the stored truth of each image, in original pixels.
        problems: what was found while these samples were read.
    """

    images: Tensor
    boxes: Tensor
    labels: Tensor
    ids: Tensor
    ignore: Tensor
    counts: Tensor
    annotations: list[Annotation]
    problems: list[Problem] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.annotations)

    def to(self, device: torch.device | str, *, non_blocking: bool | None = None) -> Batch:
        """The batch with its tensors on `device`.

        Args:
            device: where to.
            non_blocking: None doesn't wait for copies to a GPU, which is safe, and waits for all others.
        """
        if non_blocking is None:
            non_blocking = torch.device(device).type == "cuda"
        moved: dict[str, Any] = {n: getattr(self, n).to(device, non_blocking=non_blocking) for n in _TENSORS}
        return replace(self, **moved)

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, from where a GPU copies faster; loaders call this."""
        pinned: dict[str, Any] = {name: getattr(self, name).pin_memory() for name in _TENSORS}
        return replace(self, **pinned)


def collate(samples: Sequence[Sample], *, pad_value: int, problems: Sequence[Problem] = ()) -> Batch:
    """Put samples together; images of several sizes are padded right and below to the largest.

    Args:
        samples: at least one.
        pad_value: gray level of the padding, 0..255.
        problems: passed on.
    """
    count = len(samples)
    height = max(sample.image.shape[0] for sample in samples)
    width = max(sample.image.shape[1] for sample in samples)
    longest = max(1, *(len(sample.boxes) for sample in samples))
    images = np.empty((count, height, width, 3), dtype=np.uint8)
    boxes = np.zeros((count, longest, 4), dtype=np.float32)
    labels = np.full((count, longest), -1, dtype=np.int64)
    ids = np.full((count, longest), -1, dtype=np.int64)
    ignore = np.zeros((count, longest), dtype=np.bool_)
    for row, sample in enumerate(samples):
        high, wide = sample.image.shape[:2]
        images[row, :high, :wide] = sample.image
        images[row, high:] = pad_value
        images[row, :high, wide:] = pad_value
        n = len(sample.boxes)
        boxes[row, :n] = sample.boxes
        labels[row, :n] = sample.labels
        ids[row, :n] = sample.ids
        ignore[row, :n] = sample.ignore
    return Batch(
        images=torch.from_numpy(images).permute(0, 3, 1, 2),
        boxes=torch.from_numpy(boxes),
        labels=torch.from_numpy(labels),
        ids=torch.from_numpy(ids),
        ignore=torch.from_numpy(ignore),
        counts=torch.tensor([len(sample.boxes) for sample in samples], dtype=torch.int64),
        annotations=[sample.annotation for sample in samples],
        problems=list(problems),
    )
