"""Evaluate a detector of COCO's classes on any images: AP with its interval, with and without suppression, by class.

python benchmarks/coco_lite.py --annotations instances_val2017.json --images val2017
python benchmarks/coco_lite.py --annotations voc/val.json --images voc/JPEGImages

Several data sets count as one. Classes are those of the data, by name, also where they are written as in Pascal VOC.
Intervals are those of 95 % by drawing images again (bootstrap), as `centernet validate` gives them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch

from centernet import Detections
from centernet.annotations.class_names import places_of
from centernet.data import COCO, Concatenated, DetectionDataset
from centernet.evaluation import CocoEvaluator, ValidationResult
from centernet.evaluation.error_bars import ErrorBars, text
from centernet.inference.results import to_detections
from centernet.inference.torch_runtime import to_numpy
from centernet.network import Network, load_network

Decode: TypeAlias = Callable[[dict[str, Any]], dict[str, torch.Tensor]]
"""Raw maps of `Network.forward` → `bboxes`, `labels` and `scores`."""


def main() -> None:
    given = arguments(__doc__).parse_args()
    network = load_network(given.model)
    decodes = {"as it is": network.decode_detections, "without suppression": without_suppression(network)}
    compare(network, decodes, given)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return the options: of data, model, sizes and figures."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", nargs="+", required=True, help="COCO's JSON, one or several")
    parser.add_argument("--images", nargs="+", required=True, help="the folder of each")
    parser.add_argument("--model", default="coco-lite", help="a name, a folder or a checkpoint")
    parser.add_argument("--sizes", type=int, nargs="+", help="of the input; that of the model where left out")
    parser.add_argument("--by-class", action="store_true")
    return parser


def without_suppression(network: Network) -> Decode:
    """Return the decode of the peaks alone."""

    def decode(encoded: dict[str, Any]) -> dict[str, torch.Tensor]:
        iou, network.nms_iou = network.nms_iou, None
        found = network.decode_detections(encoded)
        network.nms_iou = iou
        return found

    return decode


def compare(network: Network, decodes: dict[str, Decode], given: argparse.Namespace) -> None:
    """Print the figures of each decode of the same maps, at each size."""
    parts = [COCO(a, i) for a, i in zip(given.annotations, given.images, strict=True)]
    dataset: DetectionDataset = parts[0] if len(parts) == 1 else Concatenated(parts)
    for size in given.sizes or network.preprocessing.size[:1]:
        network.preprocessing = replace(network.preprocessing, size=(size, size))
        for title, rows in evaluate(network, dataset, decodes).items():
            report(f"{size} px, {title}", dataset.class_names, rows, by_class=given.by_class)


def evaluate(network: Network, dataset: DetectionDataset, decodes: dict[str, Decode]) -> dict[str, list[Any]]:
    """Return of each decode the truth and the detections of each image, in the classes of the data."""
    places = np.array(places_of(network.class_names, dataset.class_names))
    rows: dict[str, list[Any]] = {title: [] for title in decodes}
    with torch.inference_mode():
        for i in range(len(dataset)):
            sample = dataset[i]
            pixels = torch.from_numpy(network.preprocessing(sample.image)[None]).permute(0, 3, 1, 2)
            encoded = network(network.normalize(pixels))
            for title, decode in decodes.items():
                found = to_detections(
                    {name: values[0] for name, values in to_numpy(decode(encoded)).items()},
                    network.columns,
                    network.preprocessing,
                    sample.image.shape[:2],
                )
                labels = places[found.labels]
                kept = (labels >= 0) & (found.scores > 0)
                found = Detections(found.bboxes[kept], labels[kept], found.scores[kept])
                rows[title].append((sample.annotation, found))
    return rows


def report(title: str, names, rows, *, by_class: bool) -> None:
    """Print the figures of all images with the intervals of AP and AP50."""
    evaluator = CocoEvaluator(names)
    for number, (truth, found) in enumerate(rows):
        evaluator.update(replace(truth, image_id=number), found)
    result = ValidationResult.of(evaluator, None)
    bars = ErrorBars.of(evaluator, result)
    texts = []
    for name in ("AP", "AP50", "AP75", "APs", "APm", "APl"):
        interval = f" ({text(bars.figures[name])})" if name in bars.figures and name in ("AP", "AP50") else ""
        texts.append(f"{name} {result.coco.stats[name]:.4f}{interval}")
    print(f"{title}: {', '.join(texts)}; {len(rows)} images", flush=True)
    for one in result.coco.per_class if by_class else ():
        if one.objects:
            print(f"  {one.name:16} {one.objects:5} AP {one.ap:.3f} AP50 {one.stats['AP50']:.3f}")


if __name__ == "__main__":
    main()
