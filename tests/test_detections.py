"""The result type: what it accepts, what it refuses and with which row, and its forms for other tools."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet import detections
from centernet.detections import Column, Detections

NAMES = ("cat", "dog", "bird")


def three(**changes: Any) -> Detections:
    values: dict[str, Any] = {
        "bboxes": [[0, 0, 10, 20], [5, 5, 6, 9], [1, 2, 1, 2]],
        "labels": [2, 0, 1],
        "scores": [0.9, 0.5, 0.25],
        "class_names": NAMES,
    }
    return Detections(**(values | changes))


def test_lists_become_arrays_of_the_stated_types() -> None:
    found = three(embeddings=[[1, 2], [3, 4], [5, 6]], track_ids=[7, 8, 9])
    assert (found.bboxes.dtype, found.bboxes.shape) == (np.float32, (3, 4))
    assert (found.labels.dtype, found.scores.dtype) == (np.int64, np.float32)
    assert found.embeddings is not None and found.embeddings.shape == (3, 2) and found.embeddings.dtype == np.float32
    assert found.track_ids is not None and found.track_ids.dtype == np.int64
    assert len(found) == 3 and found.names == ["bird", "cat", "dog"]


def test_no_objects() -> None:
    for none in (Detections.empty(NAMES), Detections([], [], [], class_names=NAMES), three()[[]]):  # type: ignore[arg-type]
        assert len(none) == 0 and none.bboxes.shape == (0, 4) and none.class_names == NAMES
        assert none.names == [] and none.to_coco(1) == []
        assert len(none.filter(score_threshold=0.5)) == 0
    assert Detections([], [], [], embeddings=np.zeros((0, 8)), track_ids=[]).embeddings.shape == (0, 8)  # type: ignore


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        (0, [0]),
        (-1, [2]),
        (np.int64(1), [1]),
        (slice(1, None), [1, 2]),
        ([2, 0], [2, 0]),
        (np.array([True, False, True]), [0, 2]),
        ([False, False, True], [2]),
        ([], []),
        (np.zeros(3, bool), []),
    ],
)
def test_indexing_keeps_every_column_together(index: Any, rows: list[int]) -> None:
    found = three(embeddings=[[1], [2], [3]], track_ids=[7, 8, 9])
    some = found[index]
    assert isinstance(some, Detections) and some.class_names == NAMES
    for key in ("bboxes", "labels", "scores", "embeddings", "track_ids"):
        np.testing.assert_array_equal(getattr(some, key), getattr(found, key)[rows])


def test_indices_beyond_the_end_are_errors() -> None:
    with pytest.raises(IndexError):
        three()[3]
    with pytest.raises(IndexError):
        three()[np.array([True, False])]


def test_filtering_by_score_and_label() -> None:
    assert three().filter(score_threshold=0.5).names == ["bird", "cat"]
    assert three().filter(labels=[0, 1]).names == ["cat", "dog"]
    assert three().filter(score_threshold=0.5, labels=[2]).names == ["bird"]
    assert len(three().filter(labels=[])) == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"bboxes": [[0, 0, 1, 1], [5, 5, 4, 9], [0, 0, 1, 1]]}, r"bboxes: .*row 1 is \[5.0, 5.0, 4.0, 9.0\]"),
        ({"bboxes": [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, np.nan, 1]]}, r"bboxes: .*finite.*row 2"),
        ({"bboxes": [[0, 0, 1, 1, 0.9]] * 3}, r"bboxes: expected the shape N×4, got \(3, 5\)"),
        ({"bboxes": [0, 0, 1, 1]}, r"bboxes: expected the shape N×4"),
        ({"labels": [0, 1]}, "labels: expected 3 rows"),
        ({"labels": [0, 3, 1]}, r"labels: expected 0\.\.2.*row 1 is 3"),
        ({"labels": [0, -1, 1], "class_names": ()}, "labels: .*row 1 is -1"),
        ({"labels": [0, 0.5, 1]}, "labels: expected whole numbers"),
        ({"scores": [[0.1], [0.2], [0.3]]}, r"scores: expected the shape N, got \(3, 1\)"),
        ({"scores": [0.1, np.inf, 0.2]}, "scores: .*row 1"),
        ({"embeddings": [[1.0]]}, "embeddings: expected 3 rows"),
        ({"track_ids": [1]}, "track_ids: expected 3 rows"),
    ],
)
def test_what_is_wrong_is_named_with_its_row(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        three(**changes)


def test_without_class_names_labels_are_their_own_names() -> None:
    assert three(class_names=()).names == ["2", "0", "1"]


def test_coco_rows_have_left_top_width_height() -> None:
    rows = three(track_ids=[7, 8, 9]).to_coco(42)
    assert rows[0] == {"image_id": 42, "category_id": 3, "bbox": [0, 0, 10, 20], "score": 0.9, "track_id": 7}
    assert [row["category_id"] for row in three().to_coco(1, {0: 17, 1: 18, 2: 16})] == [16, 17, 18]
    assert [row["category_id"] for row in three().to_coco(1, [17, 18, 16])] == [16, 17, 18]
    assert "track_id" not in three().to_coco(1)[0]


def test_coco_rows_are_read_by_a_coco_library(tmp_path: Path) -> None:
    coco_tools = pytest.importorskip("pycocotools.coco")
    truth = coco_tools.COCO()
    truth.dataset = {
        "images": [{"id": 42, "height": 50, "width": 50}],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(NAMES)],
        "annotations": [],
    }
    truth.createIndex()
    loaded = truth.loadRes(three().to_coco(42))
    assert [truth.cats[row["category_id"]]["name"] for row in loaded.anns.values()] == three().names


def test_supervision_gets_the_same_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = types.ModuleType("supervision")
    fake.Detections = lambda **columns: columns  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "supervision", fake)
    found = three(track_ids=[7, 8, 9])
    columns = found.to_supervision()
    np.testing.assert_array_equal(columns["xyxy"], found.bboxes)
    np.testing.assert_array_equal(columns["tracker_id"], [7, 8, 9])
    assert columns["data"]["class_name"].tolist() == found.names


POSE = Column("pose", "points", (2, 3))


def with_columns() -> Detections:
    data = {"pose": np.arange(18.0).reshape(3, 2, 3), "age": [30, np.nan, 50], "sits": [True, False, True]}
    columns = [POSE, Column("age", "value")]
    return three(columns=columns, data=data, embeddings=np.eye(3, 8), track_ids=[7, 8, 9])


def test_columns_are_sliced_merged_compared_and_kept() -> None:
    found = with_columns()
    assert [column.name for column in found.columns] == ["pose", "age", "embeddings", "sits"]
    assert found.columns[3] == Column("sits", "value", (), "bool"), "described by its array"
    assert found.columns[2] == Column("embeddings", "vector", (8,))
    np.testing.assert_array_equal(found[[2, 0]].data["pose"], found.data["pose"][[2, 0]])
    assert found == with_columns() and found != found[::-1] and found != three() and found != 3
    assert Detections.merge([found[:1], found[:0], Detections.empty(), found[1:]]) == found
    assert len(Detections.merge([])) == 0 and Detections.merge([found[:0]]).columns == found.columns
    assert replace(found, labels=[0, 0, 0]).data == found.data
    with pytest.raises(ValueError, match="merge: expected parts of one form"):
        Detections.merge([found, three()])


def test_iterating_gives_a_record_of_each_object() -> None:
    records = list(with_columns())
    assert [(one.name, one.label, one.track_id) for one in records] == [("bird", 2, 7), ("cat", 0, 8), ("dog", 1, 9)]
    assert records[0].score == pytest.approx(0.9) and records[0].bbox.tolist() == [0, 0, 10, 20]
    assert records[1].data["pose"].tolist() == [[6, 7, 8], [9, 10, 11]] and records[0].data["age"] == 30
    assert [one.track_id for one in three()] == [None] * 3 and list(three()[:0]) == []


def test_coco_rows_have_all_columns_but_vectors() -> None:
    first, second, _ = with_columns().to_coco(1)
    assert first["pose"] == [0, 1, 2, 3, 4, 5] and first["age"] == 30 and first["sits"] is True
    assert second["age"] is None and "embeddings" not in first, "JSON has no NaN"
    json.dumps([first, second], allow_nan=False)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("bboxes", "value"), "'bboxes': expected a name"),
        (("my age", "value"), "'my age': expected a name"),
        (("age", "number"), "expected one of the kinds"),
        (("age", "value", (), "float16"), "of the types"),
        (("pose", "points", (1,)), "x y"),
        (("pose", "points", (2,), "int64"), "float32"),
        (("part", "boxes"), "x1 y1 x2 y2"),
    ],
)
def test_columns_that_cannot_be_are_named(settings: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Column(*settings)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": {"pose": np.zeros((3, 2))}, "columns": [POSE]}, r"pose: expected the shape N×2×3, got \(3, 2\)"),
        ({"data": {"pose": np.zeros((2, 2, 3))}, "columns": [POSE]}, "pose: expected 3 rows"),
        ({"columns": [POSE]}, "got none for pose"),
        ({"embeddings": [1, 2, 3]}, r"embeddings: expected the shape N×D, got \(3,\)"),
    ],
)
def test_data_that_is_no_column_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        three(**changes)


def test_without_supervision_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match="pip install supervision"):
        three().to_supervision()


def test_detections_need_no_torch() -> None:
    code = "import sys; from centernet.detections import Detections; sys.exit('torch' in sys.modules)"
    source = str(Path(detections.__file__).parents[1])
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": source})


def sample(**columns: object) -> Detections:
    rows = {"class_names": ("cat", "dog"), "track_ids": [3, 9]} | columns
    return Detections([[2, 3, 12.5, 13], [20, 30, 45, 50]], [1, 0], [0.75, 0.5], **rows)  # type: ignore[arg-type]


def test_results_as_dictionaries_and_json() -> None:
    pose = Column("pose", "points", (2, 2))
    found = sample(columns=[pose], data={"pose": [[[1, 2], [np.nan, 4]]] * 2})
    content = json.loads(found.to_json())
    assert content == found.to_dict()
    assert content["bboxes"] == [[2, 3, 12.5, 13], [20, 30, 45, 50]] and content["names"] == ["dog", "cat"]
    assert content["pose"][0] == [[1, 2], [None, 4]] and content["track_ids"] == [3, 9]
    lists = {key: values for key, values in content.items() if key not in ("names", "pose")}
    assert Detections(**lists) == sample(), "what is written makes them again"
    assert json.loads(Detections.empty().to_json())["bboxes"] == []
    assert "犬" in Detections([[0, 0, 1, 1]], [0], [1], class_names=["犬"]).to_json()  # type: ignore[arg-type]


@pytest.mark.parametrize("category_ids", [None, [18, 17], {0: 5, 1: 2}])
def test_coco_s_rows_there_and_back(category_ids: Any) -> None:
    columns = [Column("pose", "points", (2, 2)), Column("age", "value")]
    found = sample(columns=columns, data={"pose": [[[1, 2], [3, 4]]] * 2, "age": [7, 8]})
    rows = found.to_coco(12, category_ids)
    assert Detections.from_coco(rows, ("cat", "dog"), category_ids, columns) == found
    assert Detections.from_coco([], ("cat",)) == Detections.empty(("cat",))


def test_coco_s_annotations_have_no_scores_and_wrong_rows_are_named() -> None:
    row = {"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "iscrowd": 0, "segmentation": [[1, 2]]}
    found = Detections.from_coco([row])
    assert found.scores.tolist() == [1] and found.labels.tolist() == [1] and found.bboxes.tolist() == [[1, 2, 4, 6]]
    with pytest.raises(ValueError, match="one image, got image_id 1, 2"):
        Detections.from_coco([row, row | {"image_id": 2}])
    with pytest.raises(ValueError, match="row 0 has category_id 2, expected one of 7, 9"):
        Detections.from_coco([row], category_ids=[7, 9])


def supervisions(**columns: Any) -> types.SimpleNamespace:
    """Return what `supervision.Detections` holds; what isn't given is None there, but for data."""
    return types.SimpleNamespace(**{"class_id": None, "confidence": None, "tracker_id": None, "data": {}} | columns)


