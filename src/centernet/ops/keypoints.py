"""Keypoints of objects in heatmaps, near the places where they are expected.

Sources: the nearest peak, https://arxiv.org/abs/1904.07850, section 5.2; the best cell by a Gaussian around the place,
MoveNet, https://github.com/tensorflow/tfhub.dev (google/movenet/multipose/lightning).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from centernet.ops.peaks import find_peaks

SEEN = 0.1
"""The score above which a peak is a candidate, and that of a keypoint without one."""
REACH = 0.3
"""Share of a box's larger side within which a peak counts as near."""
BLOCK = 4
"""Side of the blocks of cells by whose maxima the best cell is sought."""


def nearest_peaks(
    heatmap: Tensor, offset: Tensor | None, places: Tensor, boxes: Tensor, *, num_candidates: int
) -> Tensor:
    """Move places to the nearest peak that is near enough, and lies in the box; others stay, with the score .1.

    Args:
        heatmap: B×K×H×W logits, a channel a keypoint.
        offset: B×2K×H×W (x, y of each keypoint) or B×2×H×W, where in its cell a peak lies; None for its middle.
        places: B×N×K×2, x and y in cells.
        boxes: B×N×4 in cells.
        num_candidates: peaks of each keypoint that are looked at.

    Returns:
        B×N×K×3 float32: x and y in cells, and the score.
    """
    batch, count = heatmap.shape[:2]
    peaks = find_peaks(heatmap.flatten(0, 1).unsqueeze(1), num_candidates)
    cells = peaks.cells.reshape(batch, count, -1)  # B×K×C
    shifts = _offsets(offset, cells)
    x, y = peaks.x.reshape(cells.shape) + shifts[..., 0], peaks.y.reshape(cells.shape) + shifts[..., 1]
    scores = peaks.scores.reshape(cells.shape)
    wanted = places.transpose(1, 2)  # B×K×N×2
    far = (wanted[..., :1] - x.unsqueeze(2)).square() + (wanted[..., 1:] - y.unsqueeze(2)).square()  # B×K×N×C
    far = torch.where((scores > SEEN).unsqueeze(2), far, torch.inf)
    best = far.argmin(3)
    x, y, scores = (values.gather(2, best) for values in (x, y, scores))  # B×K×N
    left, top, right, bottom = boxes.unsqueeze(1).unbind(-1)  # B×1×N
    inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
    reach = REACH * torch.maximum(right - left, bottom - top)
    near = inside & (far.amin(3) <= reach.square()) & (scores > SEEN)
    found = torch.stack([x, y, scores], dim=-1)
    kept = F.pad(wanted, (0, 1), value=SEEN)
    return torch.where(near.unsqueeze(-1), found, kept).transpose(1, 2)


def best_cells(
    heatmap: Tensor,
    offset: Tensor | None,
    places: Tensor,
    boxes: Tensor,
    spread: Tensor,
    *,
    blocks: int = 4,
    as_movenet: bool = False,
) -> Tensor:
    """Find the cell in the box where the heatmap times exp(−distance² / spread) from a place is highest.

    Only blocks of cells are looked into which may hold it, by the highest value of each block, and how near it comes:
    the product over all cells and objects takes longer than a small network. In a box without a cell the place stays,
    with the score 0.

    Args:
        heatmap: B×K×H×W logits, a channel a keypoint.
        offset: as of `nearest_peaks`.
        places: B×N×K×2, x and y in cells.
        boxes: B×N×4 in cells; a cell lies in them by its whole numbers, not on the right and lower side.
        spread: B×N, in cells².
        blocks: of which every cell is looked at. With 4 a weak keypoint may get the second best cell.
        as_movenet: a keypoint's score is the highest that its cell has for any of the objects, and where the box has no
            cell, it is the first one of the map.

    Returns:
        B×N×K×3 float32: x and y in cells, and the score.
    """
    height, width = heatmap.shape[2:]
    near = _Nearness(places, boxes, spread)
    pooled = F.max_pool2d(heatmap, BLOCK, ceil_mode=True).sigmoid()
    columns, rows = (torch.arange(pooled.shape[axis], device=heatmap.device) * BLOCK for axis in (3, 2))
    bound = pooled.unsqueeze(2) * near.row_bound(rows).unsqueeze(4) * near.column_bound(columns).unsqueeze(3)
    bound = bound.flatten(3)  # B×K×N×blocks
    block = F.pad(bound, (0, blocks)).topk(blocks, dim=3).indices.clamp(max=bound.shape[3] - 1)
    row = block // pooled.shape[3]
    steps = torch.arange(BLOCK, device=heatmap.device)
    y = (row.unsqueeze(-1) * BLOCK + steps).clamp(max=height - 1)  # B×K×N×blocks×rows
    x = ((block - row * pooled.shape[3]).unsqueeze(-1) * BLOCK + steps).clamp(max=width - 1)
    cells = (y.unsqueeze(-1) * width + x.unsqueeze(-2)).flatten(3)
    logits = heatmap.flatten(2)
    values = logits.gather(2, cells.flatten(2)).reshape(cells.shape).sigmoid()
    weights = near.rows(y).unsqueeze(-1) * near.columns(x).unsqueeze(-2)  # a Gaussian is a product of two
    values = values * weights.flatten(3)
    place = values.argmax(3, keepdim=True)
    cell, score = cells.gather(3, place).squeeze(3), values.gather(3, place).squeeze(3)  # B×K×N
    if as_movenet:
        cell = torch.where(score > 0, cell, 0)
    y = cell // width
    x = cell - y * width
    shift = _offsets(offset, cell)
    found = torch.stack([x + shift[..., 0], y + shift[..., 1]], dim=-1)
    if as_movenet:
        score = logits.gather(2, cell).sigmoid() * near.all_of(x, y).amax(3)
    else:
        found = torch.where((score > 0).unsqueeze(-1), found, places.transpose(1, 2))
    return torch.cat([found, score.unsqueeze(-1)], dim=-1).transpose(1, 2)


