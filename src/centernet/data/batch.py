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

_PADDED = (("boxes", np.float32, 0), ("labels", np.int64, -1), ("ids", np.int64, -1), ("ignore", np.bool_, False))
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
        """Return the batch with its tensors on `device`.

        Args:
            device: where to.
            non_blocking: None doesn't wait for copies to a GPU, which is safe, and waits for all others.
        """
        if non_blocking is None:
            non_blocking = torch.device(device).type == "cuda"
        moved: dict[str, Any] = {n: getattr(self, n).to(device, non_blocking=non_blocking) for n in _TENSORS}
        return replace(self, **moved)

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory, from where a GPU copies faster; loaders call this."""
        pinned: dict[str, Any] = {name: getattr(self, name).pin_memory() for name in _TENSORS}
        return replace(self, **pinned)


def collate(samples: Sequence[Sample], *, pad_value: int, problems: Sequence[Problem] = ()) -> Batch:
    """Put samples together; images of several sizes are padded right and below to the largest.

    Args:
        samples: at least one.
        pad_value: gray level of the padding, 0..255.
        problems: passed on.
    """
    counts = [len(sample.boxes) for sample in samples]
    sizes = np.array([sample.image.shape[:2] for sample in samples])
    images = np.empty((len(samples), *sizes.max(axis=0), 3), dtype=np.uint8)
    for image, sample, (height, width) in zip(images, samples, sizes.tolist(), strict=True):
        image[:height, :width] = sample.image
        image[height:] = pad_value
        image[:height, width:] = pad_value
    padded: dict[str, Tensor] = {}
    for name, dtype, fill in _PADDED:
        array = np.full((len(samples), max(1, *counts)) + (4,) * (name == "boxes"), fill, dtype=dtype)
        for row, sample, count in zip(array, samples, counts, strict=True):
            row[:count] = getattr(sample, name)
        padded[name] = torch.from_numpy(array)
    return Batch(
        images=torch.from_numpy(images).permute(0, 3, 1, 2),
        **padded,
        counts=torch.tensor(counts, dtype=torch.int64),
        annotations=[sample.annotation for sample in samples],
        problems=list(problems),
    )
