"""Samples put together for the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..annotations.problems import Problem
from ..column import Column
from .sample import Annotation, Sample

_PADDED = (("boxes", np.float32, 0), ("labels", np.int64, -1), ("ids", np.int64, -1), ("ignore", np.bool_, False))


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
        data: by name, B×M×… of what the data set's `fields` describe; 0 in padding.
        fields: what they are.
    """

    images: Tensor
    boxes: Tensor
    labels: Tensor
    ids: Tensor
    ignore: Tensor
    counts: Tensor
    annotations: list[Annotation]
    problems: list[Problem] = field(default_factory=list)
    data: dict[str, Tensor] = field(default_factory=dict)
    fields: tuple[Column, ...] = ()

    def __len__(self) -> int:
        return len(self.annotations)

    def to(self, device: torch.device | str, *, non_blocking: bool | None = None) -> Batch:
        """Return the batch with its tensors on `device`. Where `non_blocking` is None, copies to a GPU aren't waited
        for, which is safe, and all others are."""
        unawaited = torch.device(device).type == "cuda" if non_blocking is None else non_blocking
        return self._changed(lambda tensor: tensor.to(device, non_blocking=unawaited))

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory, from where a GPU copies faster; loaders call this."""
        return self._changed(lambda tensor: tensor.pin_memory())

    def _changed(self, change: Callable[[Tensor], Tensor]) -> Batch:
        changed: Any = {name: change(value) for name, value in vars(self).items() if isinstance(value, Tensor)}
        data = {name: change(value) for name, value in self.data.items()}
        return replace(self, **changed, data=data)


def collate(samples: Sequence[Sample], *, pad_value: int, problems: Sequence[Problem] = ()) -> Batch:
    """Put samples, at least one, together; images of several sizes are padded right and below to the largest with the
    gray level `pad_value`, 0..255. Problems are passed on."""
    sizes = np.array([sample.image.shape[:2] for sample in samples])
    images = np.empty((len(samples), *sizes.max(axis=0), 3), dtype=np.uint8)
    for image, sample, (height, width) in zip(images, samples, sizes.tolist(), strict=True):
        image[:height, :width] = sample.image
        image[height:] = pad_value
        image[:height, width:] = pad_value
    counts = np.array([len(sample.boxes) for sample in samples], dtype=np.int64)
    rows = np.arange(max(1, counts.max())) < counts[:, None]  # B×M: those that are no padding
    padded: dict[str, Tensor] = {}
    for name, dtype, fill in _PADDED:
        array = np.full(rows.shape + (4,) * (name == "boxes"), fill, dtype=dtype)
        array[rows] = np.concatenate([getattr(sample, name) for sample in samples])
        padded[name] = torch.from_numpy(array)
    data: dict[str, Tensor] = {}
    fields = samples[0].fields
    for column in fields:
        array = np.zeros((*rows.shape, *column.shape), dtype=column.dtype)
        array[rows] = np.concatenate([sample.data[column.name] for sample in samples])
        data[column.name] = torch.from_numpy(array)
    return Batch(
        images=torch.from_numpy(images).permute(0, 3, 1, 2),
        **padded,
        counts=torch.from_numpy(counts),
        annotations=[sample.annotation for sample in samples],
        problems=list(problems),
        data=data,
        fields=fields,
    )
