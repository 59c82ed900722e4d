"""Data sets of unlabelled images: boxes of models and files, regions to ignore, boxes that are there already."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from centernet.annotations.problems import DataError
from centernet.data import COCO, VOC, YOLO, DetectionDataset
from centernet.data.columns import Columns
from centernet.images import Preprocessing
from centernet.inference import Detector, SourceError
from centernet.inference.labelling import RECORD, label_images
from centernet.inference.teachers import _View
from centernet.skeleton import COCO_PERSON

BOXES = [(10, 20, 60, 80), (40, 10, 150, 50), (100, 60, 140, 110), (5, 5, 155, 115), (70, 70, 90, 100)]
Row = tuple[int, str, Sequence[float], float]
Write = Callable[..., Path]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three black images of 100×100."""
    (tmp_path / "black").mkdir()
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"black/{i}.png"), np.zeros((100, 100, 3), np.uint8))
    return tmp_path / "black"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write detections of `photos` as `centernet detect` does: image, class, x1 y1 x2 y2, score."""

    def call(
        name: str, rows: Sequence[Row], class_names: Sequence[str] = (), images: Sequence[int] = (0, 1, 2)
    ) -> Path:
        names = list(dict.fromkeys([*class_names, *(kind for _, kind, _, _ in rows)]))
        found = [
            {"image_id": i, "category_id": names.index(kind), "bbox": [x, y, x2 - x, y2 - y], "score": score}
            for i, kind, (x, y, x2, y2), score in rows
        ]
        content = {
            "images": [{"id": i, "file_name": f"{i}.png"} for i in images],
            "categories": [{"id": i, "name": kind} for i, kind in enumerate(names)],
            "annotations": found,
        }
        (tmp_path / name).write_text(json.dumps(content))
        return tmp_path / name

    return call


def read(output: Path) -> list[list[tuple[str, list[int], bool]]]:
    """Class, corners and whether it is to be ignored of each box of each image."""
    dataset = COCO(output / "annotations_train.json", strict=True)
    assert all(dataset.path(i).is_file() for i in range(len(dataset)))
    truths = map(dataset.annotation, range(len(dataset)))
    return [
        [
            (dataset.class_names[label], box, ignore)
            for label, box, ignore in zip(
                t.labels.tolist(), t.boxes.round().astype(int).tolist(), t.ignore, strict=True
            )
        ]
        for t in truths
    ]


# ---------------------------------------------------------------------- models


def test_boxes_become_a_data_set(runtime: Any, folder: Path, tmp_path: Path) -> None:
    result = label_images(folder, runtime, tmp_path / "out", threshold=0.5)
    dataset = COCO(tmp_path / "out/annotations_train.json", strict=True)
    assert [dataset.path(i).name for i in range(5)] == [f"scene_{i}.png" for i in range(5)]
    assert dataset.path(0).is_symlink() and dataset.class_names == ("white", "other")
    for i, box in enumerate(BOXES):
        truth = dataset.annotation(i)
        np.testing.assert_allclose(truth.boxes, [box], atol=1)
        assert truth.labels.tolist() == [0] and not truth.ignore.any()
    assert (result.images, dict(result.objects), result.ignored, result.skipped) == (5, {"white": 5}, 0, 0)
    assert str(result) == "5 images, 5 objects (5 white), 0 regions to ignore, 0 skipped"
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert [list(row.values()) for row in record["classes"]] == [["white", 0.5, 0.25, 5], ["other", 0.5, 0.25, 0]]


def test_all_views_agree_where_an_object_is(runtime: Any, folder: Path, tmp_path: Path) -> None:
    """A mirrored box that did not come back, or one in pixels of another input, lies elsewhere and halves a score."""
    options: dict[str, Any] = {"flip": True, "sizes": [(96, 128), 64, 256], "batch_size": 2}
    label_images(folder, runtime, tmp_path / "out", threshold=0.85, **options)
    assert {shape[1:3] for shape in runtime.batches} == {(96, 128), (64, 64), (256, 256)}
    found = read(tmp_path / "out")
    assert [len(boxes) for boxes in found] == [1] * 5
    np.testing.assert_allclose([boxes[0][1] for boxes in found], BOXES, atol=2)
    label_images(folder, Detector(runtime), tmp_path / "again", threshold=0.85, **options)
    written = [(tmp_path / name / "annotations_train.json").read_text() for name in ("out", "again")]
    assert written[0] == written[1]


def test_a_mirrored_view_sees_the_mirrored_image(runtime: Any) -> None:
    view = pickle.loads(pickle.dumps(_View(runtime, None, True)))
    image = np.zeros((1, 96, 128, 3), np.uint8)
    image[:, 20:40, 10:30] = 255
    seen: list[np.ndarray] = []
    view.runtime = lambda images, count: (seen.append(images), runtime(images, count))[1]
    np.testing.assert_array_equal(view(image, 1)["bboxes"], [[[10, 20, 30, 40]]])
    assert seen[0][0, 30, 100].all() and not seen[0][0, 30, 20].any()


def test_sizes_where_the_input_has_one(runtime: Any, folder: Path, tmp_path: Path) -> None:
    def fixed(images: np.ndarray, count: int) -> dict[str, Any]:
        raise RuntimeError("got 64, expected 96")

    runtime.preprocessing = Preprocessing((96, 128), "keep")
    with pytest.raises(ValueError, match="FindWhite: cannot be run at 64×64, as it takes images in their own size"):
        label_images(folder, runtime, tmp_path / "out", sizes=[64])
    fixed.preprocessing, fixed.class_names = Preprocessing((96, 128)), ("a",)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"one size \(got 64, expected 96\); leave --sizes"):
        label_images(folder, fixed, tmp_path / "out", sizes=[64])
    assert not (tmp_path / "out").exists()


def test_thresholds_are_the_model_s_own(runtime: Any, folder: Path, tmp_path: Path) -> None:
    runtime.score_threshold = 0.95
    result = label_images(folder, runtime, tmp_path / "out")
    assert not result.objects and result.ignored == 5  # .9 is above the half
    result = label_images(folder, runtime, tmp_path / "none", ignore_threshold=0.95)
    assert result.images == 5 and result.ignored == 0


def test_frames_of_a_video(runtime: Any, tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for box in BOXES:
        image = np.zeros((120, 160, 3), np.uint8)
        image[box[1] : box[3], box[0] : box[2]] = 255
        video.write(image)
    video.release()
    label_images(path, runtime, tmp_path / "out", threshold=0.5)
    found = read(tmp_path / "out")
    np.testing.assert_allclose([boxes[0][1] for boxes in found], BOXES, atol=3)
    names = [path.name for path in sorted((tmp_path / "out/images").iterdir())]
    assert names == [f"clip_{i:06d}.jpg" for i in range(5)]
    assert not list(tmp_path.glob("out-frames*")), "the store of frames is left behind"


# ---------------------------------------------------------------------- what becomes of boxes


A, NEAR_A, B, C = (10, 10, 50, 50), (11, 10, 53, 50), (60, 10, 90, 50), (10, 60, 40, 90)


@pytest.mark.parametrize(
    ("rows", "options", "expected"),
    [
        ([("cat", A, 0.5), ("cat", B, 0.49), ("cat", C, 0.19)], {}, [("cat", A, False), ("cat", B, True)]),
        ([("cat", A, 0.8), ("cat", NEAR_A, 0.4)], {}, [("cat", A, False)]),  # the same object again
        ([("cat", A, 0.8), ("dog", NEAR_A, 0.4)], {}, [("cat", A, False), ("dog", NEAR_A, True)]),
        ([("cat", A, 0.8), ("dog", A, 0.7)], {}, [("cat", A, False), ("dog", A, True)]),  # one object, two classes
        (
            [("cat", A, 0.4), ("dog", B, 0.4)],
            {"threshold": {"cat": 0.3, "other": 0.9}, "ignore_threshold": {"dog": 0.5, "other": 0.1}},
            [("cat", A, False)],
        ),
        ([("cat", A, 0.8), ("dog", B, 0.8)], {"classes": ["dog"]}, [("dog", B, False)]),
        ([("cat", (-20, 90, 300, 300), 0.8)], {}, [("cat", (0, 90, 100, 100), False)]),
        ([("cat", (120, 10, 140, 20), 0.8), ("cat", (5, 5, 5.5, 50), 0.8)], {}, []),  # outside; thinner than a pixel
        ([("tvmonitor", A, 0.8)], {"classes": ["TV"]}, [("TV", A, False)]),
    ],
)
def test_sure_uncertain_and_left_out(
    photos: Path, write: Write, tmp_path: Path, rows: Any, options: dict[str, Any], expected: Any
) -> None:
    path = write("found.json", [(0, *row) for row in rows], ["cat", "dog"])
    label_images(photos, path, tmp_path / "out", **({"threshold": 0.5, "ignore_threshold": 0.2} | options))
    assert [(name, tuple(box), bool(ignore)) for name, box, ignore in read(tmp_path / "out")[0]] == expected


def test_several_sources_are_fused(photos: Path, write: Write, tmp_path: Path) -> None:
    """Two know the sofa, one alone the cup; the third has not looked at the last image."""
    voc = write("voc.json", [(0, "sofa", A, 0.8), (1, "sofa", A, 0.8), (2, "sofa", A, 0.8)])
    coco = write("coco.json", [(0, "couch", NEAR_A, 0.8), (0, "cup", C, 0.8)], images=[0, 1])
    result = label_images(photos, [voc, coco], tmp_path / "out", threshold=0.5, ignore_threshold=0.2)
    middle = [round((a + b) / 2) for a, b in zip(A, NEAR_A, strict=True)]
    first, second, third = read(tmp_path / "out")
    assert [(name, ignore) for name, _, ignore in first] == [("sofa", False), ("cup", False)]
    np.testing.assert_allclose(first[0][1], middle, atol=1)
    assert second == [("sofa", list(A), True)]  # one of two: .4
    assert third == [("sofa", list(A), False)]
    assert any("couch as sofa" in note for note in result.notes)
    assert any("voc.json: does not know cup" in note for note in result.notes)
    label_images(photos, [voc, coco], tmp_path / "heavy", threshold=0.5, weights=[3, 1])
    assert read(tmp_path / "heavy")[1] == [("sofa", list(A), False)]  # 3 of 4: .6


def test_numbers_get_their_names_from_annotations(photos: Path, tmp_path: Path) -> None:
    rows = [{"image_id": 7, "category_id": 90, "bbox": [10, 10, 40, 40], "score": 0.9}]
    (tmp_path / "results.json").write_text(json.dumps(rows))
    listed = {"images": [{"id": 7, "file_name": "1.png"}, {"id": 8, "file_name": "2.png"}]}
    listed |= {"categories": [{"id": 90, "name": "cat"}, {"id": 91, "name": "dog"}], "annotations": []}
    (tmp_path / "annotations.json").write_text(json.dumps(listed))
    with pytest.raises(DataError, match=r"classes are numbers \(90 …\) without names; .*--annotations"):
        label_images(photos, tmp_path / "results.json", tmp_path / "out")
    result = label_images(
        photos, tmp_path / "results.json", tmp_path / "out", annotations=tmp_path / "annotations.json"
    )
    assert read(tmp_path / "out") == [[("cat", list(A), False)], []]
    assert result.class_names == ["cat", "dog"] and result.skipped == 1 and "do not speak of" in result.notes[-1]


# ---------------------------------------------------------------------- boxes that are there


@pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")
def test_genuine_boxes_stay(photos: Path, write: Write, tmp_path: Path) -> None:
    genuine = [(0, "sofa", A, 1.0), (0, "cat", C, 1.0)]
    path = write("voc.json", genuine, ["sofa", "cat"], images=[0, 1])
    kept = COCO(path, photos)
    found = [
        *((i, "couch", B, 0.9) for i in range(3)),  # classes that are annotated: only where nobody looked
        *((i, "cup", B, 0.9) for i in range(3)),
        (0, "bed", A, 0.9),  # the sofa again, by another name
    ]
    models = write("coco.json", found, ["couch", "cup", "bed"])
    result = label_images(photos, models, tmp_path / "out", keep=kept, threshold=0.5)
    first, second, third = read(tmp_path / "out")
    assert first == [
        ("sofa", list(A), False), ("cat", list(C), False), ("cup", list(B), False), ("bed", list(A), True)
    ]  # fmt: skip
    assert second == [("cup", list(B), False)]
    assert third == [("sofa", list(B), False), ("cup", list(B), True)]  # nobody has looked: one object, two classes
    assert result.class_names == ["sofa", "cat", "cup", "bed"] and result.kept == (2, 2)


def test_keypoints_of_a_model_and_of_genuine_boxes(shared: Path, tmp_path: Path) -> None:
    """Photographs that nobody has labelled get the model's, and of one that is labelled the people's own stay."""
    folder = shared / "data/coco"
    truth = COCO(folder / "person_keypoints.json", folder / "images", subset=folder / "val2017.txt")
    posed = [i for i in range(len(truth)) if (truth.annotation(i).data["keypoints"][..., 2] > 0).any()][:2]
    paths = [truth.path(i) for i in posed]
    kept = DetectionDataset(
        truth.class_names, Columns.of([truth.annotation(posed[0])], truth.fields), fields=truth.fields
    )
    result = label_images(paths, "person-pose", tmp_path / "out", threshold=0.3, keep=kept)
    labelled = COCO(tmp_path / "out/annotations_train.json", strict=True)
    assert labelled.fields[0].skeleton == COCO_PERSON and not [note for note in result.notes if "keypoints" in note]
    first, second = (labelled.annotation(i) for i in range(2))
    np.testing.assert_allclose(first.data["keypoints"], truth.annotation(posed[0]).data["keypoints"], atol=0.01)
    found = Detector("person-pose", score_threshold=0.3)(paths[1])
    assert found.keypoints is not None and len(found)
    sure = found.keypoints[..., 2] >= 0.1
    points = second.data["keypoints"]
    np.testing.assert_array_equal(points[~second.ignore][..., 2], 2.0 * sure)
    np.testing.assert_allclose(points[~second.ignore][sure][:, :2], found.keypoints[sure][:, :2], atol=0.01)
    assert not points[second.ignore].any()
    result = label_images(paths, "person-pose", tmp_path / "two", flip=True)
    assert any("keypoints of person-pose are left out" in note for note in result.notes)


@pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")
def test_genuine_regions_to_ignore_and_areas_stay(photos: Path, write: Write, tmp_path: Path) -> None:
    kept = COCO(write("voc.json", [(0, "cat", A, 1.0), (0, "cat", B, 1.0)]), photos)
    columns = replace(kept.columns, ignore=np.array([True, False]), areas=np.array([5.0, 6.0], np.float32))
    data = DetectionDataset(kept.class_names, columns)
    label_images(photos, write("found.json", [(0, "cup", C, 0.9)]), tmp_path / "out", keep=[data])
    truth = COCO(tmp_path / "out/annotations_train.json").annotation(0)
    assert truth.ignore.tolist() == [True, False, False] and truth.areas.tolist() == [5, 6, 900]


@pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")
def test_of_data_sets_that_overlap_each_box_comes_once(photos: Path, write: Write, tmp_path: Path) -> None:
    """As VOC's lists train and trainval do; another data set may annotate other classes of the same images."""
    sets = [[(0, "cat", A, 1.0)], [(0, "cat", A, 1.0), (1, "cat", A, 1.0)], [(0, "cup", B, 1.0)]]
    kept = [COCO(write(f"{i}.json", rows, images=range(i + 1)), photos) for i, rows in enumerate(sets)]
    found = write("found.json", [(0, "cup", C, 0.9), (0, "bed", C, 0.8)])
    result = label_images(photos, found, tmp_path / "out", keep=kept)
    assert read(tmp_path / "out")[0] == [("cat", list(A), False), ("cup", list(B), False), ("bed", list(C), False)]
    assert result.kept == (3, 2 + 1)


