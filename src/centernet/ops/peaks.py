"""The best cells of a heatmap, and the values of other maps there.

Source: https://arxiv.org/abs/1904.07850, section 4.2: a cell that is no lower than its eight neighbours is an object.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

Order: TypeAlias = Literal["per_class", "class_maximum"]


class Peaks(NamedTuple):
    """The best K cells of each image, best first."""

    scores: Tensor  # B×K float32 in [0, 1]
    labels: Tensor  # B×K int64
    cells: Tensor  # B×K int64, y · W + x; of several levels, with the cells of the finer ones before it
    x: Tensor  # B×K float32, column of the cell
    y: Tensor  # B×K float32, row of the cell
    levels: Tensor | None = None  # B×K int64, of several levels the one of the cell, finest first
    boxes: Tensor | None = None  # B×K×4 float32, x1 ≤ x2, y1 ≤ y2 in input pixels, once a head has decoded them


def find_peaks(
    heatmap: Tensor,
    num_peaks: int,
    *,
    kernel: int = 3,
    order: Order = "per_class",
    labels: Sequence[int] | None = None,
    margin: float = 0.0,
) -> Peaks:
    """Find the local maxima of a heatmap, the `num_peaks` highest of each image.

    Args:
        heatmap: B×C×H×W logits (the sigmoid keeps the order, so it is only taken of the peaks).
        num_peaks: K; limited to the number of values of the map.
        kernel: side of the neighbourhood that a peak must dominate, odd.
        order: `per_class` a cell can be a peak of several classes (the original's top-k per class, then overall,
            which is the top-k over all); `class_maximum` a cell is a peak of its best class alone.
        labels: of the classes whose peaks are sought; others take none of the K places. None for all.
        margin: a cell is a peak, too, whose logit is at most this much below the highest of its neighbourhood. Objects
            of a class in neighbouring cells are then found, with further boxes of each, for suppression to choose from.

    Returns:
        `Peaks`. Where an image has fewer maxima than K, the rest has score 0.
    """
    width = heatmap.shape[3]
    scores, label, cell = _search([heatmap], num_peaks, kernel, order, labels, margin)
    x, y = _place(cell, width)
    return Peaks(scores, label, cell, x, y)


def find_peaks_of_levels(
    heatmaps: Sequence[Tensor],
    num_peaks: int,
    *,
    kernel: int = 3,
    order: Order = "per_class",
    labels: Sequence[int] | None = None,
    margin: float = 0.0,
) -> Peaks:
    """Find the local maxima of each of several heatmaps, the `num_peaks` highest of each image among them all.

    Args:
        heatmaps: B×C×H×W logits each, finest level first; the others are as in `find_peaks`.
    """
    scores, label, cell = _search(heatmaps, num_peaks, kernel, order, labels, margin)
    level, start, width = torch.zeros_like(cell), torch.zeros_like(cell), torch.full_like(cell, heatmaps[0].shape[3])
    before = 0
    for finer, heatmap in itertools.pairwise(heatmaps):
        before = before + finer.shape[2] * finer.shape[3]
        coarser = cell >= before
        level = level + coarser.to(torch.int64)
        start = torch.where(coarser, before, start)
        width = torch.where(coarser, heatmap.shape[3], width)
    x, y = _place(cell - start, width)
    return Peaks(scores, label, cell, x, y, level)


def _place(cell: Tensor, width: Tensor | int) -> tuple[Tensor, Tensor]:
    """Return column and row of cells, float32; floats, as a whole division is nine operators in a graph."""
    y = torch.div(cell, width, rounding_mode="floor")
    return (cell - y * width).float(), y.float()


def _search(
    heatmaps: Sequence[Tensor], most: int, kernel: int, order: Order, labels: Sequence[int] | None, margin: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the `most` highest maxima of maps together: scores, labels and cells B×K, best first.

    They lie in as many rows of the highest maxima, whatever a row is: two small searches in place of one over all
    values. Rows of nothing make enough of them where there are fewer, as a traced graph cannot tell.
    """
    chosen = None if labels is None else torch.tensor(labels, device=heatmaps[0].device)
    maxima = [_maxima(heatmap, kernel, order, chosen, margin) for heatmap in heatmaps]
    flat = [value.flatten(2) for value, _ in maxima]
    values = torch.cat(flat, dim=2) if len(flat) > 1 else flat[0]
    batch, width, cells = values.shape
    rows = values.reshape(batch, cells, width)  # as many values follow each other in memory
    highest, row = F.pad(rows.amax(dim=2), (0, most), value=-torch.inf).topk(most, dim=1)
    row = row.clamp(max=cells - 1)
    candidates = rows_at(rows, row) + torch.where(highest > -torch.inf, 0.0, -torch.inf).to(values.dtype).unsqueeze(2)
    # In a graph that is exported all sizes are known where there are always so many.
    number = most if torch.compiler.is_exporting() else min(most, width * cells)
    best, place = candidates.flatten(1).topk(number, dim=1)
    candidate = torch.div(place, width, rounding_mode="floor")
    index = (row.gather(1, candidate) - candidate) * width + place
    layer = index // cells  # in integers: it may be too large for floats
    cell = index - layer * cells
    label = layer if chosen is None else chosen[layer]
    if order == "class_maximum":
        label = torch.cat([own for _, own in maxima if own is not None], dim=1).gather(1, cell)
    return best.float().sigmoid(), label, cell


def rows_at(values: Tensor, index: Tensor) -> Tensor:
    """Return rows of B×R×W by their index B×L; whole rows are what runtimes copy fastest."""
    batch, rows, width = values.shape
    first = torch.arange(batch, device=index.device)[:, None] * rows
    chosen = values.flatten(0, 1).index_select(0, (index + first).flatten())
    return chosen.reshape(batch, index.shape[1], width)


def _maxima(
    heatmap: Tensor, kernel: int, order: Order, chosen: Tensor | None, margin: float
) -> tuple[Tensor, Tensor | None]:
    """Lower what is no maximum; for `class_maximum` keep the best class alone, whose label B×(H·W) is returned, too."""
    values = heatmap
    if chosen is not None and order == "per_class":
        values = values.index_select(1, chosen)
    if kernel > 1:
        highest = F.max_pool2d(values, kernel, stride=1, padding=kernel // 2)
        lower = values < (highest - margin if margin else highest)
        values = values - lower.to(values.dtype) * torch.finfo(values.dtype).max  # `where` takes runtimes twice as long
    if order == "per_class":
        return values, None
    values, best_label = values.max(dim=1, keepdim=True)
    if chosen is not None:
        values = values.masked_fill(~(best_label[:, None] == chosen.view(-1, 1, 1, 1)).any(dim=1), -torch.inf)
    return values, best_label.flatten(1)


def gather_at(output: Tensor, index: Tensor) -> Tensor:
    """Read the values of a map at cells.

    Args:
        output: B×C×H×W, or B×C×1×cells of several levels.
        index: B×K int64, y · W + x, the `cells` of peaks.

    Returns:
        B×K×C, of the map's dtype.
    """
    index = index.unsqueeze(1).expand(-1, output.shape[1], -1)
    return output.flatten(2).gather(2, index).transpose(1, 2)
