"""The targets of a batch of boxes on the output grid: centre cells, Gaussian blobs and the cells that train each box.

The windows of cells that objects cover lie one after another in flat index lists (`repeat_interleave`) on the batch's
device: there is no Python loop over objects, and memory grows with the cells that are covered.

Sources: radii and blobs of the original, https://arxiv.org/abs/1904.07850 and CornerNet, https://arxiv.org/abs/1808.01244;
the ellipse and its weights of TTFNet, https://arxiv.org/abs/1909.00700.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

Radius = Literal["original", "corrected", "ellipse"]
Sampling = Literal["center", "center3x3", "ellipse"]


def gaussian_radius(
    sizes: Tensor, *, min_overlap: float = 0.7, form: Literal["original", "corrected"] = "original"
) -> Tensor:
    """Compute the radius within which a shifted corner still leaves boxes of `min_overlap` IoU.

    Args:
        sizes: …×2 float, height and width of boxes in cells.
        min_overlap: the IoU that the shifted box keeps, in (0, 1).
        form: `original` divides all three roots by 2, as CornerNet and CenterNet were trained; `corrected` divides
            them by 2a, as CornerNet's later fix does.

    Returns:
        … float, radius in cells, neither rounded nor clamped.
    """
    height, width = sizes.unbind(-1)
    total, product, m = height + width, height * width, min_overlap
    b2, b3 = 2 * total, -2 * m * total
    root1 = (total.square() - 4 * product * (1 - m) / (1 + m)).clamp(min=0).sqrt()
    root2 = (b2.square() - 16 * (1 - m) * product).clamp(min=0).sqrt()
    root3 = (b3.square() - 16 * m * (m - 1) * product).clamp(min=0).sqrt()
    if form == "original":
        radii = ((total + root1) / 2, (b2 + root2) / 2, (b3 + root3) / 2)
    else:
        radii = ((total - root1) / 2, (b2 - root2) / 8, (b3 + root3) / (8 * m))
    return torch.stack(radii).amin(0)


def ellipse_radius(sizes: Tensor, *, alpha: float = 0.54) -> Tensor:
    """Compute the half axes of TTFNet's ellipse: ⌊size / 2 · alpha⌋.

    Args:
        sizes: …×2 float, height and width of boxes in cells.
        alpha: share of the box that the ellipse spans.

    Returns:
        …×2 int64, vertical and horizontal radius in cells.
    """
    return (sizes / 2 * alpha).long()


@dataclass(frozen=True)
class Samples:
    """Cells that train a box: S entries of (cell, object, weight)."""

    cells: Tensor  # S int64, flat index over batch × grid: (image · H + y) · W + x
    objects: Tensor  # S int64, row of `Targets.object_boxes`
    weights: Tensor  # S float32; they are not normalised over the batch


class Targets:
    """The objects of a batch on a grid of `grid` cells of `stride` pixels, and the targets made of them, each once.

    Args:
        boxes: B×M×4 float32, x1 y1 x2 y2 in input pixels, padded to the most crowded image.
        labels: B×M int64, −1 where a row is padding. A label of −1 on an `ignore` row means every class.
        ignore: B×M bool, regions that are neither object nor background.
        counts: B int64, rows in use in each image.
        ids: B×M int64, identities for tracking, −1 for none.
        grid: height and width of the output map in cells.
        stride: input pixels a cell.
        num_classes: channels of a heatmap.
        data: by name, B×M×… of what else the data know of each box (`Batch.data`).
    """

    def __init__(
        self,
        boxes: Tensor,
        labels: Tensor,
        ignore: Tensor,
        counts: Tensor,
        *,
        grid: tuple[int, int],
        stride: int,
        num_classes: int,
        ids: Tensor | None = None,
        data: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.boxes, self.labels, self.ignore, self.counts = boxes.float(), labels, ignore, counts
        self.ids = torch.full_like(labels, -1) if ids is None else ids
        self.grid, self.stride, self.num_classes = grid, stride, num_classes
        self.data = dict(data or {})

    @property
    def batch_size(self) -> int:
        return self.boxes.shape[0]

    @cached_property
    def _used(self) -> Tensor:
        """B×M bool, rows that hold a box or a region."""
        return torch.arange(self.boxes.shape[1], device=self.boxes.device) < self.counts[:, None]

    @cached_property
    def _rows(self) -> Tensor:
        """N×2 int64, image and row of each object. The one place that waits for the device."""
        return (self._used & ~self.ignore & (self.labels >= 0)).nonzero()

    @cached_property
    def num_objects(self) -> int:
        return self._rows.shape[0]

    @cached_property
    def object_images(self) -> Tensor:
        """N int64, image of each object."""
        return self._rows[:, 0]

    @cached_property
    def object_labels(self) -> Tensor:
        """N int64."""
        return self.labels[self._rows[:, 0], self._rows[:, 1]]

    @cached_property
    def object_ids(self) -> Tensor:
        """N int64, −1 where an object has no identity."""
        return self.ids[self._rows[:, 0], self._rows[:, 1]]

    @cached_property
    def object_boxes(self) -> Tensor:
        """N×4 float32, input pixels."""
        return self.boxes[self._rows[:, 0], self._rows[:, 1]]

    def object_data(self, name: str) -> Tensor:
        """N×…, the field `name` of the data set for each object; a KeyError names those that there are."""
        if name not in self.data:
            raise KeyError(f"the batch has no {name}; its fields are {', '.join(self.data) or 'none'}")
        return self.data[name][self._rows[:, 0], self._rows[:, 1]]

    @cached_property
    def sizes(self) -> Tensor:
        """N×2 float32, height and width in cells."""
        boxes = self.object_boxes / self.stride
        return (boxes[:, 2:] - boxes[:, :2]).flip(-1)

    @cached_property
    def centers(self) -> Tensor:
        """N×2 float32, x and y in cells, inside the grid."""
        height, width = self.grid
        centers = (self.object_boxes[:, :2] + self.object_boxes[:, 2:]) / (2 * self.stride)
        limit = centers.new_tensor([width, height])
        return torch.minimum(centers.clamp(min=0), limit - 1e-3)

    @cached_property
    def center_cells(self) -> Tensor:
        """N×2 int64, x and y of the cell that holds the centre."""
        return self.centers.long()

    @cached_property
    def center_index(self) -> Tensor:
        """N int64, flat index of the centre cell over batch × grid."""
        height, width = self.grid
        x, y = self.center_cells.unbind(-1)
        return (self.object_images * height + y) * width + x

    def radii(self, form: Radius, *, min_overlap: float = 0.7, alpha: float = 0.54) -> Tensor:
        """N×2 int64, vertical and horizontal radius of each object's blob in cells."""
        if form == "ellipse":
            return ellipse_radius(self.sizes, alpha=alpha)
        sizes = self.sizes.ceil() if form == "original" else self.sizes
        radius = gaussian_radius(sizes, min_overlap=min_overlap, form=form).long().clamp(min=0)
        return radius[:, None].expand(-1, 2)

    def heatmap(self, radii: Tensor) -> Tensor:
        """Draw the Gaussian blobs of all objects with `radii`, the larger value where two of a class overlap.

        Returns:
            B×C×H×W float32 in [0, 1], 1 at centre cells only.
        """
        return self.blobs(self.object_images, self.object_labels, self.center_cells, radii, self.num_classes)

    def blobs(self, images: Tensor, channels: Tensor, cells: Tensor, radii: Tensor, num_channels: int) -> Tensor:
        """Draw Gaussian blobs, the larger value where two of a channel overlap.

        Args:
            images: N int64, the image of each.
            channels: N int64.
            cells: N×2 int64, x and y of the middle.
            radii: N×2 int64, vertical and horizontal radius in cells.
            num_channels: C.

        Returns:
            B×C×H×W float32 in [0, 1], 1 at the middles only.
        """
        height, width = self.grid
        flat = torch.zeros(self.batch_size * num_channels * height * width, device=self.boxes.device)
        objects, x, y = self.windows(cells - radii.flip(-1), cells + radii.flip(-1))
        index = ((images * num_channels + channels)[objects] * height + y) * width + x
        flat.scatter_reduce_(0, index, _blob(cells[objects], x, y, radii[objects]), "amax")
        return flat.view(self.batch_size, num_channels, height, width)

    @cached_property
    def background(self) -> Tensor | None:
        """Return B×C×H×W bool, False inside ignored regions of that class; None when the batch has no such region."""
        rows = (self._used & self.ignore).nonzero()
        if not len(rows):
            return None
        height, width = self.grid
        boxes = self.boxes[rows[:, 0], rows[:, 1]]
        labels = self.labels[rows[:, 0], rows[:, 1]]
        regions, x, y = self._inside(boxes)
        mask = torch.ones(self.batch_size, self.num_classes + 1, height, width, dtype=torch.bool, device=boxes.device)
        channels = labels[regions] % (self.num_classes + 1)  # −1 → the one for every class
        mask[rows[regions, 0], channels, y, x] = False
        return mask[:, :-1] & mask[:, -1:]

    def covered(self, boxes: Tensor, images: Tensor) -> Tensor:
        """Return B×H×W bool, the cells that boxes N×4 in input pixels reach, each in the image N int64 of its own."""
        mask = torch.zeros(self.batch_size, *self.grid, dtype=torch.bool, device=boxes.device)
        regions, x, y = self._inside(boxes)
        mask[images[regions], y, x] = True
        return mask

    def _inside(self, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        boxes = boxes / self.stride
        return self.windows(boxes[:, :2].floor().long(), boxes[:, 2:].ceil().long() - 1)

    def samples(self, kind: Sampling, *, beta: float = 0.54) -> Samples:
        """Return the cells that train each object's box; where objects compete for a cell, the smaller one has it.

        Args:
            kind: `center` the centre cell alone, `center3x3` it and its neighbours, both of weight 1; `ellipse`
                TTFNet's: a Gaussian over the ellipse of radius `beta`, of sum 1 in the object, times log(area).
            beta: share of the box that the ellipse spans.
        """
        height, width = self.grid
        if kind == "ellipse":
            radii = ellipse_radius(self.sizes, alpha=beta)
        else:
            radii = torch.full_like(self.center_cells, 0 if kind == "center" else 1)
        objects, x, y = self.windows(self.center_cells - radii.flip(-1), self.center_cells + radii.flip(-1))
        cells = (self.object_images[objects] * height + y) * width + x
        area = (self.object_boxes[:, 2:] - self.object_boxes[:, :2]).prod(-1)  # input pixels²
        if kind == "ellipse":
            weights = _blob(self.center_cells[objects], x, y, radii[objects])
            total = torch.zeros(self.num_objects, device=weights.device).scatter_add_(0, objects, weights)
            weights = weights * (area.clamp(min=math.e).log() / total.clamp(min=1e-6))[objects]
        else:
            weights = torch.ones(len(objects), device=cells.device)
        order = area.argsort(descending=True, stable=True)
        rank = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
        owner = torch.full((self.batch_size * height * width,), -1, dtype=torch.int64, device=cells.device)
        owner.scatter_reduce_(0, cells, rank[objects], "amax")
        kept = owner[cells] == rank[objects]
        return Samples(cells[kept], objects[kept], weights[kept])

    def windows(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return every cell of every window: (window, x, y), each S int64. Corners are N×2 int64 x y, both inside."""
        height, width = self.grid
        limit = low.new_tensor([width - 1, height - 1])
        low, high = low.clamp(min=0), torch.minimum(high, limit)
        spans = (high - low + 1).clamp(min=0)
        counts = spans.prod(-1)
        windows = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
        first = counts.cumsum(0) - counts
        place = torch.arange(len(windows), device=counts.device) - first[windows]
        columns = spans[:, 0][windows].clamp(min=1)
        return windows, low[:, 0][windows] + place % columns, low[:, 1][windows] + place // columns


def _blob(cells: Tensor, x: Tensor, y: Tensor, radii: Tensor) -> Tensor:
    """Compute exp(−dx²/2σx² − dy²/2σy²) of cells x, y, each around a middle of its own, σ = (2r + 1) / 6."""
    sigma = (2 * radii.float() + 1) / 6
    dx, dy = (x - cells[:, 0]) / sigma[:, 1], (y - cells[:, 1]) / sigma[:, 0]
    return torch.exp(-(dx.square() + dy.square()) / 2)
