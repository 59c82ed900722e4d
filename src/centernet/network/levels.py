"""Heads on several levels of a neck: one of each kind a level, and which level an object belongs to in training.

A model of one level is the case of one: its heads stand alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from centernet.boxes import elementwise_iou
from centernet.network.heads import Head
from centernet.network.heads.head import Output
from centernet.ops import Peaks, Targets, gather_at

LevelAssignment = Literal["size", "fit"]

CELLS = 8
"""By size, objects of a √area of so many strides or more belong to the next coarser level."""


class Levels(nn.ModuleDict):
    """The head of each level by its stride, finest first; the raw maps are a list."""

    @classmethod
    def of(cls, build: Callable[[int, int, int], Head], channels: int, strides: Sequence[int], classes: int) -> Levels:
        """Build a head for each stride."""
        return cls({str(stride): build(channels, stride, classes) for stride in strides})

    def forward(self, features: list[Tensor]) -> list[Output]:
        return [head(x) for head, x in zip(self.values(), features, strict=True)]


def parts(head: nn.Module) -> list[Head]:
    """Return the head of each level, finest first."""
    return list(head.values()) if isinstance(head, Levels) else [head]  # type: ignore[arg-type, list-item]


def on_level(output: Output | list[Output], level: int) -> Any:
    """Return the raw map of a level, or its maps."""
    return output[level] if isinstance(output, list) else output


def each_map(change: Callable[..., Tensor], *outputs: Output) -> Output:
    """Return what a function makes of a raw map, or of each map of a head with several."""
    first = outputs[0]
    if isinstance(first, dict):
        return {name: change(*(output[name] for output in outputs)) for name in first}  # type: ignore[index]
    return change(*outputs)


def beside(output: Output | list[Output]) -> Output:
    """Return the maps of several levels side by side, B×C×1×cells, and those of one as they are."""
    if not isinstance(output, list):
        return output
    return each_map(lambda *levels: torch.cat([x.flatten(2) for x in levels], dim=2).unsqueeze(2), *output)


def each_decode(heads: Sequence[Head], outputs: Sequence[Output], peaks: Peaks) -> dict[str, Tensor]:
    """Decode the peaks of several levels, each by the head of its level."""
    assert peaks.levels is not None
    found: dict[str, Tensor] = {}
    start = 0
    for level, (head, output) in enumerate(zip(heads, outputs, strict=True)):
        of_level = next(iter(output.values())) if isinstance(output, dict) else output
        count = of_level.shape[2] * of_level.shape[3]
        own = peaks._replace(cells=(peaks.cells - start).clamp(0, count - 1), levels=None)
        start = start + count
        for name, values in head.decode(output, own).items():
            here = (peaks.levels == level).reshape(*peaks.levels.shape, *[1] * (values.ndim - 2))
            found[name] = torch.where(here, values, found[name]) if level else values
    return found


def by_size(boxes: Tensor, strides: Sequence[int]) -> Tensor:
    """Return the level of boxes …×4 in input pixels by √area, int64."""
    side = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1).sqrt()
    limits = torch.tensor([CELLS * stride for stride in strides[:-1]], dtype=side.dtype, device=side.device)
    return torch.bucketize(side, limits, right=True)


@torch.no_grad()
def by_fit(heads: dict[str, list[Head]], finder: str, encoded: dict[str, Any], targets: Sequence[Targets]) -> Tensor:
    """Return the level of each object that finds and places it best as the network is now: B×M int64.

    That is the largest score of its class times IoU³ among the cell of its centre and the eight around it. Weights from
    elsewhere have their own idea of which level sees what, as dynamic assignments make it; this goes on from it. A
    class that nothing is known of yet is placed by its boxes.

    Args:
        heads: name → the head of each level.
        finder: the head whose map has a channel a class.
        encoded: raw maps of `Network.forward`.
        targets: of each level, with all objects.
    """
    worth = []
    for level, target in enumerate(targets):
        height, width = target.grid
        boxes, labels = target.boxes, target.labels.clamp(min=0)
        center = ((boxes[..., :2] + boxes[..., 2:]) / (2 * target.stride)).long()  # B×M×2
        steps = torch.tensor([-1, 0, 1], device=boxes.device)
        x = (center[..., 0, None, None] + steps).clamp(0, width - 1).expand(-1, -1, 3, 3).flatten(1)
        y = (center[..., 1, None, None] + steps[:, None]).clamp(0, height - 1).expand(-1, -1, 3, 3).flatten(1)
        cells, wanted = y * width + x, labels.repeat_interleave(9, 1)
        peaks = Peaks(torch.ones_like(cells, dtype=torch.float32), wanted, cells, x.float(), y.float())
        found: dict[str, Tensor] = {}
        for name, of_levels in heads.items():
            if of_levels[level].reads_boxes:
                continue
            found |= of_levels[level].decode(on_level(encoded[name], level), peaks)
        iou = elementwise_iou(found["bboxes"], boxes.repeat_interleave(9, 1)).clamp(min=0)
        logits = gather_at(on_level(encoded[finder], level), cells).gather(2, wanted.unsqueeze(2)).squeeze(2)
        quality = (logits.float().sigmoid() + 0.02) * iou.pow(3)
        worth.append(quality.reshape(len(quality), -1, 9).amax(2))
    return torch.stack(worth).argmax(0)


def only(targets: Targets, chosen: Tensor) -> Targets:
    """Return the targets with some of the objects, B×M bool; the others are background, and ignored regions stay."""
    labels = torch.where(chosen | targets.ignore, targets.labels, -1)
    return Targets(
        targets.boxes, labels, targets.ignore, targets.counts, ids=targets.ids, grid=targets.grid,
        stride=targets.stride, num_classes=targets.num_classes, data=targets.data,
    )  # fmt: skip


def loss_terms(
    heads: nn.ModuleDict, encoded: dict[str, Any], targets: list[Targets], shares: list[float]
) -> dict[str, dict[str, Tensor]]:
    """Return the terms of each head."""
    terms: dict[str, dict[str, Tensor]] = {}
    for name, head in heads.items():
        values = [part.loss(on_level(encoded[name], level), targets[level]) for level, part in enumerate(parts(head))]
        if len(values) == 1:
            terms[name] = values[0]
        else:
            weighted = {
                key: [share * of_level[key] for share, of_level in zip(shares, values, strict=True)]
                for key in values[0]
            }
            terms[name] = {key: torch.stack(of_levels).sum() for key, of_levels in weighted.items()}
    return terms
