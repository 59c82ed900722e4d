"""The best cells of a heatmap, and the values of other maps there.

Source: https://arxiv.org/abs/1904.07850, section 4.2: a cell that is no lower than its eight neighbours is an object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Peaks(NamedTuple):
    """The best K cells of each image, best first."""

    scores: Tensor  # B×K float32 in [0, 1]
    labels: Tensor  # B×K int64
    cells: Tensor  # B×K int64, y · W + x
    x: Tensor  # B×K float32, column of the cell
    y: Tensor  # B×K float32, row of the cell


def find_peaks(
    heatmap: Tensor,
    num_peaks: int,
    *,
    kernel: int = 3,
    order: Literal["per_class", "class_maximum"] = "per_class",
    labels: Sequence[int] | None = None,
) -> Peaks:
    """Find the local maxima of a heatmap, the `num_peaks` highest of each image.

    Args:
        heatmap: B×C×H×W logits (the sigmoid keeps the order, so it is only taken of the peaks).
        num_peaks: K; limited to the number of values of the map.
        kernel: side of the neighbourhood that a peak must dominate, odd.
        order: `per_class` a cell can be a peak of several classes (the original's top-k per class, then overall,
            which is the top-k over all); `class_maximum` a cell is a peak of its best class alone.
        labels: of the classes whose peaks are sought; others take none of the K places. None for all.

    Returns:
        `Peaks`. Where an image has fewer maxima than K, the rest has score 0.
    """
    _, _, height, width = heatmap.shape
    values, best_label = heatmap, None
    chosen = None if labels is None else torch.tensor(labels, device=heatmap.device)
    if chosen is not None and order == "per_class":
        values = values.index_select(1, chosen)
    if kernel > 1:
        lower = values < F.max_pool2d(values, kernel, stride=1, padding=kernel // 2)
        values = values - lower.to(values.dtype) * torch.finfo(values.dtype).max  # `where` takes runtimes twice as long
    if order == "class_maximum":
        values, best_label = values.max(dim=1, keepdim=True)
        if chosen is not None:
            values = values.masked_fill(~(best_label[:, None] == chosen.view(-1, 1, 1, 1)).any(dim=1), -torch.inf)
        best_label = best_label.flatten(1)
    # The best K values lie in the K rows of the highest maxima: two small searches in place of one over the whole map.
    # Rows of nothing make K of them where there are fewer, as a traced graph cannot tell.
    lines = values.flatten(1, 2)
    number = min(num_peaks, lines.shape[1] * width)
    highest, line = F.pad(lines.amax(dim=2), (0, num_peaks), value=-torch.inf).topk(number, dim=1)
    line = line.clamp(max=lines.shape[1] - 1)
    candidates = lines.gather(1, line.unsqueeze(2).expand(-1, -1, width))
    candidates = torch.where(highest.unsqueeze(2) > -torch.inf, candidates, -torch.inf)
    best, place = candidates.flatten(1).topk(number, dim=1)
    # Remainders by multiplication: with sizes that are not known before, exporters have no other.
    candidate = place // width
    line = line.gather(1, candidate)
    x = place - candidate * width
    layer = line // height
    y = line - layer * height
    index = y * width + x
    label = layer if chosen is None else chosen[layer]
    if best_label is not None:
        label = best_label.gather(1, index)
    return Peaks(scores=best.float().sigmoid(), labels=label, cells=index, x=x.float(), y=y.float())


def gather_at(output: Tensor, index: Tensor) -> Tensor:
    """Read the values of a map at cells.

    Args:
        output: B×C×H×W.
        index: B×K int64, y · W + x.

    Returns:
        B×K×C, of the map's dtype.
    """
    index = index.unsqueeze(1).expand(-1, output.shape[1], -1)
    return output.flatten(2).gather(2, index).transpose(1, 2)
