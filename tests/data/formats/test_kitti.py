"""KITTI's tracking labels: counts of the raw rows, the rules of the benchmark, and every defect named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet.data import DataError, DataWarning, KITTITracking
from centernet.testing import check_dataset

Write = Callable[..., Path]
ALL = ["Car", "Van", "Truck", "Pedestrian", "Person", "Cyclist", "Tram", "Misc"]
NEIGHBOURS = {"Van": "Car", "Person": "Pedestrian", "Person_sitting": "Pedestrian"}


def raw_rows(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()]


@pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")
@pytest.mark.parametrize("names", [["Car", "Pedestrian", "Cyclist"], ALL, ["Van"]])
def test_counts_are_those_of_the_raw_rows(shared: Path, names: list[str]) -> None:
    root = shared / "data/kitti_tracking"
    dataset = KITTITracking(root, class_names=names)
    objects: Counter[str] = Counter()
    ignored: Counter[str] = Counter()
    tracks = set()
    for folder in (root / "image_02").iterdir():
        frames = {int(path.stem) for path in folder.iterdir()}
        for row in raw_rows(root / "label_02" / f"{folder.name}.txt"):
            if int(row[0]) not in frames:
                continue
            if row[2] in names:
                objects[row[2]] += 1
                tracks.add((folder.name, row[1]))
            elif row[2] == "DontCare":
                ignored["DontCare"] += 1
            elif NEIGHBOURS.get(row[2]) in names:
                ignored[NEIGHBOURS[row[2]]] += 1
    counted = dataset.label_arrays()
    assert dict(zip(names, counted[0].tolist(), strict=True)) == {name: objects[name] for name in names}
    assert dict(zip(names, counted[1].tolist(), strict=True)) == {name: ignored[name] for name in names}
    everywhere = sum(int((dataset.annotation(i).labels == -1).sum()) for i in range(len(dataset)))
    assert everywhere == ignored["DontCare"] > 0
    assert dataset.num_identities == len(tracks)
    assert [int(dataset.path(i).stem) for i in range(6)] == [10, 15, 20, 2, 7, 12]
    assert [(s.name, s.start, s.stop, s.frame_rate) for s in dataset.sequences] == [
        ("0001", 0, 3, 10),
        ("0016", 3, 6, 10),
    ]
    check_dataset(dataset)


def test_every_row_that_has_no_picture_is_named(shared: Path) -> None:
    root = shared / "data/kitti_tracking"
    with pytest.warns(DataWarning, match="3 problems"):
        dataset = KITTITracking(root, class_names=[*ALL, "Person_sitting"])
    kinds = {(Path(problem.path).stem, problem.kind) for problem in dataset.problems}
    assert kinds == {("0000", "missing-image"), ("0001", "missing-image"), ("0016", "missing-image")}
    rows = len(raw_rows(root / "label_02/0001.txt"))
    used = sum(len(dataset.annotation(i)) for i in range(3))
    assert any(f"their {rows - used} boxes are left out" in problem.message for problem in dataset.problems)
    assert any("frames 0-9, 11-14, 16-19, 21-446 have no image" in problem.message for problem in dataset.problems)


def row(frame: Any, track: Any, kind: str, box: str, *, truncated: int = 0, occluded: int = 0) -> str:
    return f"{frame} {track} {kind} {truncated} {occluded} -1.5 {box} 1.5 1.6 3.9 1.0 2.0 30.0 -1.6"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(rows: list[str] | None, *, sequence: str = "0000", frames: tuple[int, ...] = (0, 1, 4)) -> Path:
        """A sequence of 80×60 pictures below ``training``."""
        root = tmp_path / "training"
        (root / "label_02").mkdir(parents=True, exist_ok=True)
        (root / "image_02" / sequence).mkdir(parents=True)
        for frame in frames:
            Image.new("RGB", (80, 60)).save(root / "image_02" / sequence / f"{frame:06d}.png")
        if rows is not None:
            (root / "label_02" / f"{sequence}.txt").write_text("".join(f"{row}\n" for row in rows))
        return tmp_path

    return make


def test_boxes_identities_and_gaps_of_a_whole_layout(write: Write) -> None:
    write([row(4, 7, "Car", "5 6 20.5 30"), row(0, 7, "Car", "1 2 30 40"), row(0, 2, "Pedestrian", "-3 2 30 70")])
    root = write([row(0, 7, "Car", "1 2 30 40"), row(1, -1, "DontCare", "1 2 30 40")], sequence="0003")
    dataset = KITTITracking(root)
    assert [len(dataset.annotation(i)) for i in range(6)] == [2, 0, 1, 1, 1, 0]
    assert dataset.annotation(0).boxes.tolist() == [[1, 2, 30, 40], [0, 2, 30, 60]]
    assert [dataset.annotation(i).ids.tolist() for i in (0, 2, 3, 4)] == [[0, 1], [0], [2], [-1]]
    assert dataset.num_identities == 3 and dataset.problems == []
    assert dataset.annotation(4).labels.tolist() == [-1] and dataset.annotation(4).ignore.tolist() == [True]
    assert len(KITTITracking(root, ["*3"])) == 3
    check_dataset(dataset)


def test_neighbours_and_what_is_hidden_are_ignored(write: Write) -> None:
    rows = [
        row(0, i, kind, f"{5 * i} 5 {5 * i + 9} 20") for i, kind in enumerate(("Car", "Van", "Person_sitting", "Tram"))
    ]
    rows += [row(1, 0, "Car", "5 5 9 9", occluded=2), row(1, 1, "Car", "15 5 19 9", truncated=1)]
    root = write(rows)
    usual = KITTITracking(root)
    assert usual.annotation(0).labels.tolist() == [0, 0, 1]
    assert usual.annotation(0).ignore.tolist() == [False, True, True]
    assert KITTITracking(root, class_names=["Van", "Car"]).annotation(0).ignore.tolist() == [False, False]
    assert usual.annotation(1).ignore.tolist() == [False, False]
    assert KITTITracking(root, max_occlusion=1).annotation(1).ignore.tolist() == [True, False]
    assert KITTITracking(root, max_truncation=0).annotation(1).ignore.tolist() == [False, True]
    assert usual.problems == []


GOOD = [row(0, 1, "Car", "1 2 30 40"), row(1, 1, "Car", "2 2 31 40")]


@pytest.mark.parametrize(
    ("line", "kind", "part"),
    [
        (row(0, 2, "Car", "1 2 30"), "bad-row", "line 3 has 16 columns, expected 17"),
        (row(0, 2, "Car", "1 2 30 40 50"), "bad-row", "line 3 has 18 columns, expected 17"),
        (row(0, 2, "Car", "1 2 x 40"), "bad-row", "line 3"),
        (row(0, 2, "Car", "1 2 inf 40"), "bad-row", "line 3"),
        (row("0.5", 2, "Car", "1 2 30 40"), "bad-row", "line 3"),
        (row(0, 2, "Car", "1 2 1 40"), "empty-box", "line 3 (frame 0, identity 2)"),
        (row(0, 2, "Car", "9 2 1 40"), "inverted-box", "line 3"),
        (row(0, 2, "Car", "90 2 99 40"), "outside-box", "60×80"),
        (row(0, 1, "Car", "1 2 30 40"), "duplicate", "line 3"),
        (row(0, 2, "Cra", "1 2 30 40"), "unknown-class", "'Cra' (did you mean 'Car'?)"),
        (row(3, 2, "Car", "1 2 30 40"), "missing-image", "the frames 3 have no image in image_02/0000"),
    ],
)
def test_wrong_rows_are_named_and_left_out(write: Write, line: str, kind: str, part: str) -> None:
    root = write([*GOOD, line])
    with pytest.warns(DataWarning, match="1 problem"):
        dataset = KITTITracking(root)
    (problem,) = dataset.problems
    assert problem.kind == kind and part in problem.message
    assert [len(dataset.annotation(i)) for i in range(3)] == [1, 1, 0]
    check_dataset(dataset)
    with pytest.raises(DataError, match="strict"):
        KITTITracking(root, strict=True)


def test_wrong_paths_say_what_there_is(write: Write, tmp_path: Path) -> None:
    write(GOOD)
    root = write(None, sequence="0001")
    with pytest.warns(DataWarning, match=r"label_02/0001.txt: there is no such file; the sequence is left out"):
        assert [s.name for s in KITTITracking(root).sequences] == ["0000"]
    with pytest.raises(DataError, match="no usable image"):
        KITTITracking(root, ["0001"])
    with pytest.raises(DataError, match=r"sequences has '0002'.*, but the sequences there are 0000, 0001"):
        KITTITracking(root, ["0002"])
    with pytest.raises(DataError, match=r"class_names has 'car' \(did you mean 'Car'\?\)"):
        KITTITracking(root, class_names=["car"])
    with pytest.raises(DataError, match="expected the folders label_02 and image_02"):
        KITTITracking(tmp_path / "training/label_02")


def test_boxes_are_float32_of_the_files_numbers(write: Write) -> None:
    dataset = KITTITracking(write([row(0, 1, "Car", "1.123456 2.5 30.25 40.75")]))
    assert np.array_equal(dataset.annotation(0).boxes, np.array([[1.123456, 2.5, 30.25, 40.75]], np.float32))
