"""COCO's figures against those of pycocotools, and what an evaluator promises besides."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from centernet.detections import Detections
from centernet.evaluation import CocoEvaluator, CocoResult, evaluate_coco

CASES = ("perfect", "noisy", "many", "empty")
PER_CLASS = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "ap_small": "APs", "ap_medium": "APm", "ap_large": "APl"}
PER_CLASS |= {"ar1": "AR1", "ar10": "AR10", "ar100": "AR100"}


def truth(image_id: int, *objects: Any) -> SimpleNamespace:
    """True objects, each (box, label) or (box, label, ignore)."""
    boxes = np.array([entry[0] for entry in objects], np.float32).reshape(-1, 4)
    return SimpleNamespace(
        image_id=image_id,
        boxes=boxes,
        labels=np.array([entry[1] for entry in objects], np.int64),
        ignore=np.array([len(entry) > 2 and entry[2] for entry in objects], np.bool_),
        areas=(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
    )


def found(*objects: tuple[list[float], int, float]) -> Detections:
    """Detections, each (box, label, score)."""
    if not objects:
        return Detections.empty()
    boxes, labels, scores = zip(*objects, strict=True)
    return Detections(np.array(boxes), np.array(labels), np.array(scores))


def assert_equal_to_pycocotools(result: CocoResult, expected: dict[str, Any], tolerance: float) -> None:
    names = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
    assert list(result.stats) == names
    assert list(result.stats.values()) == pytest.approx(expected["stats"], abs=tolerance)
    per_class = [expected["per_class"][key] for key in sorted(expected["per_class"], key=int)]
    assert len(per_class) == len(result.per_class)
    for of_class, figures in zip(result.per_class, per_class, strict=True):
        assert of_class.objects == figures["n_gt"]
        assert of_class.ap_by_iou == pytest.approx(figures["ap_by_iou"], abs=tolerance)
        assert (of_class.ap, of_class.stats["AP50"]) == pytest.approx((figures["ap"], figures["ap50"]), abs=tolerance)
        for key, name in PER_CLASS.items():
            assert of_class.stats[name] == pytest.approx(figures[key], abs=tolerance), (of_class.name, name)


@pytest.fixture(scope="module")
def oracle(shared: Path) -> Path:
    return shared / "data" / "oracles" / "detection"


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES)
def test_files_give_the_figures_of_pycocotools(oracle: Path, case: str) -> None:
    expected = read(oracle / "expected_pycocotools.json")[case]
    result = evaluate_coco(oracle / "gt.json", oracle / f"dets_{case}.json")
    assert_equal_to_pycocotools(result, expected, tolerance=1e-9)
    assert (result.images, result.objects) == (200, 1508)


def evaluators(oracle: Path, case: str, parts: int) -> list[CocoEvaluator]:
    """The images of a case, dealt out to evaluators as a distributed sampler does: the last are filled up again."""
    dataset, results = read(oracle / "gt.json"), read(oracle / f"dets_{case}.json")
    labels = {category["id"]: i for i, category in enumerate(sorted(dataset["categories"], key=lambda c: c["id"]))}
    parted = [CocoEvaluator([str(id_) for id_ in labels]) for _ in range(parts)]
    ids = [image["id"] for image in dataset["images"]]
    ids += ids[: -len(ids) % parts]

    def boxes(entries: list[dict[str, Any]]) -> np.ndarray:
        xywh = np.array([entry["bbox"] for entry in entries], np.float64).reshape(-1, 4)
        return np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]])

    for place, image_id in enumerate(ids):
        objects = [entry for entry in dataset["annotations"] if entry["image_id"] == image_id]
        hits = [entry for entry in results if entry["image_id"] == image_id]
        annotation = SimpleNamespace(
            image_id=image_id,
            boxes=boxes(objects).astype(np.float32),
            labels=np.array([labels[entry["category_id"]] for entry in objects], np.int64),
            ignore=np.array([entry["iscrowd"] for entry in objects], np.bool_),
            areas=np.array([entry["area"] for entry in objects], np.float32),
        )
        hit_labels = np.array([labels[entry["category_id"]] for entry in hits], np.int64)
        detections = Detections(boxes(hits), hit_labels, np.array([entry["score"] for entry in hits]))
        parted[place % parts].update(annotation, detections)
    return parted


@pytest.mark.parametrize("case", CASES)
def test_an_evaluator_gives_the_figures_of_pycocotools(oracle: Path, case: str) -> None:
    expected = read(oracle / "expected_pycocotools.json")[case]
    (evaluator,) = evaluators(oracle, case, parts=1)
    assert_equal_to_pycocotools(evaluator.compute(), expected, tolerance=1e-6)


def test_parts_from_several_processes_merge_to_the_whole(oracle: Path) -> None:
    (whole,) = evaluators(oracle, "noisy", parts=1)
    parts = [pickle.loads(pickle.dumps(part)) for part in evaluators(oracle, "noisy", parts=3)]
    assert sum(map(len, parts)) == 201  # 200 images dealt to three: one came twice
    for part in parts[1:]:
        parts[0].merge(part)
    assert len(parts[0]) == 200
    assert parts[0].compute() == whole.compute()
    with pytest.raises(ValueError, match="classes"):
        whole.merge(CocoEvaluator(["another"]))


def test_regions_to_ignore_cost_nothing() -> None:
    """Neither as objects that were missed nor by the detections in them; for any class where the label is -1."""
    objects = [([10, 10, 50, 50], 0), ([60, 60, 90, 90], 1)]
    hits = [([10, 10, 50, 50], 0, 0.5), ([60, 60, 90, 90], 1, 0.5)]
    outside = [([110.0, 10, 150, 50], 0, 0.9), ([115.0, 60, 140, 90], 1, 0.8), ([120.0, 100, 140, 120], 1, 0.7)]

    def average_precision(*regions: Any) -> float:
        evaluator = CocoEvaluator(["a", "b"])
        evaluator.update(truth(1, *objects, *regions), found(*hits, *outside))
        return evaluator.compute().stats["AP"]

    everything = [100.0, 0, 200, 200]
    assert average_precision() < 0.5
    assert average_precision((everything, 0, True)) < 0.75  # those of class 1 still count
    assert average_precision((everything, 0, True), (everything, 1, True)) == pytest.approx(1)
    assert average_precision((everything, -1, True)) == pytest.approx(1)


def test_an_image_without_objects_counts_its_false_positives() -> None:
    def average_precision(*images: tuple[Any, Detections]) -> float:
        evaluator = CocoEvaluator(["a"])
        for image in images:
            evaluator.update(*image)
        return evaluator.compute().stats["AP"]

    hit = truth(1, ([0, 0, 40, 40], 0)), found(([0, 0, 40, 40], 0, 0.5))
    assert average_precision(hit, (truth(2), found())) == pytest.approx(1)
    assert average_precision(hit, (truth(2), found(([5, 5, 9, 9], 0, 0.9)))) == pytest.approx(0.5)


def test_no_object_anywhere_is_minus_one_and_no_image_is_an_error() -> None:
    evaluator = CocoEvaluator(["a", "b"])
    with pytest.raises(ValueError, match="no image"):
        evaluator.compute()
    evaluator.update(truth(1), found(([5, 5, 9, 9], 0, 0.9)))
    assert set(evaluator.compute().stats.values()) == {-1.0}
    evaluator.update(truth(2, ([0, 0, 40, 40], 1)), found(([0, 0, 40, 40], 1, 0.5)))
    result = evaluator.compute()
    assert result.stats["AP"] == pytest.approx(1)  # class a, without objects, is in no mean
    assert result.per_class[0].stats["AP"] == -1


def test_labels_outside_the_classes_are_named() -> None:
    evaluator = CocoEvaluator(["a", "b"])
    with pytest.raises(ValueError, match=r"detections in image 7: .*0 … 1 \(2 classes\), row 1 is 2"):
        evaluator.update(truth(7), found(([0, 0, 1, 1], 1, 0.5), ([0, 0, 1, 1], 2, 0.5)))
    with pytest.raises(ValueError, match=r"truth of image 8: .*row 0 is -1"):
        evaluator.update(truth(8, ([0, 0, 1, 1], -1)), found())
    assert len(evaluator) == 0


def test_what_was_given_may_change_afterwards() -> None:
    evaluator = CocoEvaluator(["a"])
    image, detections = truth(1, ([0, 0, 40, 40], 0)), found(([0, 0, 40, 40], 0, 0.5))
    evaluator.update(image, detections)
    image.boxes[:] = 0
    detections.bboxes[:] = 0
    assert evaluator.compute().stats["AP"] == pytest.approx(1)


def test_the_table_shows_figures_and_classes() -> None:
    evaluator = CocoEvaluator(["cat", "a rather long name"])
    evaluator.update(truth(1, ([0, 0, 40, 40], 0)), found(([0, 0, 40, 40], 0, 0.5)))
    text = str(evaluator.compute())
    assert "1 images, 1 objects, 1 detections" in text
    rows = {tuple(line.split()) for line in text.splitlines()}
    assert ("cat", "1", "1.000", "1.000", "1.000") in rows
    assert ("a", "rather", "long", "name", "0", "–", "–", "–") in rows
    assert max(map(len, text.splitlines())) <= 80


def coco(**changes: Any) -> dict[str, Any]:
    annotation = {"id": 1, "image_id": "x", "category_id": 9, "bbox": [10, 10, 20, 30], "iscrowd": 0}
    base = {"images": [{"id": "x"}], "categories": [{"id": 9, "name": "cat"}], "annotations": [annotation]}
    return {**base, **changes}


HIT = {"image_id": "x", "category_id": 9, "bbox": [10, 10, 20, 30], "score": 0.5}


def test_ids_may_be_text_and_area_may_be_absent() -> None:
    result = evaluate_coco(coco(), [HIT])
    assert result.stats["AP"] == pytest.approx(1)
    assert (result.stats["APs"], result.stats["APm"]) == (pytest.approx(1), -1)  # 20 × 30 pixels are small
    assert result.per_class[0].name == "cat"


@pytest.mark.parametrize(
    ("detections", "message"),
    [
        ([{**HIT, "category_id": 8}], "1 entries have a category_id .* entry 0 with 8; listed are 9"),
        ([HIT, {**HIT, "image_id": "y"}], "entry 1 with 'y'"),
        ([HIT, {"image_id": "x"}], "entry 1 has no key 'category_id'"),
        ([{**HIT, "bbox": [1, 2, 3]}], "bbox: entry 0: expected 4 finite numbers"),
        ([{**HIT, "bbox": [1, 2, 3, float("nan")]}], "bbox: entry 0: expected 4 finite numbers"),
        ([{**HIT, "score": None}], "score: entry 0: expected a finite number, got None"),
        ({"detections": [HIT]}, "expected COCO.s list of results, .* got an object with detections"),
    ],
)
def test_wrong_detections_are_named(detections: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_coco(coco(), detections)


def test_wrong_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"truth\.json: not valid JSON"):
        evaluate_coco(path, [])
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(ValueError, match=r"truth\.json: expected COCO's form"):
        evaluate_coco(path, [])
    with pytest.raises(ValueError, match="0 images"):
        evaluate_coco(coco(images=[], annotations=[]), [])
    with pytest.raises(OSError, match="absent"):
        evaluate_coco(tmp_path / "absent.json", [])


@pytest.mark.parametrize(("flag", "objects"), [("0", 1), (0, 1), (False, 1), ("1", 0), (1, 0), (True, 0)])
def test_a_crowd_is_what_says_so(flag: Any, objects: int) -> None:
    dataset = {
        "images": [{"id": 1}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": flag}],
    }
    assert evaluate_coco(dataset, []).objects == objects


@pytest.mark.parametrize("flag", ["no", 2, None, [1], "false"])
def test_another_flag_is_an_error(flag: Any) -> None:
    dataset = {
        "images": [{"id": 1}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": flag}],
    }
    with pytest.raises(ValueError, match="iscrowd: entry 0: expected 0 or 1"):
        evaluate_coco(dataset, [])


def test_classes_of_a_detections_file_that_the_truth_lacks_are_left_out_with_a_warning(tmp_path: Path) -> None:
    dataset = {
        "images": [{"id": 7, "file_name": "a.jpg"}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [{"image_id": 7, "category_id": 3, "bbox": [0, 0, 9, 9]}],
    }
    rows = [{"image_id": 1, "category_id": kind, "bbox": [0, 0, 9, 9], "score": 0.9} for kind in (1, 2)]
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    content = {"images": [{"id": 1, "file_name": "b/a.jpg"}], "categories": categories, "annotations": rows}
    path = tmp_path / "detections.json"
    path.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match=r"the annotations .* left out: dog 1"):
        assert evaluate_coco(dataset, path).stats["AP"] == pytest.approx(1)
    path.write_text(json.dumps(content | {"images": [{"id": 1, "file_name": "c.jpg"}]}))
    with pytest.raises(ValueError, match=r"1 images are not among .* 'c\.jpg'"):
        evaluate_coco(dataset, path)
