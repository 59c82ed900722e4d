"""Labels of KITTI's detection benchmark, and what other tools write like them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet.data import KITTI, DataError, DataWarning
from centernet.data.detect_format import find_format
from centernet.detections import Detections
from centernet.evaluation import KittiEvaluator, evaluate_kitti
from centernet.testing import check_dataset

Write = Callable[..., Path]
SPACE = "1.5 1.6 3.9 1.0 2.0 30.0 -1.6"


def row(kind: str, box: str, *, truncated: Any = "0.00", occluded: Any = 0, score: str = "") -> str:
    return f"{kind} {truncated} {occluded} -1.57 {box} {SPACE} {score}".strip()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(
        labels: dict[str, list[str] | None], root: str = "training", folders: tuple[str, str] = ("label_2", "image_2")
    ) -> Path:
        """Label files by stem (None: only the image) and gray 80×60 images."""
        for folder in folders:
            (tmp_path / root / folder).mkdir(parents=True, exist_ok=True)
        for stem, rows in labels.items():
            image = tmp_path / root / folders[1] / f"{stem}.png"
            image.parent.mkdir(exist_ok=True)
            Image.new("RGB", (80, 60), "gray").save(image)
            if rows is not None:
                path = tmp_path / root / folders[0] / f"{stem}.txt"
                path.parent.mkdir(exist_ok=True)
                path.write_text("".join(f"{line}\n" for line in rows))
        return tmp_path

    return make


ROWS = {
    "000000": [
        row("Car", "10.25 5 40 30.5"),
        row("Van", "50 5 70 30"),
        row("Pedestrian", "1 2 9 40", occluded=2, truncated=0.4),
        row("Person_sitting", "1 42 9 58", score="0.5"),
        row("DontCare", "60 40 80 60", truncated=-1, occluded=-1),
        row("Truck", "5 5 30 30"),
    ],
    "000001": [],
    "000002": [row("Cyclist", "-5 2 30 70", truncated=0.6)],
}


def test_boxes_roles_and_levels(write: Write) -> None:
    root = write(ROWS)
    with pytest.warns(DataWarning, match=r"1 note .*\n.*'Truck' 1"):
        dataset = KITTI(root)
    assert dataset.class_names == ("Car", "Pedestrian", "Cyclist") and dataset.benchmark == "kitti"
    first = dataset.annotation(0)
    assert first.boxes.tolist() == [
        [10.25, 5, 40, 30.5], [50, 5, 70, 30], [1, 2, 9, 40], [1, 42, 9, 58], [60, 40, 80, 60]
    ]  # fmt: skip
    assert first.labels.tolist() == [0, 0, 1, 1, -1] and first.ignore.tolist() == [False, True, False, True, True]
    assert first.difficulty.tolist() == [0, 0, 2, 0, 0]
    assert len(dataset.annotation(1)) == 0
    assert dataset.annotation(2).boxes.tolist() == [[0, 2, 30, 60]] and dataset.annotation(2).difficulty[0] == 3
    check_dataset(dataset)
    with pytest.warns(DataWarning, match="3 boxes of classes that are not in class_names"):
        other = KITTI(root, class_names=["Van", "Truck", "Car"])
    assert other.annotation(0).labels.tolist() == [2, 0, -1, 1] and not other.annotation(0).ignore[:2].any()
    with pytest.warns(DataWarning, match="3 boxes of classes that are not in class_names"):
        hidden = KITTI(root, class_names=["Pedestrian", "Cyclist"], max_occlusion=1, max_truncation=0.5)
    assert hidden.annotation(0).ignore.all() and hidden.annotation(2).ignore.all()


@pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")
def test_figures_are_those_of_the_files(write: Write) -> None:
    rng = np.random.default_rng(3)
    labels: dict[str, list[str] | None] = {}
    found: dict[str, list[str]] = {}
    for frame in range(12):
        boxes = rng.uniform([0, 0, 30, 30], [25, 25, 55, 55], (6, 4)).round(2)
        moved = (boxes + rng.uniform(-3, 3, (6, 4))).round(2)
        kinds = ["Car", "Pedestrian", "Van", "Cyclist", "Car", "DontCare"]
        truth, guesses = [], []
        for kind, box, near in zip(kinds, boxes.tolist(), moved.tolist(), strict=True):
            hidden = {"occluded": rng.integers(4), "truncated": round(rng.uniform(0, 0.6), 2)}
            truth.append(row(kind, " ".join(map(str, box)), **hidden))
            if kind in ("Car", "Pedestrian"):
                guesses.append(row(kind, " ".join(map(str, near)), score=f"{rng.uniform():.3f}"))
        labels[f"{frame:06d}"], found[f"{frame:06d}"] = truth, guesses
    dataset = KITTI(write(labels))
    evaluator = KittiEvaluator(dataset.class_names)
    for index in range(len(dataset)):
        fields = [line.split() for line in found[dataset.path(index).stem]]
        boxes = np.array([[float(value) for value in line[4:8]] for line in fields], np.float32)
        label = np.array([dataset.class_names.index(line[0]) for line in fields])
        scores = np.array([float(line[15]) for line in fields], np.float32)
        evaluator.update(dataset.annotation(index), Detections(boxes, label, scores, class_names=dataset.class_names))
    expected = evaluate_kitti({name: rows or [] for name, rows in labels.items()}, found)
    assert evaluator.compute().stats == pytest.approx(expected.stats, abs=1e-6)
    assert max(expected.stats.values()) > 0


@pytest.mark.parametrize("folders", [("labels", "data"), ("labels", "images"), ("label_2", "image_2")])
def test_classes_of_any_name(write: Write, folders: tuple[str, str]) -> None:
    """As FiftyOne, NVIDIA TAO, datumaro and CVAT write them; the last two with names of several words."""
    rows = [row("traffic light", "5 5 30 30", score="1.0"), row("car", "1 2 30 40"), row("DontCare", "40 40 60 60")]
    root = write({"a": rows, "b/c": [row("car", "1 2 30 40", score=".5")], "d": None}, "default", folders)
    source = find_format(root)
    assert source.format.name == "kitti-detection" and source.splits == {"train": {"root": root / "default"}}
    dataset = source.open("train")
    assert dataset.class_names == ("car", "traffic light") and dataset.benchmark is None
    labels = [dataset.annotation(i).labels.tolist() for i in range(3)]
    assert labels == [[1, 0, -1], [0], []]
    assert dataset.annotation(0).ignore.tolist() == [False, False, True]
    (note,) = dataset.problems
    assert note.kind == "assumed" and "1 images have no label file, such as d.png" in note.message
    check_dataset(dataset)
    with pytest.raises(DataError, match=r"'cat'.*but the types there are car, traffic light"):
        KITTI(root / "default", class_names=["cat"])


def test_lists_of_splits_and_folders_apart(write: Write, tmp_path: Path) -> None:
    root = write({name: [row("Car", "1 2 30 40")] for name in ("000000", "000001", "000002")})
    (root / "ImageSets").mkdir()
    for name, stems in {"train": "000000\n000002\n", "val": "000001", "trainval": "000000", "test": "000007"}.items():
        (root / "ImageSets" / f"{name}.txt").write_text(stems)
    splits = find_format(root).splits
    assert list(splits) == ["train", "val"]
    assert [len(KITTI(**arguments)) for arguments in splits.values()] == [2, 1]
    with pytest.raises(DataError, match=r"ImageSets/dev.txt: no such list, nor .*split=None takes every file"):
        KITTI(root, split="dev")
    (root / "training/image_2").rename(tmp_path / "elsewhere")
    for labels in (root, root / "training", root / "training/label_2"):
        assert len(KITTI(labels, tmp_path / "elsewhere")) == 3
        source = find_format(labels, name="kitti-detection", images=tmp_path / "elsewhere")
        assert len(source.open(next(iter(source.splits)))) in (2, 3)
    with pytest.raises(DataError, match=r"label_2: its images such as .* give their folder as `images` \(--images\)"):
        KITTI(root / "training/label_2")
    with pytest.raises(DataError, match="expected folders label_2 and image_2"):
        KITTI(root / "ImageSets")
    with pytest.raises(DataError, match="no such folder; `images`"):
        KITTI(root, tmp_path / "nowhere")


def test_label_files_among_the_images(write: Write, tmp_path: Path) -> None:
    root = write({"a": [GOOD], "b": [GOOD]}, "flat", (".", "."))
    source = find_format(root / "flat")
    assert source.format.name == "kitti-detection" and len(source.open("train")) == 2
    for name in "ab":
        (root / f"flat/{name}.txt").write_text("")
    with pytest.raises(DataError, match="kitti-detection"):
        find_format(root / "flat", name="kitti-detection")


def test_other_text_files_above_the_folders(write: Write) -> None:
    root = write({"a": [row("cat", "1 2 30 40")], "b": None}, "default")
    (root / "label_colors.txt").write_text(" cat\n dog\n")
    (root / "default/instance").mkdir()  # as CVAT leaves it
    source = find_format(root)
    assert source.splits == {"train": {"root": root / "default"}}
    assert source.check_unread([source.open("train")]) == ["no annotations by their content: label_colors.txt (a list)"]


def test_files_without_any_row(write: Write) -> None:
    dataset = KITTI(write({"a": [], "b": []}))
    assert dataset.class_names == ("Car", "Pedestrian", "Cyclist") and dataset.problems == []


GOOD = row("Car", "1 2 30 40")


@pytest.mark.parametrize(
    ("line", "kind", "part"),
    [
        (row("Car", "1 2 30"), "bad-row", "line 2 has 14 columns, expected a type and 14 numbers, or 15 with a score"),
        (row("Car", "1 2 30 40 50 60"), "bad-row", "line 2 has 17 columns"),
        (f"0 1 {GOOD}", "bad-row", "line 2 has 17 columns"),  # of the tracking benchmark
        (row("Car", "1 2 x 40"), "bad-row", "line 2 is no row of a label file"),
        (row("Car", "1 2 inf 40"), "bad-row", "line 2 has a box that is not four finite numbers"),
        (row("Car", "1 2 30 40", truncated=2), "bad-row", "line 2 has the truncation 2, expected 0 .. 1, or -1"),
        (row("Car", "1 2 30 40", occluded=0.5), "bad-row", "line 2 has the occlusion 0.5, expected 0, 1, 2, 3"),
        (row("Car", "9 2 1 40"), "inverted-box", "line 2: the box"),
        (row("Car", "90 2 99 40"), "outside-box", "60×80"),
        (row("Cra", "1 2 30 40"), "unknown-class", "'Cra' (did you mean 'Car'?) is none of KITTI's"),
    ],
)
def test_wrong_rows_are_named_and_left_out(write: Write, line: str, kind: str, part: str) -> None:
    root = write({"000000": [GOOD, line, GOOD.replace("30 40", "31 40")]})
    with pytest.warns(DataWarning, match="1 problem"):
        dataset = KITTI(root)
    (problem,) = dataset.problems
    assert problem.kind == kind and part in problem.message and problem.path.endswith("label_2/000000.txt")
    assert len(dataset.annotation(0)) == 2
    check_dataset(dataset)
    with pytest.raises(DataError, match="strict"):
        KITTI(root, strict=True)


def test_files_without_their_other_half(write: Write) -> None:
    root = write({"000000": [GOOD], "000001": [GOOD]})
    (root / "training/image_2/000001.png").unlink()
    with pytest.warns(DataWarning, match=r"000001.txt: no image for this label file"):
        assert len(KITTI(root)) == 1
    for path in (root / "training/label_2").iterdir():
        path.rename(path.with_suffix(".TXTX"))
    with pytest.raises(DataError, match=r"label_2: none of the 1 images in .*image_2 has a label file there"):
        KITTI(root)
    with pytest.raises(DataError, match="none of the 1 images"):
        find_format(root).open("train")
