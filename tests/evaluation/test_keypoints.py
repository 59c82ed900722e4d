"""Keypoints' figures are those of pycocotools, and PCK is what its definition says."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from centernet.annotations.problems import DataError
from centernet.column import Column
from centernet.data import COCO
from centernet.detections import Detections
from centernet.evaluation import (
    CocoEvaluator,
    KeypointEvaluator,
    ValidationResult,
    evaluate_files,
    evaluate_keypoints,
)
from centernet.evaluation.error_bars import ErrorBars
from centernet.evaluation.keypoints import FIGURES
from centernet.skeleton import Skeleton

SKELETON = Skeleton(("head", "left", "right"), ((1, 2),))
COLUMN = Column("keypoints", "points", (3, 3), skeleton=SKELETON)
POSE = np.array([[[20.0, 20, 2], [40, 30, 1], [0, 0, 0]]])


def truth(image_id: int = 1, pose: Any = POSE, ignore: bool = False) -> Any:
    return SimpleNamespace(
        image_id=image_id,
        boxes=np.array([[10.0, 10, 60, 50]]),
        labels=np.array([0]),
        ignore=np.array([ignore]),
        areas=np.array([2000.0]),
        data={"keypoints": pose},
    )


def found(pose: Any = POSE, column: Column = COLUMN, label: int = 0) -> Detections:
    return Detections([[11, 10, 60, 50]], [label], [0.9], columns=[column], data={"keypoints": pose})


def figures(*pairs: tuple[Any, Detections]) -> dict[str, float]:
    evaluator = KeypointEvaluator(["cat", "dog"], SKELETON)
    for one, detections in pairs:
        evaluator.update(one, detections)
    return dict(pickle.loads(pickle.dumps(evaluator)).compute().stats)


def test_figures_are_those_of_pycocotools(shared: Path) -> None:
    folder = shared / "data/oracles/detection"
    expected = json.loads((folder / "expected_keypoints.json").read_text())
    result = evaluate_keypoints(folder / "kp_gt.json", folder / "kp_dets.json")
    np.testing.assert_allclose([result.stats[name] for name in FIGURES], expected["stats"], atol=1e-6)
    np.testing.assert_allclose(result.ap_by_oks, expected["ap_by_oks"], atol=1e-6)
    assert result.images == 70 and result.objects == 179 and "left_wrist" in str(result)


def test_files_against_a_data_set(shared: Path, tmp_path: Path) -> None:
    """The same figures through the reader of data sets and files of results; its images need not be there."""
    folder = shared / "data/oracles/detection"
    expected = json.loads((folder / "expected_keypoints.json").read_text())
    dataset = COCO(folder / "kp_gt.json", require_images=False)
    result = evaluate_files(dataset, folder / "kp_dets.json", annotations=folder / "kp_gt.json")
    values = [result.to_dict()["figures"][f"keypoints/{name}"] for name in FIGURES]
    np.testing.assert_allclose(values, expected["stats"], atol=1e-6)
    rows = json.loads((folder / "kp_dets.json").read_text())
    (tmp_path / "wrong.json").write_text(json.dumps([{**rows[0], "keypoints": [1, 2]}]))
    with pytest.raises(DataError, match="entry 0: expected x, y and score of each keypoint"):
        evaluate_files(dataset, tmp_path / "wrong.json")
    (tmp_path / "few.json").write_text(json.dumps([{**rows[0], "keypoints": [1, 2, 1]}]))
    result = evaluate_files(dataset, tmp_path / "few.json")
    assert result.figures.keypoints is None and any("have 1 keypoints, the truth 17" in note for note in result.notes)


def test_intervals_are_of_images_drawn_again() -> None:
    """Of ten images with a person each, seven are found as labelled: the share has the spread of a binomial one."""
    boxes, poses = CocoEvaluator(["cat", "dog"]), KeypointEvaluator(["cat", "dog"], SKELETON)
    for number in range(10):
        pair = truth(number), found() if number < 7 else Detections.empty()
        boxes.update(*pair)
        poses.update(*pair)
    result = ValidationResult.of(boxes, None, keypoints=poses)
    bars = ErrorBars.of(boxes, result, keypoints=poses)
    low, high = bars.figures["keypoints/PCK"]
    assert low == pytest.approx(0.7 - 2.26 * (0.7 * 0.3 / 9) ** 0.5, abs=0.1) and high == 1
    assert bars.figures["keypoints/AP"][0] == pytest.approx(low, abs=0.05)
    assert "keypoints/AP" in bars.table()


def test_pck_counts_labelled_keypoints_within_a_fifth_of_the_longer_side() -> None:
    """The box is 50 wide: 10 pixels are near enough, 11 are not; a place that is not labelled does not count."""
    moved = POSE + np.array([[[0, 10.0, 0], [11, 0, 0], [99, 99, 0]]])
    assert figures((truth(), found(moved)))["PCK"] == 0.5
    assert figures((truth(), found()), (truth(2), Detections.empty()))["PCK"] == 0.5
    assert figures((truth(), found(label=1)))["PCK"] == 0
    assert figures((truth(), found()), (truth(2, ignore=True), Detections.empty()))["PCK"] == 1
    assert figures((truth(pose=0 * POSE), found()))["PCK"] == -1


def test_keypoints_are_matched_by_their_names() -> None:
    own = Skeleton(("right", "tail", "left", "head"))
    column = Column("keypoints", "points", (4, 3), skeleton=own)
    pose = np.concatenate([POSE[:, [2]], 5 + POSE[:, [0]], POSE[:, [1]], POSE[:, [0]]], axis=1)
    assert figures((truth(), found(pose, column)))["AP"] == pytest.approx(1)
    lacking = Column("keypoints", "points", (2, 3), skeleton=Skeleton(("head", "right")))
    with pytest.raises(ValueError, match="lack keypoints that the truth has: left"):
        figures((truth(), found(POSE[:, :2], lacking)))
    with pytest.raises(ValueError, match="the detections have no keypoints"):
        figures((truth(), Detections([[1, 1, 2, 2]], [0], [1])))


def test_parts_of_several_processes_are_merged() -> None:
    one, other = (KeypointEvaluator(["cat", "dog"], SKELETON) for _ in range(2))
    one.update(truth(), found())
    other.update(truth(), found(POSE + 30))
    other.update(truth(2), found(POSE + 30))
    one.merge(other)
    assert len(one) == 2 and one.compute().stats["PCK"] == 0.5
