"""Evaluate a pose model on COCO's keypoints: OKS AP and box AP of persons, with intervals.

python benchmarks/person_pose.py --annotations person_keypoints_val2017.json --images val2017

`package` is what `Detector` finds with the model or file; `cv2` stands for OpenCV's bilinear interpolation without
averaging, and black to the next multiples of 32 at the bottom and the right, for networks alone. --apart FILE names
images, one a line, whose figures are said apart. Intervals are those of 95 % by drawing images again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from centernet import Detections, Detector
from centernet.data import COCO, Annotation
from centernet.evaluation.error_bars import text
from centernet.images import read_image
from centernet.inference.validation import Validation
from centernet.network import Network, load_network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", required=True, help="COCO's person keypoints")
    parser.add_argument("--images", required=True, help="their folder")
    parser.add_argument("--model", default="person-pose", help="whatever `Detector` opens: a name, a folder, a file")
    parser.add_argument("--side", type=int, default=384, help="the longer side of the input, for `cv2`")
    parser.add_argument("--apart", help="a text file that names images, whose figures are said apart, too")
    parser.add_argument("--ways", nargs="+", default=["cv2", "package"], choices=["cv2", "package"])
    given = parser.parse_args()
    dataset = COCO(given.annotations, given.images)
    places = range(len(dataset))
    apart = set(Path(given.apart).read_text().split()) if given.apart else set()
    chosen = {"all": list(places)}
    if apart:
        chosen["apart"] = [i for i in places if dataset.path(i).name in apart]
        chosen["others"] = [i for i in places if dataset.path(i).name not in apart]
    for way in given.ways:
        detect: Callable[[Path], Detections] = (
            Detector(given.model, score_threshold=0.0)
            if way == "package"
            else partial(by_opencv, load_network(given.model), given.side)
        )
        found = [(dataset.annotation(i), detect(dataset.path(i))) for i in places]
        for name, rows in chosen.items():
            report(f"{way}, {name}", dataset, [found[i] for i in rows])


def by_opencv(network: Network, side: int, path: Path) -> Detections:
    """Detect people as a caller of MoveNet's own graph would."""
    pixels = read_image(path)
    height, width = pixels.shape[:2]
    new_height, new_width = (max(1, round(length * side / max(height, width))) for length in (height, width))
    canvas = np.zeros((-(-new_height // 32) * 32, -(-new_width // 32) * 32, 3), np.uint8)
    canvas[:new_height, :new_width] = cv2.resize(pixels, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    with torch.inference_mode():
        encoded = network(network.normalize(torch.from_numpy(canvas)[None].permute(0, 3, 1, 2)))
        rows = {name: values[0].numpy() for name, values in network.decode_detections(encoded).items()}
    scales = np.array([new_width / width, new_height / height])
    rows["bboxes"] = (rows["bboxes"] / np.tile(scales, 2)).clip(0, [width, height] * 2)
    rows["keypoints"] = rows["keypoints"] / [*scales, 1]
    boxes, labels, scores = (rows.pop(name) for name in ("bboxes", "labels", "scores"))
    return Detections(boxes, labels, scores, columns=network.columns, data=rows)


def report(title: str, dataset: COCO, rows: list[tuple[Annotation, Detections]]) -> None:
    validation = Validation(dataset.class_names, dataset)
    for truth, found in rows:
        validation.update(truth, found)
    stats, bars = validation.compute().stats, validation.error_bars().figures
    texts = [
        f"{kind} " + ", ".join(f"{name} {stats[key + name]:.4f} ({text(bars[key + name])})" for name in names)
        for kind, key in (("keypoints", "keypoints/"), ("boxes", ""))
        for names in [("AP", "AP50", "AP75")]
    ]
    persons = sum(bool((truth.data["keypoints"][..., 2] > 0).any()) for truth, _ in rows)
    print(f"{title}: {'; '.join(texts)}; {len(rows)} images, {persons} with keypoints", flush=True)


if __name__ == "__main__":
    main()
