"""How right the labels of `centernet label` are by views of a model, against the truth of labelled images.

python benchmarks/label_views.py val.json --images JPEGImages --model voc-lite --first 50 --count 200
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from centernet.boxes import iou
from centernet.data import COCO, DetectionDataset
from centernet.inference.labelling import label_images

VIEWS: dict[str, dict[str, Any]] = {
    "1": {},
    "2: --flip": {"flip": True},
    "3: --sizes 256 320 416": {"sizes": [256, 320, 416]},
    "4: --flip --sizes 320 416": {"flip": True, "sizes": [320, 416]},
}


def compare(found: DetectionDataset, truth: DetectionDataset, indices: list[int]) -> tuple[int, int, int, int]:
    """Return right and wrong boxes, objects that lie in regions to ignore alone, and all objects."""
    right = wrong = ignored = objects = 0
    for place, index in enumerate(indices):
        one, other = found.annotation(place), truth.annotation(index)
        kinds = np.array(found.class_names)[one.labels][:, None] == np.array(truth.class_names)[other.labels]
        overlaps = iou(one.boxes, other.boxes) * kinds
        met = np.zeros(len(other), np.bool_)
        for row in overlaps[~one.ignore]:
            free = row * (other.ignore | ~met)
            best = int(free.argmax()) if len(free) else 0
            if not len(free) or free[best] <= 0.5:
                wrong += 1
            elif not other.ignore[best]:
                right += 1
                met[best] = True
        missed = ~met & ~other.ignore
        ignored += int((overlaps[one.ignore].max(axis=0, initial=0) > 0.5)[missed].sum())
        objects += int((~other.ignore).sum())
    return right, wrong, ignored, objects


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--model", default="voc-lite")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=200)
    given = parser.parse_args()
    truth = COCO(given.annotations, given.images)
    indices = list(range(len(truth)))[given.first : given.first + given.count]
    for name, options in VIEWS.items():
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            label_images([str(truth.path(i)) for i in indices], given.model, Path(folder, "out"), **options)
            seconds = time.perf_counter() - start
            found = COCO(Path(folder, "out/annotations_train.json"))
            right, wrong, ignored, objects = compare(found, truth, indices)
        figures = f"{right / max(right + wrong, 1):.3f} | {right / max(objects, 1):.3f} | {ignored} | {seconds:.0f}"
        print(f"| {name} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
