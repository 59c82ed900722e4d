"""The way from an image to the network's input as part of a graph: the same pixels as `images.Preprocessing` gives.

What depends on the image's size is a value, not a shape: one graph serves all sizes. OpenCV's arithmetic on x86
(`modules/imgproc/src/resize.cpp`) is followed: the average over areas by whole factors (`images.shrink`, INTER_AREA, in
float32), and the bilinear step, in fixed point with weights of 11 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from centernet.images import Preprocessing

Shrink = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(uint8 N×H×W×3, its height and width, those wanted) → float32 N×height×width×3, whole numbers. The shape depends on
values, which each kind of graph says in its own way: TorchScript by `shrink`, ONNX by the operators of `onnx.py`."""


class Letterbox(nn.Module):
    """uint8 N×H×W×3 of any size → the network's input as float N×H'×W'×3 (values 0..255), and the way back for boxes.

    Args:
        preprocessing: its `resize` rule is followed.
        shrink: averages over areas where a side shrinks to half or less.
    """

    def __init__(self, preprocessing: Preprocessing, shrink: Shrink) -> None:
        super().__init__()
        if preprocessing.scale != 1:
            raise ValueError(f"letterbox: preprocessing.scale is {preprocessing.scale}; a file resizes by 1 alone")
        self.preprocessing, self.shrink = preprocessing, shrink
        for name, length in zip(("rows", "columns"), preprocessing.size, strict=True):
            self.register_buffer(name, torch.arange(length, dtype=torch.float64), persistent=False)
        self.register_buffer("size", torch.tensor(preprocessing.size, dtype=torch.float64), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute the input, and where the image lies in it.

        Returns:
            The input N×H'×W'×3 float32; scale, shift and limits, 4 float32 each: x1 y1 x2 y2 of the input are those of
            the image times scale plus shift, and no larger than the limits in the image.
        """
        hw = image_size(images)
        limits = hw.flip(0).repeat(2).float()
        if self.preprocessing.resize == "keep":
            unit = torch.ones(4, dtype=torch.float32, device=images.device)
            return self._pad(images), unit, 0 * unit, limits
        if self.preprocessing.resize == "keep_res":
            return self._keep(images, hw, limits)
        new = size = cast(Tensor, self.size)
        if self.preprocessing.resize in ("fix_res", "tensorflow"):
            return self._published(images, hw, limits)
        if self.preprocessing.resize == "letterbox":  # in whole pixels, rounded as `Preprocessing` does
            new = torch.minimum((hw * (size / hw).amin(0)).round().clamp(min=1), size)
        corner = self.preprocessing.align == "corner"
        start = torch.zeros_like(size) if corner else ((size - new) / 2).floor()
        factor = (hw / new).floor().clamp(min=1) if self.preprocessing.antialias else torch.ones_like(hw)
        reduced = (hw / factor).floor().clamp(min=1)
        images = self.shrink(images, hw.long(), reduced.long())
        pixels = self._resize(images, start, new, reduced)
        scale = (new / hw).flip(0).repeat(2).float()
        return pixels, scale, start.flip(0).repeat(2).float(), limits

    def _resize(self, images: Tensor, start: Tensor, new: Tensor, given: Tensor) -> Tensor:
        """Resize images from their size `given` to `new`, with the padding around it."""
        cells: tuple[Tensor, Tensor] = (self.rows, self.columns)  # type: ignore[assignment]
        row, below, up, down, in_rows = _taps(cells[0], start[0], new[0], given[0])
        column, right, *weights, in_columns = _taps(cells[1], start[1], new[1], given[1], at_edges=True)
        left_weight, right_weight = (weight[:, None].expand(-1, 3) / 16 for weight in weights)
        lines = images.index_select(2, column) * left_weight + images.index_select(2, right) * right_weight
        lines = _floor(lines)  # N×H×W'×3
        pixels = _weighted(lines, row, up[:, None, None]) + _weighted(lines, below, down[:, None, None])
        pixels = _floor((pixels + 2) / 4)  # N×H'×W'×3
        inside = in_rows[:, None, None] & in_columns[:, None]
        return torch.where(inside, pixels, float(self.preprocessing.pad_value))

    def _published(self, images: Tensor, hw: Tensor, limits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Follow `fix_res` or `tensorflow`, which map pixel indices; what the image does not cover is padding."""
        size, sides = cast(Tensor, self.size).float(), hw.float()
        if self.preprocessing.resize == "fix_res":
            scale = (size[1] / sides.amax()).expand(2)
            shift, new = (size - scale * sides) / 2, size
        else:
            new = torch.minimum((sides * (size / sides).amin(0)).round().clamp(min=1), size)
            scale, shift = new / sides, torch.zeros_like(size)
        pixels = images.float()
        for axis, cells in ((1, cast(Tensor, self.rows)), (2, cast(Tensor, self.columns))):
            pixels = self._mapped(pixels, axis, cells.float(), *(part[axis - 1] for part in (scale, shift, sides, new)))
        back = scale.flip(0).repeat(2), shift.flip(0).repeat(2)
        return pixels.round(), *back, limits

    def _mapped(
        self, pixels: Tensor, axis: int, cells: Tensor, scale: Tensor, shift: Tensor, given: Tensor, new: Tensor
    ) -> Tensor:
        """Interpolate along an axis, at the indices that `scale` and `shift` bring to the cells."""
        place = (cells - shift) / scale
        first = place.floor()
        share = place - first
        pad = float(self.preprocessing.pad_value)
        edges = self.preprocessing.resize == "tensorflow"  # beyond the last pixel its own value counts on
        taken = torch.zeros(1, device=pixels.device)
        for index, weight in ((first, 1 - share), (first + 1, share)):
            there = (index >= 0) & ((index < given) | edges)
            values = pixels.index_select(axis, index.clamp(min=0).minimum(given - 1).long())
            shape = [-1 if i == axis else 1 for i in range(4)]
            taken = taken + torch.where(there.view(shape), values, pad) * weight.view(shape)
        inside = (cells < new).view([-1 if i == axis else 1 for i in range(4)])
        return torch.where(inside, taken, pad)

    def _keep(self, images: Tensor, hw: Tensor, limits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Follow `keep_res`: the image in the middle of the next multiples above its size."""
        divisor = self.preprocessing.divisor
        sides = [(n, (n // divisor + 1) * divisor) for n in (images.shape[1], images.shape[2])]
        (top, bottom), (left, right) = ((m // 2 - n // 2, m - m // 2 - n + n // 2) for n, m in sides)
        value = float(self.preprocessing.pad_value)
        pixels = F.pad(images.float(), (0, 0, left, right, top, bottom), value=value)
        whole = ((hw / divisor).floor() + 1) * divisor
        shift = ((whole / 2).floor() - (hw / 2).floor()).flip(0).repeat(2).float()
        return pixels, torch.ones_like(shift), shift, limits

    def _pad(self, images: Tensor) -> Tensor:
        divisor = self.preprocessing.divisor
        height, width = images.shape[1], images.shape[2]
        bottom, right = ((n + divisor - 1) // divisor * divisor - n for n in (height, width))
        return F.pad(images.float(), (0, 0, 0, right, 0, bottom), value=float(self.preprocessing.pad_value))


def shrink(images: Tensor, hw: Tensor, wanted: Tensor) -> Tensor:
    """Average over areas, to be compiled by `torch.jit.script`; a size that is wanted already stays."""
    height, width, rows, columns = int(hw[0]), int(hw[1]), int(wanted[0]), int(wanted[1])
    if height == rows and width == columns:
        return images.float()
    sums = _area_sums(_area_sums(images, rows).transpose(1, 2), columns).transpose(1, 2)
    averages = sums * (rows * columns / (height * width))
    # OpenCV's exact halves are whole numbers, rounded up; all others are rounded to even.
    exact_half = 2 * rows == height and 2 * columns == width
    return (averages + 0.5).floor() if exact_half else averages.round()


def _area_sums(images: Tensor, count: int) -> Tensor:
    """Sum `count` areas of equal size along axis 1 of N×L×A×B, in float32; a pixel on a border counts in part."""
    length = images.size(1)
    taps = (length + count - 1) // count + int(length % count > 0)
    cell = torch.arange(count, device=images.device)[:, None]
    pixel = cell * length // count + torch.arange(taps, device=images.device)  # count×taps
    ends = torch.minimum((pixel + 1) * count, (cell + 1) * length)
    share = (ends - torch.maximum(pixel * count, cell * length)).clamp(min=0)  # of a pixel, times count
    share = torch.where(1000 * share > count, share, 0)  # OpenCV leaves out what is less than a thousandth
    weights = (share.float() / count)[:, None]  # count×1×taps
    taken = images.index_select(1, pixel.clamp(max=length - 1).flatten())
    taken = taken.reshape(images.size(0), count, taps, images.size(2) * images.size(3)).float()
    return (weights @ taken).reshape(images.size(0), count, images.size(2), images.size(3))


def image_size(images: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return height and width of N×H×W×3 as 2 numbers: a value of the graph in every format, by counting."""
    sides = (images[:, :, 0][..., 0][0], images[:, 0][..., 0][0])  # the small parts first: graphs copy what is left
    return torch.stack([torch.ones_like(side, dtype=dtype).sum() for side in sides])


def _taps(
    cells: Tensor, start: Tensor, length: Tensor, given: Tensor, *, at_edges: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the two source pixels of each cell along one axis, their weights (0..2048), and which cells are covered.

    The image of `given` pixels covers `length` cells from `start` on. `at_edges`, beyond the outermost centres, the
    outermost pixel alone counts, as OpenCV has it along rows.
    """
    # In whole numbers as long as may be: not every runtime has float64, and OpenCV rounds the position to float32 once.
    double, unit = 2 * (2 * (cells - start).long() + 1) * given.long() - 2 * length.long(), 4 * length.long()
    before = (double + unit) // unit - 1  # nothing is negative here, which all runtimes divide alike
    position = before.float() + (double - before * unit).float() / unit.float()
    whole = position.floor()
    fraction = position - whole
    first = whole.double()
    if at_edges:
        outside = (first < 0) | (first >= given - 1)
        fraction = torch.where(outside, torch.zeros_like(fraction), fraction)
    second = torch.minimum((first + 1).clamp(min=0), given - 1)
    first = torch.minimum(first.clamp(min=0), given - 1)
    covered = (cells >= start) & (cells < start + length)
    return first.long(), second.long(), ((1 - fraction) * 2048).round(), (fraction * 2048).round(), covered


def _weighted(lines: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """Return ⌊lines · weights / 65536⌋ at some rows: products of more bits than float32 has, exact in two parts."""
    taken, high = lines.index_select(1, rows), _floor(weights / 64)
    low = _floor(taken * ((weights - 64 * high) / 64))
    return _floor((taken * high + low) / 1024)


def _floor(values: Tensor) -> Tensor:
    """Round values down that are not negative; runtimes convert faster than they floor."""
    return values.int().float()
