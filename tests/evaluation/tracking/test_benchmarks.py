"""The rules of MOTChallenge and KITTI, against figures that TrackEval 1.3.0 computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centernet.evaluation.tracking import COMBINED, evaluate_tracking

CASES = (
    "mot15_perfect", "mot15_empty", "mot15_greedy", "mot15_greedy_switches", "mot15_shifted", "mot15_fragments",
    "mot15_false_positives", "mot15_offset_half", "mot17_greedy", "mot17_all_classes",
    "mot17_all_classes_without_preprocessing", "mot17_full_greedy", "mot17_full_all_classes", "mot16_full_all_classes",
    "mot16_kitti0019", "mot20_kitti0019", "kitti_perfect", "kitti_noisy",
)  # fmt: skip


@pytest.fixture(scope="module")
def oracle(shared: Path) -> dict[str, Any]:
    path = shared / "data/oracles/tracking/expected_trackeval_1.3.0.json"
    contents: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return contents


def lay_out(folder: Path, shared: Path, case: dict[str, Any]) -> Path:
    """The truth of a case in its benchmark's layout."""
    kitti = case["benchmark"] == "KITTI"
    if kitti:
        (folder / "label_02").mkdir(parents=True)
        rows = [f"{name} empty 000000 {frames:06d}\n" for name, frames in case["sequences"].items()]
        (folder / "evaluate_tracking.seqmap.training").write_text("".join(rows), encoding="utf-8")
    for name, frames in case["sequences"].items():
        source = shared / "data" / case["gt"].format(seq=name)
        if kitti:
            (folder / "label_02" / f"{name}.txt").symlink_to(source)
            continue
        (folder / name / "gt").mkdir(parents=True)
        (folder / name / "gt" / "gt.txt").symlink_to(source)
        (folder / name / "seqinfo.ini").write_text(f"[Sequence]\nname={name}\nseqLength={frames}\n", encoding="utf-8")
    return folder


def assert_equal(found: Any, expected: Any, where: str) -> None:
    for sequence, figures in expected.items():
        for name, value in figures.items():
            np.testing.assert_allclose(found[sequence][name], value, rtol=0, atol=1e-6, err_msg=f"{where} {name}")
    assert found.keys() == expected.keys()


@pytest.mark.parametrize("name", CASES)
def test_every_figure_is_trackeval_s(name: str, oracle: dict[str, Any], shared: Path, tmp_path: Path) -> None:
    case, expected = oracle["cases"][name], oracle["expected"][name]
    # The rules of MOT15 are: flag 0 does not count, nothing else. That is what "without preprocessing" means.
    rules = case["benchmark"].lower() if case["preprocessing"] else "mot15"
    result = evaluate_tracking(
        lay_out(tmp_path, shared, case), shared / "data/oracles/tracking" / case["results"], format=rules
    )
    classes = expected if rules == "kitti" else {"pedestrian": expected}
    assert result.classes.keys() == classes.keys()
    for class_name, sequences in classes.items():
        assert_equal(result.classes[class_name], sequences, f"{name} {class_name}")


def test_the_cases_are_all_there_are(oracle: dict[str, Any]) -> None:
    assert set(CASES) == set(oracle["cases"])


@pytest.mark.parametrize("name", ["mot15_greedy", "mot17_all_classes", "kitti_noisy"])
def test_the_rules_are_found_by_the_columns(name: str, oracle: dict[str, Any], shared: Path, tmp_path: Path) -> None:
    case = oracle["cases"][name]
    results = shared / "data/oracles/tracking" / case["results"]
    truth = lay_out(tmp_path, shared, case)
    found, told = (evaluate_tracking(truth, results, format=rules) for rules in (None, case["benchmark"].lower()))
    assert found == told


def test_mot20_is_told_by_its_name(oracle: dict[str, Any], shared: Path, tmp_path: Path) -> None:
    case = oracle["cases"]["mot20_kitti0019"]
    truth = shared / "data" / case["gt"].format(seq="KITTI-0019-as-MOT16")
    for name in ("MOT20-99", "MOT16-99"):
        (tmp_path / "gt" / name / "gt").mkdir(parents=True)
        (tmp_path / "gt" / name / "gt/gt.txt").symlink_to(truth)
        (tmp_path / f"{name}.txt").symlink_to(
            shared / "data/oracles/tracking" / case["results"] / f"{truth.parent.name}.txt"
        )
    sequences = evaluate_tracking(tmp_path / "gt", tmp_path).classes["pedestrian"]
    for name, expected in (("MOT20-99", "mot20_kitti0019"), ("MOT16-99", "mot16_kitti0019")):
        figures = oracle["expected"][expected]["COMBINED"]
        assert sequences[name]["MOTA"] == pytest.approx(figures["MOTA"], abs=1e-9)
    assert sequences["MOT20-99"]["Dets"] < sequences["MOT16-99"]["Dets"]  # results on vehicles are taken out


