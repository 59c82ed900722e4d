"""Pascal VOC's figures against those of the reference implementation, and its rules one by one."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from centernet.detections import Detections
from centernet.evaluation import VocEvaluator, VocResult
from centernet.evaluation.voc import average_precision


def evaluate(objects: list[Any], hits: list[Any], **options: Any) -> VocResult:
    """One image; objects are (box, difficult), hits (box, score), all of one class."""
    evaluator = VocEvaluator(["a"], **options)
    truth = SimpleNamespace(
        image_id=1,
        boxes=np.array([box for box, _ in objects], np.float32),
        labels=np.zeros(len(objects), np.int64),
        ignore=np.array([difficult for _, difficult in objects], np.bool_),
        areas=np.ones(len(objects), np.float32),
    )
    boxes, scores = [box for box, _ in hits], [score for _, score in hits]
    evaluator.update(truth, Detections(boxes, [0] * len(hits), scores))
    return evaluator.compute()


@pytest.fixture(scope="module")
def oracle(shared: Path) -> dict[str, Any]:
    folder = shared / "data" / "oracles" / "detection"
    return {key: json.loads((folder / f"{key}.json").read_text()) for key in ("voc_gt", "voc_dets", "expected_voc")}


def fill(oracle: dict[str, Any], *evaluators: VocEvaluator) -> None:
    """The oracle's images, dealt out to the evaluators."""
    names = oracle["voc_gt"]["classes"]
    for number, image in enumerate(oracle["voc_gt"]["images"]):
        objects, hits = image["objects"], [d for d in oracle["voc_dets"] if d["image"] == image["image"]]
        truth = SimpleNamespace(
            image_id=number,
            boxes=np.array([entry["bbox"] for entry in objects], np.float32).reshape(-1, 4),
            labels=np.array([names.index(entry["name"]) for entry in objects], np.int64),
            ignore=np.array([entry["difficult"] for entry in objects], np.bool_),
            areas=np.ones(len(objects), np.float32),
        )
        labels = np.array([names.index(entry["name"]) for entry in hits], np.int64)
        detections = Detections(
            np.array([h["bbox"] for h in hits]).reshape(-1, 4), labels, np.array([h["score"] for h in hits])
        )
        evaluators[number % len(evaluators)].update(truth, detections)


@pytest.mark.parametrize(("inclusive", "case"), [(True, "plus1"), (False, "no_plus1")])
def test_figures_of_the_reference(oracle: dict[str, Any], inclusive: bool, case: str) -> None:
    names, expected = oracle["voc_gt"]["classes"], oracle["expected_voc"][case]
    evaluator = VocEvaluator(names, inclusive=inclusive)
    fill(oracle, evaluator)
    result = evaluator.compute()
    assert [r.name for r in result.per_class] == names
    for r in result.per_class:
        counts = expected["counts"][r.name]
        assert (r.objects, r.true_positives, r.false_positives, r.ignored) == tuple(
            counts[key] for key in ("n_gt", "tp", "fp", "ignored")
        )
        assert r.ap_11point == pytest.approx(expected["11point"]["per_class"][r.name], abs=1e-9)
        assert r.ap_allpoint == pytest.approx(expected["allpoint"]["per_class"][r.name], abs=1e-9)
    assert result.stats["mAP_11point"] == pytest.approx(expected["11point"]["mean"], abs=1e-9)
    assert result.stats["mAP_allpoint"] == pytest.approx(expected["allpoint"]["mean"], abs=1e-9)
    assert result.images == 80


def test_parts_merge_to_the_whole(oracle: dict[str, Any]) -> None:
    names = oracle["voc_gt"]["classes"]
    whole, first, second = VocEvaluator(names), VocEvaluator(names), VocEvaluator(names)
    fill(oracle, whole)
    fill(oracle, first, second)
    first.merge(pickle.loads(pickle.dumps(second)))
    assert len(first) == 80
    assert first.compute() == whole.compute()


def test_the_best_overlap_decides_even_where_another_object_is_free() -> None:
    a, b = [0, 0, 100, 100], [10, 0, 110, 100]
    result = evaluate([(a, False), (b, False)], [([1, 0, 101, 100], 0.9), ([2, 0, 102, 100], 0.8)])
    (r,) = result.per_class
    assert (r.true_positives, r.false_positives) == (1, 1)  # both are nearest to a; b overlaps by .85 and stays free


def test_detections_of_a_difficult_object_do_not_count() -> None:
    box = [0, 0, 100, 100]
    other = [200, 0, 300, 100]
    result = evaluate([(box, True), (other, False)], [(box, 0.9), ([0, 0, 100, 99], 0.8), (other, 0.7)])
    (r,) = result.per_class
    assert (r.objects, r.true_positives, r.false_positives, r.ignored) == (1, 1, 0, 2)
    assert r.ap_allpoint == r.ap_11point == 1


def test_the_limit_itself_fits() -> None:
    box, half = [0, 0, 100, 100], [0, 0, 50, 100]
    assert evaluate([(box, False)], [(half, 0.9)]).per_class[0].true_positives == 1
    assert evaluate([(box, False)], [(half, 0.9)], iou_threshold=0.51).per_class[0].true_positives == 0
    box, half = [1, 1, 100, 100], [1, 1, 50, 100]  # counted as pixels, 1 … 50 are half of 1 … 100
    assert evaluate([(box, False)], [(half, 0.9)]).per_class[0].true_positives == 0
    assert evaluate([(box, False)], [(half, 0.9)], inclusive=True).per_class[0].true_positives == 1


def test_a_class_without_objects_is_in_no_mean() -> None:
    evaluator = VocEvaluator(["a", "b"])
    truth = SimpleNamespace(
        image_id=1,
        boxes=np.array([[0, 0, 9, 9]], np.float32),
        labels=np.array([0]),
        ignore=np.array([False]),
        areas=np.array([81.0], np.float32),
    )
    evaluator.update(truth, Detections([[0, 0, 9, 9], [0, 0, 5, 5]], [0, 1], [0.5, 0.9]))
    result = evaluator.compute()
    assert result.stats == {"mAP_11point": 1.0, "mAP_allpoint": 1.0}
    assert result.per_class[1].ap_allpoint == -1
    assert result.per_class[1].false_positives == 1
    assert ("mean", "1", "1.000", "1.000") in {tuple(line.split()) for line in str(result).splitlines()}


def test_average_precision_by_hand() -> None:
    """Two of three objects found, at ranks 1 and 3: precision 1 up to recall 1/3, then 2/3 up to 2/3, then 0."""
    eleven, area = average_precision(np.array([True, False, True]), 3)
    assert eleven == pytest.approx((4 * 1 + 3 * 2 / 3 + 4 * 0) / 11)  # recalls 0 … .3, .4 … .6, .7 … 1
    assert area == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)


def test_a_recall_of_three_tenths_counts_for_three_tenths() -> None:
    eleven, _ = average_precision(np.array([True] * 3), 10)  # .1 * 3 > .3 in floating point
    assert eleven == pytest.approx(4 / 11)


def test_no_detection_and_no_object() -> None:
    none = np.zeros(0, np.bool_)
    assert average_precision(none, 5) == (0, 0)
    assert average_precision(none, 0) == (-1, -1)