# ---------------------------------------------------------------------- images


def test_a_bad_image_ends_nothing(runtime: Any, folder: Path, tmp_path: Path) -> None:
    whole = (folder / "scene_1.png").read_bytes()
    (folder / "scene_1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "scene_3.png").write_bytes(b"no image")
    told: list[str] = []
    result = label_images(
        folder, runtime, tmp_path / "out", threshold=0.5, flip=True, on_error=lambda error: told.append(str(error))
    )
    assert result.images == 3 and result.skipped == 2
    assert len(told) == 2 and "scene_1.png" in told[0] and "scene_3.png" in told[1]
    np.testing.assert_allclose([boxes[0][1] for boxes in read(tmp_path / "out")], BOXES[::2], atol=2)


def test_after_ctrl_c_what_was_done_is_written(runtime: Any, folder: Path, tmp_path: Path) -> None:
    calls = iter(range(5))

    def stop() -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="out has what was labelled until then: 3 images"):
        label_images(folder, runtime, tmp_path / "out", on_image=stop)
    assert len(COCO(tmp_path / "out/annotations_train.json")) == 3


def test_other_formats_and_copies(runtime: Any, folder: Path, tmp_path: Path) -> None:
    label_images(folder, runtime, tmp_path / "yolo", to="yolo", image_files="copy", split="val", threshold=0.5)
    dataset = YOLO(tmp_path / "yolo/data.yaml", split="val")
    assert len(dataset) == 5 and not dataset.path(0).is_symlink() and len(dataset.columns.boxes) == 5
    label_images(folder, runtime, tmp_path / "voc", to="voc", ignore_threshold=1.0)
    assert len(VOC(tmp_path / "voc", split="train")) == 5


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"classes": ["whit"]}, DataError, "'whit' .did you mean 'white'"),
        ({"threshold": {"cat": 0.5}}, DataError, "threshold: 'cat' is none of the classes white, other"),
        ({"threshold": 1.5}, DataError, "threshold: expected 0..1, got 1.5"),
        ({"weights": [1, 2]}, DataError, "weights: expected a number above 0 for each of 1 models"),
        ({"split": "a/b"}, DataError, "split"),
        ({"output": "black"}, DataError, "not empty"),
        ({"images": 0}, SourceError, "camera"),
        ({"models": "found.json"}, DataError, "no such file"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_done(
    runtime: Any,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    error: type[Exception],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error, match=says):
        label_images(**({"images": photos, "models": runtime, "output": "out"} | options))
    assert not runtime.batches and sorted(tmp_path.rglob("*")) == before
