"""Compare a big image seen whole and in tiles: AP of small objects, and how often tiles count an object twice.

A mosaic of COCO images in their own size is the big image. Detections are given to the images that their centres lie
in, and evaluated there: COCO's own figures take the hundred best of an image only.

python benchmarks/tiling.py --model SHARED/weights/mbv3_centernet_coco.onnx --coco SHARED/data/coco
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from centernet import Detections, Detector, Preprocessing
from centernet.boxes import iou
from centernet.data import COCO
from centernet.evaluation import CocoEvaluator
from centernet.inference.exported import open_session


class CocoReference:
    """A CenterNet with raw maps: `heatmap` after its sigmoid and `ltrb` in pixels, for float RGB 0..255 of 512×512."""

    preprocessing = Preprocessing((512, 512), pad_value=0)

    def __init__(self, path: str, class_names: tuple[str, ...], threads: int) -> None:
        self.session = open_session(Path(path), threads=threads)
        self.class_names = class_names

    def __call__(self, images: np.ndarray, num_detections: int) -> dict[str, Any]:
        decoded = [self._decode(image, min(num_detections, 100)) for image in images]
        return {key: np.stack([one[key] for one in decoded]) for key in ("bboxes", "labels", "scores")}

    def _decode(self, image: np.ndarray, k: int) -> dict[str, np.ndarray]:
        array = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)
        heatmap, ltrb = (maps[0] for maps in self.session.run(["heatmap", "ltrb"], {"image": array}))
        padded = np.pad(heatmap, ((0, 0), (1, 1), (1, 1)), constant_values=-1)
        around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2)).max((-1, -2))
        peaks = np.where(heatmap == around, heatmap, 0).ravel()
        best = np.argsort(-peaks, kind="stable")[:k]
        labels, y, x = np.unravel_index(best, heatmap.shape)
        left, top, right, bottom = ltrb[:, y, x]
        boxes = np.stack([4 * x - left, 4 * y - top, 4 * x + right, 4 * y + bottom], axis=-1)
        return {"bboxes": boxes.astype(np.float32), "labels": labels, "scores": peaks[best]}


def mosaic(dataset: COCO, width: int) -> tuple[np.ndarray, list[tuple[int, int, Any]]]:
    """Return images in rows of about this width, and (x, y, annotation) of each; the rest is gray."""
    samples = sorted((dataset[i] for i in range(len(dataset))), key=lambda sample: -sample.image.shape[0])
    placed, x, y, row = [], 0, 0, 0
    for sample in samples:
        height, length = sample.image.shape[:2]
        if x + length > width:
            x, y, row = 0, y + row, 0
        placed.append((x, y, sample))
        x, row = x + length, max(row, height)
    canvas = np.full((y + row, width, 3), 114, np.uint8)
    for x, y, sample in placed:
        canvas[y : y + sample.image.shape[0], x : x + sample.image.shape[1]] = sample.image
    return canvas, [(x, y, sample.annotation) for x, y, sample in placed]


def by_image(found: Detections, places: list[tuple[int, int, Any]]) -> list[Detections]:
    """Return the detections whose centre is in each image, in its pixels."""
    centres = (found.bboxes[:, :2] + found.bboxes[:, 2:]) / 2
    result = []
    for x, y, annotation in places:
        inside = ((centres >= [x, y]) & (centres < [x + annotation.width, y + annotation.height])).all(axis=1)
        part = found[inside]
        result.append(replace(part, bboxes=part.bboxes - np.array([x, y, x, y], np.float32)))
    return result


def counts(found: list[Detections], places: list[tuple[int, int, Any]], recall: float) -> dict[str, float]:
    """Return the score at which this share of objects is found (IoU .5, its class), precision there, and doubles."""
    hits, seen, total = [], [], 0
    for number, ((_, _, annotation), one) in enumerate(zip(places, found, strict=True)):
        truth = annotation.boxes[~annotation.ignore]
        labels = annotation.labels[~annotation.ignore]
        total += len(truth)
        overlap = iou(one.bboxes, truth) * (one.labels[:, None] == labels)
        for i in np.argsort(-one.scores):
            best = int(overlap[i].argmax()) if len(truth) else -1
            right = best >= 0 and overlap[i, best] >= 0.5
            hits.append((float(one.scores[i]), (number, best) if right else None))
    hits.sort(key=lambda hit: -hit[0])
    objects: dict[Any, int] = {}
    score = 0.0
    for n, (score, what) in enumerate(hits, 1):
        seen.append(n)
        if what is not None:
            objects[what] = objects.get(what, 0) + 1
        if len(objects) >= recall * total:
            twice = sum(count - 1 for count in objects.values())
            return {"score": score, "precision": len(objects) / n, "recall": len(objects) / total, "twice": twice}
    return {"score": score, "precision": float("nan"), "recall": len(objects) / total, "twice": float("nan")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="an ONNX file of COCO's classes")
    parser.add_argument("--coco", type=Path, required=True, help="folder with annotations.json, images and val2017.txt")
    parser.add_argument("--width", type=int, default=4000)
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--recall", type=float, default=0.3, help="at which precision is stated")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    dataset = COCO(given.coco / "annotations.json", given.coco / "images", subset=given.coco / "val2017.txt")
    canvas, places = mosaic(dataset, given.width)
    runtime = CocoReference(given.model, dataset.class_names, given.threads)
    print(f"mosaic of {len(places)} images, {canvas.shape[1]}×{canvas.shape[0]}, tiles of {given.tile}")
    options: dict[str, Any] = {"score_threshold": 0.01, "num_detections": 5000}
    ways = {"whole": {}, "tiles": {"tile": given.tile}}
    found: dict[str, list[Detections]] = {}
    seconds: dict[str, float] = {}
    for name, more in ways.items():
        start = time.process_time()
        one = Detector(runtime, **options, **more)(canvas)
        seconds[name] = time.process_time() - start
        found[name] = by_image(one, places)
    start = time.process_time()
    found["each image by itself"] = Detector(runtime, **options)(
        [canvas[y : y + a.height, x : x + a.width] for x, y, a in places]
    )
    seconds["each image by itself"] = time.process_time() - start
    print(f"{'':24}{'AP':>7}{'AP50':>7}{'small':>7}{'medium':>7}{'large':>7}{'precision':>11}{'twice':>7}{'CPU s':>7}")
    for name, parts in found.items():
        evaluator = CocoEvaluator(dataset.class_names)
        for (_, _, annotation), one in zip(places, parts, strict=True):
            evaluator.update(annotation, one)
        stats = evaluator.compute().stats
        figures = "".join(f"{stats[key]:7.3f}" for key in ("AP", "AP50", "APs", "APm", "APl"))
        at = counts(parts, places, given.recall)
        print(f"{name:24}{figures}{at['precision']:11.3f}{at['twice']:7.0f}{seconds[name]:7.1f}")
    print(
        f"precision: where {given.recall:.0%} of the objects are found; twice: further boxes on objects found by then"
    )


if __name__ == "__main__":
    main()