class _Nearness:
    """Weights of cells by their distance to each of B×K×N places: exp(−d² / spread) in the box, else 0."""

    def __init__(self, places: Tensor, boxes: Tensor, spread: Tensor) -> None:
        self.x, self.y = places.transpose(1, 2).unbind(-1)  # B×K×N
        self.left, self.top, self.right, self.bottom = boxes.ceil().unsqueeze(1).unbind(-1)  # B×1×N, the last beyond
        self.spread = spread.clamp(min=1e-6).unsqueeze(1)

    def columns(self, x: Tensor) -> Tensor:
        """Weights of columns B×K×N×…, whole numbers."""
        return self._weights(x, self.x, self.left, self.right)

    def rows(self, y: Tensor) -> Tensor:
        return self._weights(y, self.y, self.top, self.bottom)

    def column_bound(self, starts: Tensor) -> Tensor:
        """The highest weight of a column of each block, that begin at `starts`: B×K×N×blocks."""
        return self._bound(starts, self.x, self.left, self.right)

    def row_bound(self, starts: Tensor) -> Tensor:
        return self._bound(starts, self.y, self.top, self.bottom)

    def all_of(self, x: Tensor, y: Tensor) -> Tensor:
        """Weights of cells B×K×M for each of N places: B×K×M×N."""
        of_columns, of_rows = (
            torch.exp(-(cell.unsqueeze(3) - place.unsqueeze(2)).square() / self.spread.unsqueeze(2))
            * ((cell.unsqueeze(3) >= low.unsqueeze(2)) & (cell.unsqueeze(3) < high.unsqueeze(2)))
            for cell, place, low, high in ((x, self.x, self.left, self.right), (y, self.y, self.top, self.bottom))
        )
        return of_columns * of_rows

    def _weights(self, cells: Tensor, place: Tensor, low: Tensor, high: Tensor) -> Tensor:
        place, low, high, spread = (
            values.reshape(*values.shape, *[1] * (cells.ndim - 3)) for values in (place, low, high, self.spread)
        )
        return torch.exp(-(cells - place).square() / spread) * ((cells >= low) & (cells < high))

    def _bound(self, starts: Tensor, place: Tensor, low: Tensor, high: Tensor) -> Tensor:
        first = torch.maximum(starts.float(), low.unsqueeze(-1))
        last = torch.minimum(starts.float() + BLOCK - 1, high.unsqueeze(-1) - 1)
        nearest = torch.minimum(torch.maximum(place.unsqueeze(-1), first), last).round()
        weights = torch.exp(-(nearest - place.unsqueeze(-1)).square() / self.spread.unsqueeze(-1))
        return weights * (first <= last)


def _offsets(offset: Tensor | None, cells: Tensor) -> Tensor:
    """Read the offset of each keypoint at cells B×K×M: B×K×M×2, .5 without a map."""
    if offset is None:
        return torch.full((*cells.shape, 2), 0.5, device=cells.device)
    pairs: Tensor = offset.float().flatten(2).unflatten(1, (-1, 2))  # type: ignore[no-untyped-call]
    maps = pairs.expand(-1, cells.shape[1], -1, -1)  # B×K×2×cells
    return maps.gather(3, cells.unsqueeze(2).expand(-1, -1, 2, -1)).transpose(2, 3)
