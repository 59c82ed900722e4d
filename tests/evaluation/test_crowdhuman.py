"""CrowdHuman's figures against those of the evaluation that its users share, and its rules one by one."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from centernet.detections import Detections
from centernet.evaluation import CrowdHumanEvaluator, CrowdHumanResult, evaluate_crowdhuman


@pytest.fixture(scope="module")
def oracle(shared: Path) -> Path:
    return shared / "data" / "oracles" / "detection"


def check(result: CrowdHumanResult, expected: dict[str, Any]) -> None:
    for name in ("AP", "MR-2", "JI"):
        assert result.stats[name] == pytest.approx(expected[name], abs=1e-6)
    for entry in expected["mr_at_fppi"]:
        assert result.miss_rates[entry["fppi"]] == pytest.approx(entry["miss_rate"], abs=1e-6)
    for entry in expected["ji_by_score"]:
        assert result.ji_by_score[entry["score_thr"]] == pytest.approx(entry["ji"], abs=1e-6)
    counts = (result.images, result.objects, result.true_positives, result.false_positives)
    assert counts == tuple(expected[key] for key in ("n_images", "n_gt", "tp", "fp"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def corners(boxes: list[list[float]]) -> np.ndarray[Any, Any]:
    xywh = np.array(boxes, np.float64).reshape(-1, 4)
    return np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]])


def test_files_give_the_figures_of_the_reference(oracle: Path) -> None:
    result = evaluate_crowdhuman(oracle / "crowdhuman_gt.odgt", oracle / "crowdhuman_dets.odgt")
    check(result, json.loads((oracle / "expected_crowdhuman.json").read_text()))
    assert "0.778" in str(result) and "40 images, 414 objects" in str(result)


def test_arrays_give_the_figures_of_the_reference(oracle: Path) -> None:
    """What a validation run hands over, in float32, in two parts that are merged."""
    found = {entry["ID"]: entry for entry in lines(oracle / "crowdhuman_dets.odgt")}
    parts = CrowdHumanEvaluator(["car", "person"]), CrowdHumanEvaluator(["car", "person"])
    for number, entry in enumerate(lines(oracle / "crowdhuman_gt.odgt")):
        persons, result = entry["gtboxes"], found[entry["ID"]]
        ignore = np.array([p["tag"] == "mask" or p["extra"].get("ignore", 0) == 1 for p in persons], np.bool_)
        truth = SimpleNamespace(
            image_id=number,
            height=result["height"],
            width=result["width"],
            boxes=corners([p["fbox"] for p in persons]).astype(np.float32),
            labels=np.where(ignore, -1, 1),  # of any class
            ignore=ignore,
            areas=np.ones(len(persons), np.float32),
        )
        boxes, scores = corners([o["box"] for o in result["dtboxes"]]), [o["score"] for o in result["dtboxes"]]
        others = len(boxes) // 2  # of another class, which are passed over
        detections = Detections(
            np.concatenate([boxes, boxes[:others]]), [1] * len(boxes) + [0] * others, scores + scores[:others]
        )
        for _ in range(2):  # once is what counts
            parts[number % 2].update(truth, detections)
    parts[0].merge(pickle.loads(pickle.dumps(parts[1])))
    assert len(parts[0]) == 40
    check(parts[0].compute(), json.loads((oracle / "expected_crowdhuman.json").read_text()))


def evaluate(persons: list[Any], ignored: list[Any], hits: list[Any]) -> CrowdHumanResult:
    """One image of 400×400; hits are (box, score)."""
    evaluator = CrowdHumanEvaluator(["person"])
    truth = SimpleNamespace(
        image_id=1,
        height=400,
        width=400,
        boxes=np.array([*persons, *ignored], np.float32),
        labels=np.zeros(len(persons) + len(ignored), np.int64),
        ignore=np.array([False] * len(persons) + [True] * len(ignored)),
        areas=np.ones(len(persons) + len(ignored), np.float32),
    )
    evaluator.update(truth, Detections([box for box, _ in hits], [0] * len(hits), [score for _, score in hits]))
    return evaluator.compute()


def test_the_next_person_is_taken_where_the_nearest_is_gone() -> None:
    a, b = [0, 0, 100, 100], [10, 0, 110, 100]
    result = evaluate([a, b], [], [([1, 0, 101, 100], 0.9), ([2, 0, 102, 100], 0.8)])
    assert (result.true_positives, result.false_positives) == (2, 0)


def test_detections_in_a_region_do_not_count_unless_they_fit_a_person() -> None:
    person, region = [0, 0, 50, 100], [0, 0, 200, 200]
    inside, outside = [120, 120, 180, 180], [150, 150, 400, 400]
    result = evaluate([person], [region], [(person, 0.9), (inside, 0.8), (outside, 0.7)])
    assert (result.objects, result.true_positives, result.false_positives) == (1, 1, 1)


def test_boxes_are_cut_at_the_image_before_they_are_compared() -> None:
    result = evaluate([[300, 0, 700, 400]], [], [([300, 0, 400, 400], 0.9)])
    assert result.true_positives == 1


def test_a_perfect_detector() -> None:
    boxes = [[0, 0, 50, 100], [100, 0, 150, 100], [200, 0, 250, 100]]
    result = evaluate(boxes, [], [(box, 0.9 - i / 100) for i, box in enumerate(boxes)])
    # The area begins at the first detection, where the recall is 1/3 already.
    assert result.stats["AP"] == pytest.approx(2 / 3)
    assert result.stats["MR-2"] == 0 and result.stats["JI"] == pytest.approx(1, abs=1e-5)


def test_nothing_found_and_nothing_there() -> None:
    nothing = evaluate([[0, 0, 50, 100]], [], [])
    assert nothing.stats == {"AP": 0, "MR-2": 1, "JI": 0}
    nobody = evaluate([], [], [([0, 0, 50, 100], 0.5)])
    assert nobody.stats == {"AP": -1, "MR-2": -1, "JI": -1} and nobody.false_positives == 1
    assert all(math.isfinite(rate) for rate in nobody.miss_rates.values())
    with pytest.raises(ValueError, match="no image was given"):
        CrowdHumanEvaluator(["person"]).compute()


@pytest.mark.parametrize(
    ("truth", "found", "message"),
    [
        ("{", "", r"gt.odgt: line 1 is not JSON"),
        ('{"gtboxes": []}', "", r"gt.odgt: line 1: expected an object with an ID"),
        ('{"ID": "a"}', "", r"gt.odgt: line 1: not an annotation of CrowdHuman"),
        ('{"ID": "a", "gtboxes": [{"tag": "person", "fbox": [1, 2]}]}', "", r"gt.odgt: line 1"),
        ('{"ID": "a", "gtboxes": []}', '{"ID": "b", "dtboxes": []}', r"1 images are not in .*'b'"),
        ('{"ID": "a", "gtboxes": []}', '\n{"ID": "a", "height": 9, "dtboxes": []}', r"dt.odgt: line 2.*width"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, truth: str, found: str, message: str) -> None:
    (tmp_path / "gt.odgt").write_text(truth)
    (tmp_path / "dt.odgt").write_text(found)
    with pytest.raises(ValueError, match=message):
        evaluate_crowdhuman(tmp_path / "gt.odgt", tmp_path / "dt.odgt")
