"""Track people with `person-pose`: everything is chosen on one sequence, and measured on another.

python benchmarks/pose_tracking.py SHARED/data/mot --choose PETS09-S3-MF1 --measure TUD-Campus

Chosen is what has the largest sum of HOTA, MOTA and IDF1: the input's size; the score (the centre's, that times the
mean of the joints', or the latter calibrated); the tracker's preset, and its thresholds. It says how well the model
sees people, and recommends no use: its makers rule out surveillance and identity recognition.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from centernet import Detections, Tracker
from centernet.data import MOT, DetectionDataset
from centernet.evaluation import CocoEvaluator
from centernet.evaluation.tracking import COMBINED, TrackingEvaluator, Tracks
from centernet.inference.results import to_detections
from centernet.network import load_network

KINDS = ("center", "product", "calibrated")
PRESETS = ("bytetrack", "default")
HIGH = (0.03, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6)
NEW = (0.0, 0.1, 0.25)
"""Shares of the way from the first threshold to 1 at which a detection starts a track."""
LOW = (0.17, 0.5)
"""Shares of the first threshold from which on a detection continues one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder of sequences in MOTChallenge's layout, with frames")
    parser.add_argument("--choose", default="PETS09-S3-MF1", help="the sequence to choose on; default: %(default)s")
    parser.add_argument("--measure", default="TUD-Campus", help="the sequence to measure on; default: %(default)s")
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 320, 384, 512, 640, 768], help="of the input")
    given = parser.parse_args()
    dataset, other = (MOT(given.root, [name]) for name in (given.choose, given.measure))
    best = max(trials(dataset, given.sizes), key=lambda trial: trial[0])
    _, size, kind, options = best
    print(f"\nchosen on {given.choose}: {size} px, score: {kind}, {options}")
    for name, data in ((given.choose, dataset), (given.measure, other)):
        found = detect(data, size)[kind]
        boxes = CocoEvaluator(data.class_names)
        for i, detections in enumerate(found):
            boxes.update(data.annotation(i), detections)
        tracks, stats = figures(data, found, options), boxes.compute().stats
        text = ", ".join(f"{key} {tracks[key]:.3f}" for key in ("HOTA", "MOTA", "IDF1"))
        print(f"{name}: {text}, {tracks['IDSW']:.0f} switches; boxes AP {stats['AP']:.3f}, AP50 {stats['AP50']:.3f}")


def trials(dataset: DetectionDataset, sizes: Iterable[int]) -> Iterator[tuple[float, int, str, dict[str, Any]]]:
    """Yield the sum of the three figures, and what gave it."""
    for size in sizes:
        for kind, found in detect(dataset, size).items():
            tried = []
            for preset, high, new, low in product(PRESETS, HIGH, NEW, LOW):
                thresholds = {"high_score": high, "new_score": high + new * (1 - high), "low_score": low * high}
                options = {"preset": preset, **{name: round(value, 3) for name, value in thresholds.items()}}
                tracks = figures(dataset, found, options)
                tried.append((sum(tracks[key] for key in ("HOTA", "MOTA", "IDF1")), size, kind, options))
            total, *_, options = best = max(tried, key=lambda trial: trial[0])
            print(f"{size} px, {kind}: {total / 3:.4f} with {options}", flush=True)
            yield best


def detect(dataset: DetectionDataset, size: int) -> dict[str, list[Detections]]:
    """Return what is found in all frames, by kind of score."""
    network = load_network("person-pose")
    calibration, network.calibration = network.calibration, None
    preprocessing = replace(network.preprocessing, size=(size, size))
    head: Any = network.heads["keypoints"]
    found: dict[str, list[Detections]] = {kind: [] for kind in KINDS}
    for i in range(len(dataset)):
        image = dataset.image(i).read()[0]
        with torch.inference_mode():
            pixels = torch.from_numpy(preprocessing(image))[None].permute(0, 3, 1, 2)
            encoded = network(network.normalize(pixels))
            for kind, head.search in (("center", "original"), ("product", "gaussian")):
                rows = {name: x[0].numpy() for name, x in network.decode_detections(encoded, 30).items()}
                found[kind].append(to_detections(rows, network.columns, preprocessing, image.shape[:2]))
        last = found["product"][-1]
        assert calibration is not None
        found["calibrated"].append(replace(last, scores=calibration(last.scores)))
    return found


def figures(dataset: DetectionDataset, found: list[Detections], options: dict[str, Any]) -> dict[str, float]:
    (video,) = dataset.sequences
    tracker = Tracker(**options, frame_rate=video.frame_rate)
    tracks = Tracks.from_detections([tracker.update(one) for one in found], 0)
    truth = Tracks.from_annotations((dataset.annotation(i) for i in range(len(dataset))), 0)
    (name,) = dataset.class_names
    evaluator = TrackingEvaluator([name])
    evaluator.update(video.name, truth, tracks, num_frames=len(found))
    return evaluator.compute().classes[name][COMBINED]


if __name__ == "__main__":
    main()
