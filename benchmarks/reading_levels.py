"""Ways to read the class maps of a detector of several levels: AP of each on the same maps.

python benchmarks/reading_levels.py --annotations coco/val.json coco_more/val.json --images coco/images coco_more/images
python benchmarks/reading_levels.py --annotations voc/val.json --images voc/JPEGImages --sizes 416 320

Options are those of benchmarks/coco_lite.py. The rows:

- all cells: no peaks, suppression box by box at .6, as the network's authors read it (NanoDet-Plus).
- one heatmap: logits and boxes of all levels up-sampled to the finest stride, where the highest level counts; its 3×3
  peaks, without and with suppression; with windows as wide as three cells of the level that wins.
- peaks of each level: without suppression, without those that another level is higher at, within a cell; with
  suppression in the graph at .7 and .6, and scores decayed by overlap in its place (https://arxiv.org/abs/2003.10152).
- as it is: what the model's own configuration says.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from coco_lite import Decode, arguments, compare, without_suppression
from torch import Tensor
from torchvision.ops import batched_nms, box_iou

from centernet.network import Network, load_network
from centernet.ops import Peaks, suppress

CANDIDATES, KEPT = 1000, 100  # of suppression box by box, and of an image


def main() -> None:
    given = arguments(__doc__).parse_args()
    network = load_network(given.model)
    decodes: dict[str, Decode] = {
        "all cells, NMS .6": lambda maps: one_by_one(all_cells(network, maps), 0.6),
        "one heatmap": lambda maps: one_heatmap(network, maps, KEPT),
        "one heatmap, NMS .6": lambda maps: one_by_one(one_heatmap(network, maps, CANDIDATES), 0.6),
        "one heatmap, wider windows": lambda maps: one_heatmap(network, maps, KEPT, wider=True),
        "peaks of each level": without_suppression(network),
        "peaks, highest of the levels": lambda maps: highest_of_levels(network, maps),
        "peaks, suppression at .7": lambda maps: suppress(peaks_of_levels(network, maps), 0.7, KEPT),
        "peaks, suppression at .6": lambda maps: suppress(peaks_of_levels(network, maps), 0.6, KEPT),
        "peaks, decay of .5": lambda maps: decayed(peaks_of_levels(network, maps), 0.5),
        "as it is": network.decode_detections,
    }
    compare(network, decodes, given)


def cells_of(network: Network, maps: dict[str, Any]) -> tuple[list[Tensor], list[Tensor]]:
    """Return of each level the class logits, 1×C×H×W, and the boxes of its cells, 1×4×H×W in input pixels."""
    logits = maps[network.finder]
    boxes, start = [], 0
    for level, heatmap in enumerate(logits):
        height, width = heatmap.shape[2:]
        cells = torch.arange(height * width)[None]
        nothing = torch.zeros_like(cells)
        x, y = (cells % width).float(), (cells // width).float()
        peaks = Peaks(nothing.float(), nothing, cells + start, x, y, nothing + level)
        found = network.decode_peaks(maps, peaks)["bboxes"]
        boxes.append(found.transpose(1, 2).reshape(1, 4, height, width))
        start += height * width
    return logits, boxes


def best(scores: Tensor, boxes: Tensor, count: int) -> dict[str, Tensor]:
    """Return the best of logits 1×C×N with the boxes 1×4×N of their cells."""
    values, place = scores.flatten(1).topk(count)
    cells = scores.shape[2]
    chosen = boxes.gather(2, (place % cells)[:, None].expand(-1, 4, -1)).transpose(1, 2)
    return {"bboxes": chosen, "labels": place // cells, "scores": values.sigmoid()}


def one_by_one(found: dict[str, Tensor], iou: float) -> dict[str, Tensor]:
    """Suppress one box after the other, in each class."""
    rows = {name: values[0] for name, values in found.items()}
    kept = batched_nms(rows["bboxes"], rows["scores"], rows["labels"], iou)[:KEPT]
    return {name: values[kept][None] for name, values in rows.items()}


def all_cells(network: Network, maps: dict[str, Any]) -> dict[str, Tensor]:
    logits, boxes = cells_of(network, maps)
    return best(torch.cat([x.flatten(2) for x in logits], 2), torch.cat([x.flatten(2) for x in boxes], 2), CANDIDATES)


def one_heatmap(network: Network, maps: dict[str, Any], count: int, *, wider: bool = False) -> dict[str, Tensor]:
    logits, boxes = cells_of(network, maps)
    size = logits[0].shape[2:]
    scores, level = torch.stack([F.interpolate(x, size=size, mode="bilinear") for x in logits]).max(0)
    windows = [3] * len(logits)
    if wider:
        windows = [int(3 * stride / network.stride) // 2 * 2 + 1 for stride in network.strides]
    highest = torch.stack([F.max_pool2d(scores, w, stride=1, padding=w // 2) for w in windows]).gather(0, level[None])
    scores = scores.masked_fill(scores < highest[0], -torch.inf)
    # A class has its own winner, and so its own box, in a cell.
    values, place = scores.flatten(1).topk(count)
    cells = size[0] * size[1]
    every = torch.stack([F.interpolate(x, size=size, mode="bilinear").flatten(2) for x in boxes])
    won = every[level.flatten(1).gather(1, place)[0], 0, :, (place % cells)[0]]
    return {"bboxes": won[None], "labels": place // cells, "scores": values.sigmoid()}


def peaks_of_levels(network: Network, maps: dict[str, Any]) -> dict[str, Tensor]:
    """Return the best 300 of the best 200 peaks of each level."""
    logits, boxes = cells_of(network, maps)
    found = []
    for heatmap, of_cells in zip(logits, boxes, strict=True):
        lower = heatmap < F.max_pool2d(heatmap, 3, stride=1, padding=1)
        found.append(best(heatmap.masked_fill(lower, -torch.inf).flatten(2), of_cells.flatten(2), 200))
    together = {name: torch.cat([of_level[name] for of_level in found], 1) for name in found[0]}
    order = together["scores"].argsort(1, descending=True)[0, :300]
    return {name: values[:, order] for name, values in together.items()}


def highest_of_levels(network: Network, maps: dict[str, Any]) -> dict[str, Tensor]:
    """Return the best peaks at which no other level's 3×3 cells of the same place are higher."""
    logits, boxes = cells_of(network, maps)
    kept = []
    for stride, heatmap in zip(network.strides, logits, strict=True):
        highest = F.max_pool2d(heatmap, 3, stride=1, padding=1)
        height, width = heatmap.shape[2:]
        for other_stride, other in zip(network.strides, logits, strict=True):
            if other_stride == stride:
                continue
            around = F.max_pool2d(other, 3, stride=1, padding=1)
            steps = [(torch.arange(n) * stride / other_stride).round().long() for n in (height, width)]
            rows, columns = (s.clamp(max=m - 1) for s, m in zip(steps, other.shape[2:], strict=True))
            highest = torch.maximum(highest, around[:, :, rows][..., columns])
        kept.append(heatmap.masked_fill(heatmap < highest, -torch.inf).flatten(2))
    return best(torch.cat(kept, 2), torch.cat([x.flatten(2) for x in boxes], 2), KEPT)


def decayed(found: dict[str, Tensor], sigma: float) -> dict[str, Tensor]:
    """Lower each score by the overlaps with better boxes of its class, all pairs at once."""
    boxes, labels, scores = (found[name][0] for name in ("bboxes", "labels", "scores"))
    iou = (box_iou(boxes, boxes) * (labels[:, None] == labels)).triu(1)  # better by worse
    own = iou.amax(0)[:, None]  # of the better one with what is better still
    factor = torch.exp((own.square() - iou.square()) / sigma).amin(0)
    values, order = (scores * factor).topk(KEPT)
    return {"bboxes": boxes[order][None], "labels": labels[order][None], "scores": values[None]}


if __name__ == "__main__":
    main()
