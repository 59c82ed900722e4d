"""Evaluate the packaged model on its validation images: COCO's twelve figures, AP by class, and its calibration.

python benchmarks/voc_lite.py --annotations SHARED/data/voc2007/val.json --images SHARED/data/voc2007/JPEGImages
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from centernet import CenterNet, Detector
from centernet.boxes import iou
from centernet.data import COCO
from centernet.evaluation import CocoEvaluator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", required=True)
    parser.add_argument("--images", required=True)
    parser.add_argument("--model", default="voc-lite", help="a name, a folder or a checkpoint")
    parser.add_argument("--without-quality", action="store_true", help="scores of the heatmap alone")
    given = parser.parse_args()
    dataset = COCO(given.annotations, given.images)
    load = CenterNet.load_from_checkpoint if given.model.endswith(".ckpt") else CenterNet.from_pretrained
    model = load(given.model)
    if given.without_quality:
        model.heads["box"].quality = 0.0
    detector = Detector(model, score_threshold=0.0, batch_size=16)
    evaluator = CocoEvaluator(dataset.class_names)
    scores, right = [], []
    with torch.inference_mode():
        found = detector.stream([dataset.path(i) for i in range(len(dataset))])
        for i, (_, detections) in enumerate(found):
            truth = dataset.annotation(i)
            evaluator.update(truth, detections)
            overlap = iou(detections.bboxes, truth.boxes) * (detections.labels[:, None] == truth.labels)
            scores.append(detections.scores)
            right.append((overlap >= 0.5).any(axis=1) if truth.boxes.size else np.zeros(len(detections), bool))
    print(evaluator.compute().table())
    score, hit = np.concatenate(scores), np.concatenate(right)
    print("\nexpected calibration error, 10 bins, a detection is right at IoU .5")
    for least in (0.0, 0.05):
        kept = score >= least
        print(
            f"  scores from {least:.2f}: {calibration_error(score[kept], hit[kept]):.4f} over {kept.sum()} detections"
        )


def calibration_error(score: np.ndarray, hit: np.ndarray) -> float:
    """Return the mean distance of each bin's score to its share of right detections, weighted by their number."""
    bins = np.clip((10 * score).astype(int), 0, 9)
    return float(
        sum(abs(score[bins == b].mean() - hit[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins))
    )


if __name__ == "__main__":
    main()