def test_supervision_there_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = types.ModuleType("supervision")
    fake.Detections = supervisions  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "supervision", fake)
    found = sample(embeddings=[[1, 2], [3, 4]], data={"age": [3, 4]})
    assert Detections.from_supervision(found.to_supervision(), ("cat", "dog")) == found
    again = Detections.from_supervision(found.to_supervision())
    assert again.class_names == ("cat", "dog") and again == found
    plain = Detections.from_supervision(supervisions(xyxy=np.array([[0, 0, 5, 5.0]])))
    assert plain.scores.tolist() == [1] and plain.labels.tolist() == [0] and plain.class_names == ()
    assert len(Detections.from_supervision(supervisions(xyxy=np.empty((0, 4))))) == 0
    data = {"class_name": ["x"], "source": ["a.jpg"]}
    gaps = supervisions(xyxy=np.array([[0, 0, 5, 5.0]]), class_id=np.array([2]), data=data)
    assert Detections.from_supervision(gaps).class_names == ("0", "1", "x")


def test_crops_are_the_pixels_of_the_objects() -> None:
    image = np.arange(60 * 80 * 3, dtype=np.uint8).reshape(60, 80, 3)
    first, second = sample().crop(image)
    np.testing.assert_array_equal(first, image[3:13, 2:13])
    np.testing.assert_array_equal(second, image[30:50, 20:45])
    first[:] = 0
    assert image.any(), "copies"
    outside = Detections([[100, 100, 120, 120], [-9, -9, -1, -1], [79.9, 59.9, 90, 90]], [0] * 3, [1] * 3)  # type: ignore[arg-type]
    assert [crop.shape[:2] for crop in outside.crop(image)] == [(0, 0), (0, 0), (1, 1)]
    assert sample().crop(Image.fromarray(image))[0].shape == (10, 11, 3)


def test_drawings_of_results(tmp_path: Path) -> None:
    image = np.full((60, 80, 3), 90, np.uint8)
    drawn = sample().plot(image)
    assert (drawn != image).any() and (image == 90).all()
    np.testing.assert_array_equal(sample().plot(Image.fromarray(image)), drawn)
    assert (sample().plot(image, labels=["none"]) != drawn).any()
    for name in ("out/a.png", "out/a.jpg", "out/b.json"):
        assert sample().save(tmp_path / name, image) == tmp_path / name
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "out/a.png")), drawn)
    assert json.loads((tmp_path / "out/b.json").read_text()) == sample().to_dict()
    with pytest.raises(ValueError, match=r"give the image, too"):
        sample().save(tmp_path / "c.png")
    with pytest.raises(ValueError, match=r"read_image"):
        sample().plot("photo.jpg")
    with pytest.raises(ValueError, match=r"\.nothing"):
        sample().save(tmp_path / "c.nothing", image)
    assert not (tmp_path / "c.nothing").exists()
