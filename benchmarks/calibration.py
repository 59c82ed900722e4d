"""Measure what the calibration of a model's scores is worth: its error, AP at the default threshold, and tracks.

OMP_NUM_THREADS=1 python benchmarks/calibration.py --annotations SHARED/data/voc2007/val.json \\
    --images SHARED/data/voc2007/JPEGImages --sequence SHARED/data/mot/TUD-Campus

The calibration error is that of scores from .05 on, on the half of the images that did not fit them: each half once.
AP50 is that of all images with the thresholds that the model carries, or those that each half gives to the other.
Tracks are those of `centernet track SEQUENCE --classes person`: nothing of the sequence was fitted.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from centernet import CenterNet, Detections, Detector
from centernet.calibration import Calibration
from centernet.cli.main import main as centernet
from centernet.data import COCO
from centernet.detections import OTHER
from centernet.evaluation import CocoEvaluator
from centernet.evaluation.reliability import calibration_error, fit_calibration, judged
from centernet.evaluation.tracking import evaluate_tracking


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", required=True)
    parser.add_argument("--images", required=True)
    parser.add_argument("--sequence", type=Path, help="of MOTChallenge, with people")
    parser.add_argument("--model", default="voc-lite", help="a name or a folder")
    given = parser.parse_args()
    model = CenterNet.from_pretrained(given.model)
    carried, model.calibration = model.calibration, None
    dataset = COCO(given.annotations, given.images)
    stream = Detector(model, score_threshold=0.0, batch_size=16).stream([dataset.path(i) for i in range(len(dataset))])
    raw = [found for _, found in stream]
    halves = [range(start, len(raw), 2) for start in (0, 1)]

    def collected(found: list[Detections], images: range) -> CocoEvaluator:
        evaluator = CocoEvaluator(dataset.class_names)
        for i in images:
            evaluator.update(dataset.annotation(i), found[i])
        return evaluator

    def shown(calibration: Calibration, found: Detections) -> Detections:
        calibrated = Detections(found.bboxes, found.labels, calibration(found.scores), class_names=dataset.class_names)
        return calibrated.filter(score_threshold={OTHER: calibration.score_threshold, **calibration.class_thresholds})

    print("expected calibration error, scores from .05: fitted on one half, of the other")
    by_other: dict[int, Detections] = {}
    for fit, other in (halves, halves[::-1]):
        calibration = fit_calibration(collected(raw, fit))
        assert calibration is not None
        rows, right = judged(collected(raw, other))
        before, after = (calibration_error(scores, right) for scores in (rows.score, calibration(rows.score)))
        values = f"temperature {calibration.temperature}, shift {calibration.shift}"
        print(f"  {len(fit)} images ({values}): before {before:.4f}, after {after:.4f} on {len(right)} detections")
        by_other |= {i: shown(calibration, raw[i]) for i in other}

    everything = range(len(raw))
    results = {
        "every score": raw,
        "raw scores from .3": [found.filter(score_threshold=0.3) for found in raw],
        "thresholds of the other half": [by_other[i] for i in everything],
    }
    if carried is not None:
        results["the model's thresholds"] = [shown(carried, found) for found in raw]
    print("AP, AP50, F1 at IoU .5, boxes an image")
    for name, found in results.items():
        stats, (rows, right) = collected(found, everything).compute().stats, judged(collected(found, everything))
        f1 = 2 * right.sum() / (len(right) + rows.count_objects(len(dataset.class_names)).sum())
        boxes = np.mean([len(one) for one in found])
        print(f"  {name:<30}{stats['AP']:.3f} {stats['AP50']:.3f} {f1:.3f} {boxes:6.1f}")

    if given.sequence is not None:
        with tempfile.TemporaryDirectory() as folder:
            command = ["track", str(given.sequence), "--model", given.model, "--classes", "person", "--format", "mot"]
            assert centernet([*command, "--output", folder]) == 0
            stats = evaluate_tracking(given.sequence, Path(folder) / "tracks.txt").stats
        print(f"{given.sequence.name}: " + ", ".join(f"{name} {stats[name]:.3f}" for name in ("HOTA", "MOTA", "IDF1")))


if __name__ == "__main__":
    main()
