"""Intervals: draws are exact evaluations of the images drawn, and 95 % means 95 %."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from centernet import Detections
from centernet.boxes import xyxy_to_xywh
from centernet.evaluation import CocoEvaluator, ValidationResult, VocEvaluator
from centernet.evaluation.bootstrap import CocoDraws, draw, interval
from centernet.evaluation.coco import run_library
from centernet.evaluation.error_bars import ErrorBars, voc_draws
from centernet.evaluation.errors import Errors
from centernet.evaluation.matches import Matches
from centernet.evaluation.tracking import COMBINED, TrackingEvaluator, Tracks

CLASSES = 4


def truth(rng: np.random.Generator, number: int, *, ignored: float = 0.1) -> Any:
    count = int(rng.integers(0, 7))
    corner, side = rng.uniform(0, 300, (count, 2)), np.exp(rng.uniform(2, 5, (count, 2)))
    boxes = np.hstack([corner, corner + side]).astype(np.float32)
    ignore = rng.random(count) < ignored
    labels = np.where(ignore & (rng.random(count) < 0.3), -1, rng.integers(0, CLASSES - 1, count))
    areas = np.prod(side, axis=1) * rng.uniform(0.6, 1, count)
    return SimpleNamespace(image_id=number, boxes=boxes, labels=labels, ignore=ignore, areas=areas)


def found(rng: np.random.Generator, own: Any) -> Detections:
    """Each object up to three times, a little off, at times of another class; and some boxes of nothing."""
    rows = np.repeat(np.arange(len(own.boxes)), rng.integers(0, 4, len(own.boxes)))
    side = own.boxes[rows, 2:] - own.boxes[rows, :2]
    boxes = own.boxes[rows] + np.tile(side, 2) * rng.normal(0, 0.1, (len(rows), 4))
    false = truth(rng, 0).boxes
    other = rng.integers(0, CLASSES, len(rows) + len(false))
    labels = np.where(rng.random(len(other)) < 0.8, np.append(own.labels[rows], other[len(rows) :]), other)
    scores = rng.random(len(labels)).round(2)  # some are equal
    return Detections(np.vstack([boxes, false]).astype(np.float32), np.maximum(labels, 0), scores.astype(np.float32))


def evaluator(images: int = 40, seed: int = 0, *, ignored: float = 0.1) -> CocoEvaluator:
    rng = np.random.default_rng(seed)
    made = CocoEvaluator([f"class {label}" for label in range(CLASSES)])
    for number in range(images):
        own = truth(rng, number, ignored=ignored)
        made.update(own, found(rng, own))
    return made


def repeated(given: CocoEvaluator, often: Any) -> CocoEvaluator:
    """The evaluator of images drawn several times, or not at all."""
    made = CocoEvaluator(given.class_names)
    rows = np.repeat(np.arange(len(given)), often).tolist()
    made._images = {number: given._images[row] for number, row in enumerate(rows)}
    return made


def test_draws_are_evaluations_of_the_images_drawn() -> None:
    given = evaluator()
    weights = np.vstack([np.ones((1, 40), int), draw(40, 3)])
    collected = given.collected()
    coco = CocoDraws.of(Matches.of(collected, CLASSES), CLASSES, weights)
    voc = voc_draws(collected, CLASSES, weights)
    for place, often in enumerate(weights):
        drawn = repeated(given, often)
        expected = drawn.compute()
        # Equal scores in different images may change places, as images do in another order.
        near = pytest.approx if place else lambda value, **_: pytest.approx(value, abs=1e-12)
        for name, value in expected.stats.items():
            assert np.nan_to_num(coco.figures[name][place], nan=-1) == near(value, abs=5e-3), name
        for label, one in enumerate(expected.per_class):
            assert np.nan_to_num(coco.classes[place, label], nan=-1) == near(one.ap, abs=2e-2)
        for name, value in VocEvaluator.of(drawn).compute().stats.items():
            assert voc[name][place] == near(value, abs=5e-3), name


def test_kinds_of_errors_are_tide_s() -> None:
    given = evaluator(ignored=0.0)
    collected = given.collected()
    boxes = {name: xyxy_to_xywh(getattr(collected, name)) for name in ("boxes", "truth_boxes")}
    library = run_library(replace(collected, **boxes), given.class_names)
    counts = Errors.of(collected, CLASSES).counts()
    assert counts == library.tide_errors()["counts"] and min(counts.values()) > 0


def test_kinds_by_image_add_up() -> None:
    collected = evaluator().collected()
    errors = Errors.of(collected, CLASSES)
    by_image = errors.by_image().sum(axis=0)
    assert by_image[1:7].tolist() == list(errors.counts().values())
    assert by_image[:6].sum() + by_image[7] == len(collected.label)


def test_intervals_hold_the_known_value_and_comparisons_find_nothing_where_nothing_is() -> None:
    """Images with a mean of 0 and of unequal difficulty stand for a figure; benchmarks/intervals.py does it for AP."""
    held, clear = 0, 0
    weights = draw(80)
    for seed in range(300):
        ease = np.random.default_rng(seed).normal(size=80)
        first, second = (ease + np.random.default_rng([seed, k]).normal(size=80) for k in (1, 2))
        low, high = interval(weights @ first / 80, float(first.mean()), 80) or (1.0, 1.0)
        held += low <= 0 <= high
        apart = interval(weights @ (second - first) / 80, float((second - first).mean()), 80) or (1.0, 1.0)
        clear += not apart[0] <= 0 <= apart[1]
    assert 0.92 <= held / 300 <= 0.98 and clear / 300 <= 0.08


def test_every_figure_of_few_images_has_an_interval_and_of_many_none() -> None:
    given = evaluator()
    result = ValidationResult.of(given, None)
    bars = ErrorBars.of(given, result)
    there = {name for name, value in result.stats.items() if value != -1}
    assert bars.figures.keys() == there >= {"AP", "AR100", "APm", "mAP_11point"} and bars.images == 40
    assert all(0 <= low <= high <= 1 for low, high in bars.figures.values())
    assert f"AP .{round(1000 * bars.figures['AP'][0]):03d}–" in bars.table()
    assert not ErrorBars.of(given, result, few=40).figures


def test_the_benchmark_s_own_figures_and_tracks_have_intervals() -> None:
    given = evaluator(20)
    result = ValidationResult.of(given, "kitti")
    tracks = TrackingEvaluator(["car"])
    for name, ids in {"one": [7, 8], "two": [3, 3], "three": [1, 1]}.items():
        boxes = [[0, 0, 10, 10], [5, 0, 15, 10]]
        tracks.update(name, Tracks([0, 1], [1, 1], boxes), Tracks([0, 1], ids, boxes), num_frames=2)
    result = replace(result, tracking=tracks.compute())
    bars = ErrorBars.of(given, result, "kitti", tracks)
    own = {name for name, value in result.stats.items() if name.startswith("KITTI/") and value != -1}
    assert own <= bars.figures.keys() and {"HOTA", "MOTA", "IDSW"} <= bars.figures.keys()
    (drawn,) = tracks.draws(np.array([[2, 0, 1]]))  # by name: one, three, two
    assert drawn.classes["car"][COMBINED]["IDSW"] == 2 and drawn.classes["car"][COMBINED]["GT_Dets"] == 6
