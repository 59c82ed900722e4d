"""Known classes that answer on the objects of new ones: where the rows of a new class begin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from centernet.boxes import elementwise_iou
from centernet.data.batch import Batch
from centernet.network import Network
from centernet.network.levels import on_level, parts
from centernet.ops import Peaks

MOST = 5
"""Known classes that a new one begins from."""


@torch.inference_mode()
def answers(network: Network, batches: Iterable[Batch], num_classes: int) -> Tensor:
    """Return how much each class of a network answers on the objects of other classes.

    The answer on an object is the largest score times IoU among the cells inside its box, of all levels: a class that
    answers on something larger around it, as a person does on a helmet, answers little.

    Args:
        network: trained.
        batches: images with boxes, whose labels are those of the other classes.
        num_classes: of those.

    Returns:
        num_classes×K float32 for the K classes of the network: means over the objects; 0 for a class without any.
    """
    total, count = torch.zeros(num_classes, network.num_classes), torch.zeros(num_classes, 1)
    for batch in batches:
        scores, boxes, points = _every_cell(network, network(network.normalize(batch.images)))
        for image, row in ((batch.labels >= 0) & ~batch.ignore).nonzero().tolist():
            truth, label = batch.boxes[image, row], batch.labels[image, row]
            inside = ((points >= truth[:2]) & (points <= truth[2:])).all(1).nonzero().flatten()
            count[label] += 1
            if len(inside):
                iou = elementwise_iou(boxes[image, inside], truth.expand(len(inside), 4)).clamp(min=0)
                total[label] += (scores[image][:, inside] * iou).amax(1)
    return total / count.clamp(min=1)


def strongest(answer: Tensor, names: Sequence[str]) -> dict[str, float]:
    """Return the `MOST` classes that answer most, in that order, with their answers; `answer` has K values."""
    values, places = answer.topk(min(MOST, len(answer)))
    return {names[place]: value for place, value in zip(places.tolist(), values.tolist(), strict=True)}


def _every_cell(network: Network, encoded: dict[str, object]) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores B×K×N, boxes B×N×4 and points N×2 in input pixels of the N cells of all levels."""
    scores, boxes, points = [], [], []
    for level, stride in enumerate(network.strides):
        heatmap: Tensor = on_level(encoded[network.finder], level)  # type: ignore[arg-type]
        count, _, height, width = heatmap.shape
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        cells = torch.arange(height * width).expand(count, -1)
        columns, rows = (z.flatten().float().expand(count, -1) for z in (x, y))
        peaks = Peaks(torch.ones_like(columns), torch.zeros_like(cells), cells, columns, rows)
        found: dict[str, Tensor] = {}
        for name, head in network.heads.items():
            if parts(head)[level].reads_boxes:
                continue
            found |= parts(head)[level].decode(on_level(encoded[name], level), peaks)  # type: ignore[arg-type]
        scores.append(heatmap.float().sigmoid().flatten(2))
        boxes.append(found["bboxes"] + (network.neck.point - 0.5) * stride)
        points.append((torch.stack([columns[0], rows[0]], dim=1) + network.neck.point) * stride)
    return torch.cat(scores, 2), torch.cat(boxes, 1), torch.cat(points)
