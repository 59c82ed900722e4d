"""The way from a picture to the network's input as part of a graph: what `images.Preprocessing` does, in torch.

Everything that depends on the picture's size is a value, not a shape, so one graph serves all sizes. Pixels come out as
`cv2.resize` has them, to the last bit: its fixed-point arithmetic is repeated here, with weights of 11 bits (OpenCV,
`modules/imgproc/src/resize.cpp`; other processors than x86 may have another). Where a side shrinks to
less than half, the picture is first reduced by whole factors, as there, but by a triangle filter instead of a box:
values differ by a few levels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from centernet.images import Preprocessing

Reduce = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(uint8 N×H×W×3, rows, columns) → uint8 N×rows×columns×3, smoothed; each graph format has an operator of its own."""

_WEIGHTS = 2048.0  # OpenCV's weights are whole multiples of 1/2048


class Letterbox(nn.Module):
    """uint8 N×H×W×3 of any size → the network's input as float N×H'×W'×3 (values 0..255), and the way back for boxes.

    Args:
        preprocessing: its `resize` rule is followed.
        reduce: how this format's graphs reduce a picture whose side shrinks to less than half.
    """

    def __init__(self, preprocessing: Preprocessing, reduce: Reduce) -> None:
        super().__init__()
        self.preprocessing, self.reduce = preprocessing, reduce
        for name, length in zip(("rows", "columns"), preprocessing.size, strict=True):
            self.register_buffer(name, torch.arange(length, dtype=torch.float64), persistent=False)
        self.register_buffer("size", torch.tensor(preprocessing.size, dtype=torch.float64), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Input, scale and shift.

        Returns:
            The input N×H'×W'×3 float32; scale and shift, 4 float64 each, so that x1 y1 x2 y2 of the input are those of
            the picture times scale plus shift.
        """
        if self.preprocessing.resize == "keep":
            unit = torch.ones(4, dtype=torch.float64, device=images.device)
            return self._pad(images), unit, 0 * unit
        hw = picture_size(images)
        new = self._new_size(hw)
        start = ((self.size - new) / 2).floor()  # type: ignore[operator]
        factor = (hw / new).floor().clamp(min=1)
        reduced = (hw / factor).floor().clamp(min=1)
        images = self.reduce(images, reduced[0].long(), reduced[1].long())
        pixels = self._resize(images, start, new, reduced)
        scale = (new / hw).flip(0).repeat(2)
        return pixels, scale, start.flip(0).repeat(2)

    def _new_size(self, hw: Tensor) -> Tensor:
        """Height and width that the picture has in the input, in whole pixels; `Preprocessing` rounds the same way."""
        size: Tensor = self.size  # type: ignore[assignment]
        if self.preprocessing.resize == "stretch":
            return size
        scale = (size / hw).amin(0)
        return torch.minimum((hw * scale).round().clamp(min=1), size)

    def _resize(self, images: Tensor, start: Tensor, new: Tensor, given: Tensor) -> Tensor:
        """`images` from their size `given` to `new`, with the padding around it."""
        row, below, up, down, in_rows = _taps(self.rows, start[0], new[0], given[0])  # type: ignore[arg-type]
        column, right, left_weight, right_weight, in_columns = _taps(
            self.columns,  # type: ignore[arg-type]
            start[1],
            new[1],
            given[1],
            at_edges=True,
        )
        left_weight, right_weight = (weight[:, None].expand(-1, 3) for weight in (left_weight, right_weight))
        lines = images.index_select(2, column).float() * left_weight + images.index_select(2, right).float() * (
            right_weight
        )
        lines = _floor(lines / 16)  # N×H×W'×3
        high = _floor(lines / 256)  # the products have more bits than float32: in two parts they are exact
        low = lines - 256 * high
        pixels = _weighted(high, low, row, up[:, None, None]) + _weighted(high, low, below, down[:, None, None])
        pixels = _floor((pixels + 2) / 4)  # N×H'×W'×3
        inside = in_rows[:, None, None] & in_columns[:, None]
        return torch.where(inside, pixels, float(self.preprocessing.pad_value))

    def _pad(self, images: Tensor) -> Tensor:
        divisor = self.preprocessing.divisor
        height, width = images.shape[1], images.shape[2]
        bottom, right = ((n + divisor - 1) // divisor * divisor - n for n in (height, width))
        return F.pad(images.float(), (0, 0, 0, right, 0, bottom), value=float(self.preprocessing.pad_value))


def picture_size(images: Tensor) -> Tensor:
    """Height and width of N×H×W×3 as 2 float64; a value of the graph in every format, by counting."""
    ones = torch.ones_like(images[0, :, :, 0], dtype=torch.float64)
    return torch.stack([ones[:, 0].sum(), ones[0].sum()])


def _taps(
    cells: Tensor, start: Tensor, length: Tensor, given: Tensor, *, at_edges: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The two source pixels of each cell along one axis, their weights (0..2048), and which cells the picture covers.

    Args:
        cells: indices along the input's axis, float64.
        start: first cell that the picture covers.
        length: how many it covers.
        given: source pixels.
        at_edges: beyond the outermost centres the outermost pixel alone counts, as OpenCV has it along rows.
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
    return first.long(), second.long(), ((1 - fraction) * _WEIGHTS).round(), (fraction * _WEIGHTS).round(), covered


def _weighted(high: Tensor, low: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """⌊(256 · high + low) · weights / 65536⌋ at some rows."""
    small = _floor(low.index_select(1, rows) * weights / 256)
    return _floor((high.index_select(1, rows) * weights + small) / 256)


def _floor(values: Tensor) -> Tensor:
    """Of values that are not negative; runtimes convert faster than they floor."""
    return values.int().float()
