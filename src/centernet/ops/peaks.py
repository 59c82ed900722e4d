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

ROW = 64
"""Values that stand together in the first search for the best of several levels."""


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
    _, _, height, width = heatmap.shape
    chosen = None if labels is None else torch.tensor(labels, device=heatmap.device)
    values, best_label = _maxima(heatmap, kernel, order, chosen, margin)
    lines = values.flatten(1, 2)
    best, line, x = _best(lines, num_peaks, min(num_peaks, lines.shape[1] * width))
    layer = line // height
    y = line - layer * height
    index = y * width + x
    label = layer if chosen is None else chosen[layer]
    if best_label is not None:
        label = best_label.gather(1, index)
    return Peaks(scores=best.float().sigmoid(), labels=label, cells=index, x=x.float(), y=y.float())


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
    chosen = None if labels is None else torch.tensor(labels, device=heatmaps[0].device)
    maxima = [_maxima(heatmap, kernel, order, chosen, margin) for heatmap in heatmaps]
    values = torch.cat([value.flatten(2) for value, _ in maxima], dim=2)  # B×C×cells
    cells = values.shape[2]
    flat = values.flatten(1)
    rows = F.pad(flat, (0, -flat.shape[1] % ROW), value=-torch.inf).reshape(flat.shape[0], -1, ROW)
    best, row, place = _best(rows, num_peaks, min(num_peaks, flat.shape[1]))
    index = (row * ROW + place).clamp(max=flat.shape[1] - 1)  # the last row may end in nothing
    layer = index // cells
    cell = index - layer * cells
    level, start, width = torch.zeros_like(cell), torch.zeros_like(cell), torch.full_like(cell, heatmaps[0].shape[3])
    before = 0
    for finer, heatmap in itertools.pairwise(heatmaps):
        before = before + finer.shape[2] * finer.shape[3]
        coarser = cell >= before
        level = level + coarser.to(torch.int64)
        start = torch.where(coarser, before, start)
        width = torch.where(coarser, heatmap.shape[3], width)
    y = (cell - start) // width
    x = cell - start - y * width
    label = layer if chosen is None else chosen[layer]
    if order == "class_maximum":
        label = torch.cat([own for _, own in maxima if own is not None], dim=1).gather(1, cell)
    return Peaks(best.float().sigmoid(), label, cell, x.float(), y.float(), level)


def _best(rows: Tensor, most: int, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """Find the `number` highest values of rows B×R×W, at most `most`: B×number each, with their rows and places there.

    They lie in as many rows of the highest maxima: two small searches in place of one over all values. Rows of nothing
    make enough of them where there are fewer, as a traced graph cannot tell.
    """
    width = rows.shape[2]
    highest, row = F.pad(rows.amax(dim=2), (0, most), value=-torch.inf).topk(number, dim=1)
    row = row.clamp(max=rows.shape[1] - 1)
    candidates = rows.gather(1, row.unsqueeze(2).expand(-1, -1, width))
    candidates = torch.where(highest.unsqueeze(2) > -torch.inf, candidates, -torch.inf)
    best, place = candidates.flatten(1).topk(number, dim=1)
    # Remainders by multiplication: with sizes that are not known before, exporters have no other.
    candidate = place // width
    return best, row.gather(1, candidate), place - candidate * width


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
