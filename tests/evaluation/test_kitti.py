"""KITTI's figures against those of the benchmark's own program, and its rules one by one."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from centernet.annotations.kitti import difficulty
from centernet.detections import Detections
from centernet.evaluation import KittiEvaluator, KittiResult, evaluate_kitti


@pytest.fixture(scope="module")
def oracle(shared: Path) -> dict[str, Any]:
    folder = shared / "data" / "oracles" / "detection"
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in ("kitti_gt", "kitti_dets")} | {
        "expected": json.loads((folder / "expected_kitti.json").read_text())
    }


def check(result: KittiResult, expected: dict[str, Any]) -> None:
    assert [(r.name, r.difficulty) for r in result.per_class] == [
        (name, difficulty) for name in ("Car", "Pedestrian", "Cyclist") for difficulty in ("easy", "moderate", "hard")
    ]
    for r in result.per_class:
        entry = expected[r.name.lower()][r.difficulty]  # in per cent
        assert 100 * r.ap_r40 == pytest.approx(entry["ap_r40"], abs=1e-6)
        assert 100 * r.ap_r11 == pytest.approx(entry["ap_r11"], abs=1e-6)
        assert r.precision == pytest.approx(entry["precision41"], abs=1e-6)


def test_rows_give_the_figures_of_the_reference(oracle: dict[str, Any]) -> None:
    result = evaluate_kitti(oracle["kitti_gt"], oracle["kitti_dets"])
    check(result, oracle["expected"])
    assert result.images == 120
    assert result.stats["Car/moderate/R40"] == result.per_class[1].ap_r40
    assert "Pedestrian" in str(result)


def test_folders_give_the_figures_of_the_reference(oracle: dict[str, Any], tmp_path: Path) -> None:
    for name in ("kitti_gt", "kitti_dets"):
        (tmp_path / name).mkdir()
        for frame, rows in oracle[name].items():
            (tmp_path / name / f"{frame}.txt").write_text("".join(f"{row}\n" for row in rows))
    check(evaluate_kitti(tmp_path / "kitti_gt", tmp_path / "kitti_dets"), oracle["expected"])


def test_tracking_files_give_the_figures_of_the_reference(oracle: dict[str, Any], tmp_path: Path) -> None:
    """One file for the frames of each sequence, with frame and identity before each row."""
    frames = list(oracle["kitti_gt"])
    for name in ("kitti_gt", "kitti_dets"):
        (tmp_path / name).mkdir()
        for number, chosen in enumerate((frames[:70], frames[70:])):
            rows = [f"{i} {j} {row}\n" for i, f in enumerate(chosen) for j, row in enumerate(oracle[name].get(f, []))]
            (tmp_path / name / f"{number:04d}.txt").write_text("".join(rows))
    result = evaluate_kitti(tmp_path / "kitti_gt", tmp_path / "kitti_dets")
    check(result, oracle["expected"])


def annotation(number: int, rows: list[str], names: tuple[str, ...]) -> SimpleNamespace:
    """The truth as a data set gives it: neighbours and DontCare are to be ignored, other types passed over."""
    neighbours = {"Van": "Car", "Person_sitting": "Pedestrian"}
    fields = [line.split() for line in rows]
    kept = [f for f in fields if neighbours.get(f[0], f[0]) in (*names, "DontCare")]
    boxes = np.array([f[4:8] for f in kept], np.float32).reshape(-1, 4)
    return SimpleNamespace(
        image_id=number,
        boxes=boxes,
        labels=np.array([(*names, "DontCare").index(neighbours.get(f[0], f[0])) for f in kept], np.int64),
        ignore=np.array([f[0] not in names for f in kept], np.bool_),
        areas=np.ones(len(kept), np.float32),
        difficulty=difficulty(*(np.array([f[i] for f in kept], float) for i in (1, 2))),
    )


def test_detections_in_two_merged_parts(oracle: dict[str, Any]) -> None:
    """What a validation run hands over, in float32."""
    names = ("Car", "Pedestrian", "Cyclist")
    parts = KittiEvaluator(names), KittiEvaluator(names)
    for number, (frame, rows) in enumerate(oracle["kitti_gt"].items()):
        found = [line.split() for line in oracle["kitti_dets"].get(frame, [])]
        found = [f for f in found if f[0] in names]
        boxes = np.array([f[4:8] for f in found], float).reshape(-1, 4)
        detections = Detections(boxes, [names.index(f[0]) for f in found], [float(f[15]) for f in found])
        truth = annotation(number, rows, names)
        truth.labels[truth.labels == len(names)] = -1
        parts[number % 2].update(truth, detections)
    parts[0].merge(pickle.loads(pickle.dumps(parts[1])))
    assert len(parts[0]) == 120
    check(parts[0].compute(), oracle["expected"])


def row(kind: str, x1: float, y1: float, x2: float, y2: float, *, truncated: float = 0, occluded: int = 0) -> str:
    return f"{kind} {truncated} {occluded} -10 {x1} {y1} {x2} {y2} -1 -1 -1 -1000 -1000 -1000 -10"


def found(kind: str, x1: float, y1: float, x2: float, y2: float, score: float) -> str:
    return f"{row(kind, x1, y1, x2, y2, truncated=-1, occluded=-1)} {score}"


def evaluate(truth: list[str], detections: list[str]) -> dict[str, float]:
    """Precision at recall 0 for cars, by difficulty; -1 where none counts."""
    result = evaluate_kitti({"0": truth}, {"0": detections}, class_names=["Car"])
    return {r.difficulty: r.precision[0] if r.objects else -1 for r in result.per_class}


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        (row("Car", 0, 0, 100, 60), (1, 1, 1)),
        (row("Car", 0, 0, 100, 30), (-1, 1, 1)),
        (row("Car", 0, 0, 100, 24), (-1, -1, -1)),
        (row("Car", 0, 0, 100, 60, occluded=1), (-1, 1, 1)),
        (row("Car", 0, 0, 100, 60, occluded=2), (-1, -1, 1)),
        (row("Car", 0, 0, 100, 60, truncated=0.4), (-1, -1, 1)),
        (row("Van", 0, 0, 100, 60), (-1, -1, -1)),
    ],
)
def test_difficulties(truth: str, expected: tuple[float, float, float]) -> None:
    fields = truth.split()[4:8]
    assert tuple(evaluate([truth], [found("Car", *map(float, fields), 0.9)]).values()) == expected


@pytest.mark.parametrize(
    ("other", "precision"),
    [
        ([], 0.5),
        ([row("Van", 200, 0, 300, 60)], 1),
        ([row("Truck", 200, 0, 300, 60)], 0.5),
        ([row("DontCare", 150, 0, 400, 200)], 1),
        ([row("Car", 200, 0, 300, 60, occluded=3)], 1),
    ],
)
def test_what_takes_a_detection_without_counting(other: list[str], precision: float) -> None:
    car, better = row("Car", 0, 0, 100, 60), found("Car", 200, 0, 300, 60, 0.9)
    assert evaluate([car, *other], [better, found("Car", 0, 0, 100, 60, 0.8)])["easy"] == precision


def test_low_detections_of_any_class_are_ignored_but_may_take_an_object() -> None:
    car = row("Car", 0, 0, 100, 41)
    low = found("Pedestrian", 0, 0, 100, 39, 0.9)
    assert evaluate([car], [low])["easy"] == 0  # taken by a detection that doesn't count: no hit, no false positive
    assert evaluate([car], [low, found("Car", 0, 0, 100, 41, 0.95)])["easy"] == 1
    assert evaluate([car], [found("Pedestrian", 0, 0, 100, 41, 0.9)])["easy"] == 0


def test_nothing_to_find_and_nothing_found() -> None:
    result = evaluate_kitti({"0": []}, {}, class_names=["Car"])
    assert [(r.objects, r.ap_r40, r.ap_r11) for r in result.per_class] == [(0, -1, -1)] * 3
    result = evaluate_kitti({"0": [row("Car", 0, 0, 100, 60)]}, {}, class_names=["Car"])
    assert [(r.objects, r.ap_r40, r.ap_r11) for r in result.per_class] == [(1, 0, 0)] * 3
    with pytest.raises(ValueError, match="no image was given"):
        KittiEvaluator(["Car"]).compute()


def test_wrong_rows_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"labels of 7: line 2: .*3 columns, expected 15 or 16"):
        evaluate_kitti({"7": [row("Car", 0, 0, 9, 9), "Car 1 2"]}, {})
    with pytest.raises(ValueError, match=r"line 1: .*could not convert"):
        evaluate_kitti({"7": [row("Car", 0, 0, 9, 9).replace("0 0 -10 0", "x 0 -10 0")]}, {})
    with pytest.raises(ValueError, match=r"1 frames of the detections are not in the truth, e.g. '8'"):
        evaluate_kitti({"7": []}, {"8": []})
    with pytest.raises(ValueError, match=r"no .txt file here"):
        evaluate_kitti(tmp_path, tmp_path)
    (tmp_path / "0000.txt").write_text(f"0 1 {row('Car', 0, 0, 9, 9)}\nx\n")
    with pytest.raises(ValueError, match=r"0000.txt: row 2 does not begin with the number of a frame"):
        evaluate_kitti(tmp_path, tmp_path)


def test_a_big_validation_set_takes_seconds() -> None:
    """As many frames as the usual validation split, with 25 detections each; only that it ends soon is checked."""
    rng = np.random.default_rng(0)
    truth, detections = {}, {}
    for frame in range(3769):
        corners = rng.uniform(0, 1000, (8, 2)).round(1)
        boxes = np.hstack([corners, corners + rng.uniform(30, 200, (8, 2)).round(1)])
        truth[str(frame)] = [row("Car", *box) for box in boxes.tolist()]
        near = np.repeat(boxes, 3, axis=0) + rng.normal(0, 4, (24, 4)).round(1)
        detections[str(frame)] = [found("Car", *box, float(rng.random())) for box in near.tolist()]
    result = evaluate_kitti(truth, detections)
    assert result.per_class[2].objects > 20_000 and 0 < result.per_class[2].ap_r40 < 1