# One person in ten frames, and a car beside: class 3, flag 0, hardly visible in the last two frames.
PERSON = [(frame, 1, 100 + 2 * frame, 50, 40, 80, 1, 1, 0.1 if frame > 8 else 1.0) for frame in range(1, 11)]
CAR = [(frame, 2, 400, 50, 90, 60, 0, 3, 1.0) for frame in range(1, 11)]


def write(path: Path, rows: list[tuple[float, ...]], separator: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(separator.join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path


def results_of(rows: list[tuple[float, ...]], kind: int = -1) -> list[tuple[float, ...]]:
    return [(*row[:6], 0.9, kind, -1, -1) for row in rows]


def test_a_minimum_of_visibility_ignores_what_is_hidden(tmp_path: Path) -> None:
    truth = write(tmp_path / "street/gt/gt.txt", PERSON)
    missed = write(tmp_path / "missed.txt", results_of(PERSON[:8]))
    kept = write(tmp_path / "kept.txt", results_of(PERSON))
    assert evaluate_tracking(truth, missed).stats["MOTA"] == pytest.approx(0.8)
    for found in (missed, kept):  # a miss of a hidden person is none, and to track it is no false positive
        stats = evaluate_tracking(truth, found, min_visibility=0.2).stats
        assert (stats["MOTA"], stats["GT_Dets"], stats["Dets"]) == (1, 8, 8)


@pytest.mark.parametrize("class_names", [None, ["vehicle", "person"], ["vehicle"]])
def test_a_sequence_s_own_classes(tmp_path: Path, class_names: list[str] | None) -> None:
    renamed = [(*row[:6], 1, 2 if row[7] == 1 else 1, 1) for row in PERSON + CAR]
    write(tmp_path / "gt/street/gt/gt.txt", renamed)
    (tmp_path / "gt/street/gt/labels.txt").write_text("vehicle\nperson\n", encoding="utf-8")
    # The car is found throughout, the person in half of the frames.
    write(tmp_path / "street.txt", results_of(CAR, 1) + results_of(PERSON[:5], 2))
    result = evaluate_tracking(tmp_path / "gt", tmp_path / "street.txt", class_names=class_names)
    found = {name: sequences[COMBINED]["MOTA"] for name, sequences in result.classes.items()}
    expected = {"vehicle": 1.0, "person": 0.5}
    assert found == {name: expected[name] for name in class_names or ("vehicle", "person")}


def test_results_without_a_class_where_there_are_several(tmp_path: Path) -> None:
    write(tmp_path / "street/gt/gt.txt", PERSON)
    (tmp_path / "street/gt/labels.txt").write_text("person\nvehicle\n", encoding="utf-8")
    found = write(tmp_path / "found.txt", results_of(PERSON))
    assert evaluate_tracking(tmp_path / "street", found, class_names=["person"]).stats["MOTA"] == 1
    with pytest.raises(ValueError, match=r"found\.txt: line 1: expected the class, from 1, in column 8"):
        evaluate_tracking(tmp_path / "street", found)


def test_unknown_classes_are_named(tmp_path: Path, shared: Path) -> None:
    folder = shared / "data/oracles/tracking"
    with pytest.raises(ValueError, match="class_names has 'boat', but the classes there are car, van"):
        evaluate_tracking(folder / "gt/kitti_label_02", folder / "results/kitti_noisy", class_names=["boat"])
    one = evaluate_tracking(folder / "gt/kitti_label_02", folder / "results/kitti_noisy", class_names=["Car"])
    assert list(one.classes) == ["car"]


def test_the_order_of_rows_does_not_matter(shared: Path, tmp_path: Path) -> None:
    truth = shared / "data/mot/original/TUD-Campus/gt.txt"
    results = shared / "data/oracles/tracking/results/mot15_greedy_switches/TUD-Campus.txt"
    rows = results.read_text(encoding="utf-8").splitlines()
    np.random.default_rng(0).shuffle(rows)
    shuffled = tmp_path / "TUD-Campus.txt"
    shuffled.write_text("\n".join(rows), encoding="utf-8")
    assert evaluate_tracking(truth, shuffled).stats == pytest.approx(evaluate_tracking(truth, results).stats)
