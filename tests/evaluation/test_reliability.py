"""Calibration error and calibration of simulated detectors whose true probabilities are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from centernet import Detections
from centernet.calibration import Calibration
from centernet.evaluation import CocoEvaluator
from centernet.evaluation.reliability import calibration_error, fit_calibration, judged

NAMES = ("cat", "dog", "owl")


def simulated(
    images: int, distort: Any = lambda p: p, *, seed: int = 0, share: tuple[float, ...] = (0.5, 0.45, 0.05)
) -> CocoEvaluator:
    """Detections that are right with a known probability, of which the score is a distortion."""
    random, evaluator = np.random.default_rng(seed), CocoEvaluator(NAMES)
    for image_id in range(images):
        probabilities = random.beta(0.6, 0.9, 10)
        boxes = np.array([[100 * i, 0, 100 * i + 60, 60] for i in range(10)], np.float32)
        labels = random.choice(3, 10, p=share)
        right = random.random(10) < probabilities
        missed = np.array([[2000, 0, 2060, 60]], np.float32)
        truth = SimpleNamespace(
            image_id=image_id,
            boxes=np.concatenate([boxes[right], missed, boxes[:1] + 3000]),
            labels=np.append(labels[right], [0, 1]),
            ignore=np.append(np.zeros(right.sum() + 1, bool), True),
            areas=np.full(right.sum() + 2, 3600.0),
        )
        found = Detections(
            np.concatenate([boxes, boxes[:1] + 3000]), np.append(labels, 1), np.append(distort(probabilities), 0.9)
        )
        evaluator.update(truth, found)
    return evaluator


def test_regions_to_ignore_and_second_boxes_do_not_count_as_right() -> None:
    collected, right = judged(simulated(40))
    assert len(collected.score) == len(right) and (collected.score >= 0.05).all()
    assert not (collected.boxes[:, 0] >= 3000).any()
    share = [right[(collected.score >= low) & (collected.score < low + 0.2)].mean() for low in (0.2, 0.4, 0.6)]
    assert share == sorted(share)


@pytest.mark.parametrize("calibration", [Calibration(0.4, 1.8), Calibration(2.5, -1), Calibration(1, 0)])
def test_a_known_distortion_is_undone(calibration: Calibration) -> None:
    """Scores are such that the calibration makes the true probabilities of them."""

    def distort(p: Any) -> Any:
        return 1 / (1 + np.exp(-(np.log(p / (1 - p)) - calibration.shift) * calibration.temperature))

    found = fit_calibration(simulated(1500, distort))
    assert found is not None
    assert found.temperature == pytest.approx(calibration.temperature, rel=0.06)
    assert found.shift == pytest.approx(calibration.shift, abs=0.08)
    collected, right = judged(simulated(1500, distort, seed=1))
    before, after = (calibration_error(scores, right) for scores in (collected.score, found(collected.score)))
    assert after < 0.015 and (before > 0.05 or calibration == Calibration(1, 0))


def test_thresholds_are_the_best_of_all() -> None:
    """Against every threshold in turn; the class of few objects has none of its own."""
    evaluator = simulated(150)
    found = fit_calibration(evaluator, rescale=False)
    assert found is not None and (found.temperature, found.shift) == (1, 0)
    assert set(found.class_thresholds) == {"cat", "dog"}
    collected, right = judged(evaluator)
    objects = collected.count_objects(3)

    def f1(rows: Any, number: int, least: float) -> float:
        kept = rows & (collected.score >= least)
        return float(2 * right[kept].sum() / (kept.sum() + number))

    everything = np.ones(len(right), bool)
    cases = [(everything, objects.sum(), found.score_threshold)]
    cases += [(collected.label == i, objects[i], found.class_thresholds[NAMES[i]]) for i in (0, 1)]
    for rows, number, threshold in cases:
        best = max(f1(rows, int(number), least) for least in collected.score)
        assert f1(rows, int(number), threshold) == pytest.approx(best, abs=1e-3)


def test_too_few_detections_or_scores_of_no_worth() -> None:
    assert fit_calibration(simulated(5)) is None
    assert fit_calibration(simulated(300, lambda p: 1 - p)) is None
    random = np.random.default_rng(7)
    perfect = simulated(300, lambda p: np.where(p > 0.5, 0.9, 0.1) + random.uniform(-0.05, 0.05, len(p)))
    assert fit_calibration(perfect) is not None


def test_scores_in_a_narrow_band_have_no_calibration() -> None:
    """As in the first epochs of a training: all about .06, the right ones some thousandths higher than the others."""
    assert fit_calibration(simulated(300, lambda p: 0.056 + 0.01 * p)) is None
    assert fit_calibration(simulated(300, lambda p: 0.056 + 0.01 * p), rescale=False) is not None


def test_separable_scores_have_a_finite_calibration() -> None:
    evaluator = CocoEvaluator(NAMES)
    box = np.array([[0, 0, 60, 60]], np.float32)
    for image_id in range(120):
        truth = SimpleNamespace(
            image_id=image_id, boxes=box, labels=np.array([0]), ignore=np.array([False]), areas=np.array([3600.0])
        )
        evaluator.update(truth, Detections(np.concatenate([box, box + 500]), [0, 0], [0.8, 0.3]))
    found = fit_calibration(evaluator)
    assert found is not None
    assert found(np.array([0.8]))[0] > 0.98 and found(np.array([0.3]))[0] < 0.02
    assert found(np.array([0.3]))[0] < found.score_threshold < found(np.array([0.8]))[0]
