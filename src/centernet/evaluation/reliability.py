"""Reliability of scores: their calibration error, and the calibration that mends it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from centernet.calibration import MOST_SHIFT, Calibration

from .collecting import Bools, Collected, Evaluator, Floats
from .voc import IGNORED, TRUE_POSITIVE, judge

LEAST_SCORE = 0.05  # lower scores say nothing: there are too many of them, and nobody looks at them
_ENOUGH = 50  # right and wrong detections each, without which two numbers cannot be told from chance
_ENOUGH_OF_A_CLASS = 100  # objects: thresholds found on fewer do worse on other images than the one of all classes


def judged(evaluator: Evaluator) -> tuple[Collected, Bools]:
    """Return what an evaluator has collected, with the detections that count and have at least `LEAST_SCORE`, and
    which of these are right: the best of an object of its class at IoU .5."""
    collected = evaluator.collected().with_a_region_for_each_class(len(evaluator.class_names))
    collected = _rows(collected, collected.score >= LEAST_SCORE)
    verdicts = judge(collected, iou_threshold=0.5, inclusive=False)
    counting = verdicts != IGNORED
    return _rows(collected, counting), verdicts[counting] == TRUE_POSITIVE


def fit_calibration(evaluator: Evaluator, *, rescale: bool = True) -> Calibration | None:
    """Fit the calibration of the scores that an evaluator has collected; None where they are too few, or
    say too little.

    Args:
        evaluator: its scores are those that the heads give.
        rescale: False leaves the scores as they are, and finds the thresholds alone.
    """
    collected, right = judged(evaluator)
    if min(right.sum(), (~right).sum()) < _ENOUGH:
        return None
    calibration = Calibration()
    if rescale:
        slope, shift = _logistic_regression(collected.score, right)
        if not 0.05 < slope < 50:  # no scores of any worth: higher ones are not more often right
            return None
        if abs(shift) > MOST_SHIFT:  # all within so narrow a band that the next epoch's lie outside of it
            return None
        calibration = Calibration(temperature=round(1 / slope, 4), shift=round(shift, 4))
    scores, objects = calibration(collected.score), collected.count_objects(len(evaluator.class_names))
    of_class = {
        name: best_f1(scores[collected.label == i], right[collected.label == i], int(objects[i]))[0]
        for i, name in enumerate(evaluator.class_names)
        if objects[i] >= _ENOUGH_OF_A_CLASS
    }
    overall = best_f1(scores, right, int(objects.sum()))[0]
    return replace(calibration, score_threshold=overall, class_thresholds=of_class)


def calibration_error(scores: Floats, right: Bools) -> float:
    """Return the expected calibration error: the mean distance of the score from the share that is right, over ten
    bins of equal width, weighted by their number of detections."""
    bins = np.clip((10 * scores).astype(int), 0, 9)
    return float(
        sum(abs(scores[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins))
    )


def _logistic_regression(scores: Floats, right: Bools) -> tuple[float, float]:
    """Return a and b of ``sigmoid(a · logit(score) + b)`` that fit best, by Newton's method.

    The targets are Platt's, a little inside of 0 and 1 (Lin, Lin & Weng 2007), so that there is a best fit always.
    """
    positive, negative = right.sum(), (~right).sum()
    target = np.where(right, (positive + 1) / (positive + 2), 1 / (negative + 2))
    inside = np.clip(scores, 1e-7, 1 - 1e-7)
    x = np.stack([np.log(inside / (1 - inside)), np.ones_like(inside)], axis=1)

    def loss(weights: Floats) -> float:
        z = x @ weights
        return float((np.logaddexp(0, z) - target * z).sum())

    weights = np.array([1.0, 0.0])
    for _ in range(50):
        share = 0.5 * (1 + np.tanh(0.5 * (x @ weights)))
        curvature = (x * (share * (1 - share))[:, None]).T @ x + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, x.T @ (target - share))
        while loss(weights + step) > loss(weights) and np.abs(step).max() > 1e-9:
            step = step / 2
        weights = weights + step
        if np.abs(step).max() < 1e-8:
            break
    return float(weights[0]), float(weights[1])


def best_f1(scores: Floats, right: Bools, objects: int) -> tuple[float, float, float, float]:
    """Return the score from which on detections have the best F1, in the middle between the last one and the next, and
    that F1, the precision and the recall."""
    order = np.argsort(-scores, kind="stable")
    ranked, found = np.append(scores[order], 0.0), np.cumsum(right[order])
    number = np.arange(1, len(order) + 1)
    f1 = 2 * found / (number + objects)
    f1[ranked[:-1] == ranked[1:]] = 0  # a threshold takes all of equal scores
    if not len(f1):
        return 0.0, 0.0, 0.0, 0.0
    best = int(f1.argmax())
    threshold = round(float(ranked[best : best + 2].mean()), 4)
    return threshold, float(f1[best]), float(found[best] / number[best]), float(found[best] / max(objects, 1))


def _rows(collected: Collected, keep: Bools) -> Collected:
    names = ("image", "boxes", "label", "score")
    return replace(collected, **{name: getattr(collected, name)[keep] for name in names})
