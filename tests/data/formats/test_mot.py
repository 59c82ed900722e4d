"""MOTChallenge sequences: counts of the raw rows, the rules of the benchmark, and every defect named."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet.data import MOT, DataError, DataWarning, read_mot_detections
from centernet.testing import check_dataset

Write = Callable[..., Path]
LIKE_PEDESTRIANS = {2, 7, 8, 12, 13}


def raw_rows(path: Path) -> list[list[float]]:
    with path.open() as file:
        return [[float(value) for value in row] for row in csv.reader(file)]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(
        name: str,
        rows: list[str] | None,
        *,
        frames: int | list[str] = 3,
        info: str | None = "",
        labels: str | None = None,
        size: tuple[int, int] = (60, 80),
    ) -> Path:
        """A sequence of `frames` gray pictures (or pictures of these names); info None writes no seqinfo.ini."""
        folder = tmp_path / name
        (folder / "img1").mkdir(parents=True)
        names = [f"{i:06d}.jpg" for i in range(1, frames + 1)] if isinstance(frames, int) else frames
        for picture in names:
            Image.new("RGB", size[::-1], "gray").save(folder / "img1" / picture)
        if rows is not None:
            (folder / "gt").mkdir()
            (folder / "gt/gt.txt").write_text("".join(f"{row}\n" for row in rows))
        if labels is not None:
            (folder / "gt/labels.txt").write_text(labels)
        if info is not None:
            size_text = f"imWidth={size[1]}\nimHeight={size[0]}\n"
            text = f"name={name}\nimDir=img1\nframeRate=25\nseqLength={len(names)}\n{size_text}"
            (folder / "seqinfo.ini").write_text(f"[Sequence]\n{info or text}imExt=.jpg\n")
        return tmp_path

    return make


def only(dataset: MOT) -> tuple[str, str]:
    (problem,) = dataset.problems
    return problem.kind, problem.message


@pytest.mark.parametrize("name", ["TUD-Campus", "PETS09-S3-MF1", "MOT17-02-FRCNN", "MOT17-04-FRCNN"])
def test_counts_are_those_of_the_raw_rows(shared: Path, name: str) -> None:
    root = shared / "data/mot"
    dataset = MOT(root, [name], amodal=True)
    rows = raw_rows(root / name / "gt/gt.txt")
    kinds = [1 if len(row) == 10 else row[7] for row in rows]
    people = [row for row, kind in zip(rows, kinds, strict=True) if kind == 1 and row[6] != 0]
    ignored = [
        row for row, kind in zip(rows, kinds, strict=True) if kind in LIKE_PEDESTRIANS or (kind == 1 and not row[6])
    ]
    objects, ignores, _ = dataset.label_arrays()
    assert (objects.tolist(), ignores.tolist()) == ([len(people)], [len(ignored)])
    assert len(dataset) == len(list((root / name / "img1").iterdir()))
    assert dataset.num_identities == len({row[1] for row in people})
    assert dataset.problems == []

    # Every box, by frame and identity: one identity of the data set is one of the file.
    expected = {(int(f), int(i)): [x - 1, y - 1, x - 1 + w, y - 1 + h] for f, i, x, y, w, h, *_ in people}
    raw_of: dict[int, int] = {}
    for index in range(len(dataset)):
        annotation = dataset.annotation(index)
        frame = int(annotation.path.stem)
        for box, identity in zip(annotation.boxes[~annotation.ignore], annotation.ids[~annotation.ignore], strict=True):
            (match,) = [
                key for key, value in expected.items() if key[0] == frame and np.allclose(value, box, atol=1e-3)
            ]
            assert raw_of.setdefault(int(identity), match[1]) == match[1]
            del expected[match]
    assert not expected and len(set(raw_of.values())) == len(raw_of)


def test_the_four_sequences_in_one_data_set(shared: Path) -> None:
    root = shared / "data/mot"
    dataset = MOT(root)
    assert [(s.name, len(s), s.frame_rate) for s in dataset.sequences] == [
        ("MOT17-02-FRCNN", 4, 30),
        ("MOT17-04-FRCNN", 8, 30),
        ("PETS09-S3-MF1", 107, 7),
        ("TUD-Campus", 71, 25),
    ]
    seen: set[int] = set()
    for sequence in dataset.sequences:
        here = np.concatenate([dataset.annotation(i).ids for i in range(sequence.start, sequence.stop)])
        mine = set(here[here >= 0].tolist())
        assert not mine & seen
        seen |= mine
        frames = [int(dataset.path(i).stem) for i in range(sequence.start, sequence.stop)]
        assert frames == sorted(frames) and dataset.path(sequence.start).parts[-3] == sequence.name
    assert seen == set(range(dataset.num_identities))
    check_dataset(dataset)


def test_the_600_frames_of_a_published_sequence(shared: Path, tmp_path: Path) -> None:
    """Its README states 30003 rows, 18581 pedestrians that count, 62 of them."""
    source = shared / "data/mot/original/MOT17-02-FRCNN-full"
    (tmp_path / "MOT17-02-FRCNN/gt").mkdir(parents=True)
    (tmp_path / "MOT17-02-FRCNN/img1").mkdir()
    for name, target in {"gt.txt": "gt/gt.txt", "seqinfo.ini": "seqinfo.ini"}.items():
        (tmp_path / "MOT17-02-FRCNN" / target).write_bytes((source / name).read_bytes())
    for frame in range(1, 601):
        (tmp_path / f"MOT17-02-FRCNN/img1/{frame:06d}.jpg").touch()  # sizes are those of seqinfo.ini
    dataset = MOT(tmp_path, amodal=True)
    objects, ignored, _ = dataset.label_arrays()
    kinds = Counter(row[7] for row in raw_rows(source / "gt.txt"))
    assert objects[0] == kinds[1] == 18581 and dataset.num_identities == 62
    assert ignored[0] == kinds[2] + kinds[7] + kinds[8] + kinds[12] + kinds[13]
    assert dataset.problems == [] and len(dataset) == 600


def test_pixels_count_from_one_and_boxes_are_cut_or_kept_whole(write: Write) -> None:
    root = write("A", ["1,7,1,1,80,60,1,-1,-1,-1", "2,7,-9,11,30,20,1,-1,-1,-1"])
    cut, whole = MOT(root), MOT(root, amodal=True)
    assert cut.annotation(0).boxes.tolist() == [[0, 0, 80, 60]]
    assert cut.annotation(1).boxes.tolist() == [[0, 10, 20, 30]] and cut.clipped == 1
    assert whole.annotation(1).boxes.tolist() == [[-10, 10, 20, 30]] and whole.clipped == 0
    assert whole[1].boxes.tolist() == [[-10, 10, 20, 30]]
    for dataset in (cut, whole):
        check_dataset(dataset)


def test_flag_class_and_visibility_decide_what_is_ignored(write: Write) -> None:
    rows = [f"1,{kind},{4 * kind},5,9,9,{int(kind == 1)},{kind},1" for kind in range(1, 14)]
    rows += ["1,20,60,5,9,9,0,1,1", "1,21,70,5,9,9,1,1,.2", "1,22,70,30,9,9,-1,1,-1"]
    root = write("MOT17-01-SDP", rows)

    def lefts(dataset: MOT, *, ignored: bool) -> list[float]:
        annotation = dataset.annotation(0)
        return sorted((annotation.boxes[annotation.ignore == ignored, 0] + 1).tolist())

    usual = MOT(root)
    assert lefts(usual, ignored=False) == [4, 70, 70]
    assert lefts(usual, ignored=True) == sorted([4.0 * kind for kind in LIKE_PEDESTRIANS] + [60])
    assert lefts(MOT(root, min_visibility=0.25), ignored=False) == [4, 70]  # the other says that it isn't known
    # Vehicles have the flag 0 because the benchmark does not evaluate them.
    vehicles = MOT(root, class_names=["bicycle", "car"])
    assert vehicles.annotation(0).labels.tolist() == [1, 0] and not vehicles.annotation(0).ignore.any()
    static = MOT(root, class_names=["pedestrian", "static person"])
    assert lefts(static, ignored=False) == [4, 28, 70, 70]
    assert usual.problems == []


def test_vehicles_without_motor_are_ignored_in_mot20(write: Write) -> None:
    rows = ["1,1,5,5,9,9,1,1,1", "1,2,25,5,9,9,0,6,1"]
    root = write("MOT20-01", rows)
    write("MOT17-01", rows)
    dataset = MOT(root)
    assert [len(dataset.annotation(s.start)) for s in dataset.sequences] == [1, 2]


def test_unsorted_rows_and_tracks_of_ignored_boxes_alone(write: Write) -> None:
    rows = ["3,9,1,1,9,9,1,1,1", "1,9,5,5,9,9,0,1,1", "1,4,20,5,9,9,0,1,1", "2,0,1,1,9,9,1,1,1", "2,4,30,5,9,9,0,1,1"]
    dataset = MOT(write("A", rows))
    ids = [dataset.annotation(i).ids.tolist() for i in range(3)]
    assert dataset.num_identities == 2 and ids == [
        [0, -1],
        [1, -1],
        [0],
    ]  # a track keeps its number where it is ignored
    check_dataset(dataset)


def test_of_three_copies_of_a_sequence_one_is_taken(write: Write) -> None:
    row = "1,1,5,5,9,9,1,1,1"
    for name in ("MOT17-02-DPM", "MOT17-02-FRCNN", "MOT17-02-SDP", "MOT17-04-FRCNN", "MOT17-04-SDP", "Own"):
        root = write(name, [row])
    assert [s.name for s in MOT(root).sequences] == ["MOT17-02-DPM", "MOT17-04-FRCNN", "Own"]
    assert [s.name for s in MOT(root, ["*-SDP"]).sequences] == ["MOT17-02-SDP", "MOT17-04-SDP"]
    assert [s.name for s in MOT(root / "Own").sequences] == ["Own"]
    assert MOT(root / "Own").num_identities == 1
    with pytest.raises(DataError, match=r"sequences has 'MOT17-2-SDP' \(did you mean 'MOT17-02-SDP'\?\)"):
        MOT(root, ["MOT17-2-SDP"])


def test_halves_of_every_sequence(write: Write) -> None:
    root = write("A", ["1,1,5,5,9,9,1,1,1", "5,2,5,5,9,9,1,1,1"], frames=5)
    write("B", ["2,1,5,5,9,9,1,1,1"], frames=2)
    first, second = MOT(root, part=(0, 0.5)), MOT(root, part=(0.5, 1))
    assert [[d.path(i).stem[-1] for i in range(len(d))] for d in (first, second)] == [
        ["1", "2", "1"],
        ["3", "4", "5", "2"],
    ]
    assert (first.num_identities, second.num_identities) == (1, 2)
    with pytest.raises(DataError, match=r"part: expected two numbers in 0..1"):
        MOT(root, part=(0.5, 0.5))


def test_classes_of_a_list_of_its_own(write: Write) -> None:
    rows = ["1,1,5,5,9,9,1,2,1", "1,2,25,5,9,9,0,1,1"]
    root = write("A", rows, labels="bear\ncat\n")
    dataset = MOT(root)
    assert dataset.class_names == ("bear", "cat")
    assert dataset.annotation(0).labels.tolist() == [1, 0] and dataset.annotation(0).ignore.tolist() == [False, True]
    assert MOT(root, class_names=["cat"]).annotation(0).labels.tolist() == [0]
    with pytest.raises(DataError, match=r"class_names has 'pedestrian', but the classes there are bear, cat"):
        MOT(root, class_names=["pedestrian"])


CVAT_ROWS = ["1, 1, 0, 5, 9, 9, 1, 1, 1.0", "3, 1, 6, 5, 9, 9, 1, 2, 0.5", "1, -1, 30, 5, 9, 9, 0, 1, 1.0"]


@pytest.mark.parametrize(
    ("frames", "used"),
    [
        (["000001.PNG", "000002.PNG", "000003.PNG"], [1, 2, 3]),
        (["frame_000000.PNG", "frame_000001.PNG", "frame_000002.PNG"], [0, 1, 2]),
        (["frame_000000.PNG", "frame_000010.PNG", "frame_000020.PNG"], [0, 10, 20]),  # with a frame step
        (["frame_000000.PNG", "frame_000002.PNG"], [0, 2]),  # one is missing
        (["b7.jpg", "a12.jpg", "c.jpg"], None),
    ],
)
def test_what_cvat_exports_without_seqinfo(write: Write, frames: list[str], used: list[int] | None) -> None:
    root = write("A", CVAT_ROWS, frames=frames, info=None, labels="cat\ndog")
    with pytest.warns(DataWarning, match="assumed"):
        dataset = MOT(root, strict=True)
    assert {problem.kind for problem in dataset.problems} == {"assumed"}
    names = [dataset.path(i).stem for i in range(len(dataset))]
    assert [int(name[-6:]) for name in names] == used if used else names == ["a12", "b7", "c"]
    assert [len(dataset.annotation(i)) for i in range(len(dataset))] == ([2, 0, 1] if len(frames) == 3 else [2, 1])
    assert sorted(dataset.annotation(0).boxes.tolist()) == [[0, 5, 9, 14], [30, 5, 39, 14]]  # pixels count from 0
    assert dataset.annotation(len(dataset) - 1).labels.tolist() == [1] and dataset.num_identities == 1
    check_dataset(dataset)


def test_copies_among_cvats_images_move_no_frame(write: Write) -> None:
    frames = [*(f"frame_{frame:06d}.PNG" for frame in range(3)), "frame_000001 copy.PNG"]
    with pytest.warns(DataWarning, match=r"copy.PNG: the name of the image is not the number of a frame"):
        dataset = MOT(write("A", CVAT_ROWS, frames=frames, info=None, labels="cat\ndog"))
    assert [len(dataset.annotation(i)) for i in range(len(dataset))] == [2, 0, 1]


def test_classes_that_nothing_names(write: Write) -> None:
    root = write("A", ["1,1,5,5,9,9,1,1,1", "1,2,25,5,9,9,1,3,1", "2,2,25,5,9,9,1,4,1"], info=None)
    with pytest.warns(DataWarning, match=r"2 boxes of the classes 3, 4 are passed over: .* a gt/labels.txt beside the"):
        assert len(MOT(root).annotation(0)) == 1
    with pytest.warns(DataWarning, match=r"1 problem \(1 size\)"):
        assert len(MOT(root, class_names=["pedestrian", "car"]).annotation(0)) == 2


def test_images_that_cvat_did_not_export(write: Write, tmp_path: Path) -> None:
    root = write("A", CVAT_ROWS, frames=[], info=None, labels="cat\ndog")
    for folder in ("elsewhere", "each/A"):
        (tmp_path / folder).mkdir(parents=True)
        for frame in range(3):
            Image.new("RGB", (80, 60)).save(tmp_path / folder / f"frame_{frame:06d}.PNG")
    for images in ("elsewhere", "each"):
        with pytest.warns(DataWarning, match=r"2 notes \(2 assumed\)"):
            dataset = MOT(root, ["A"], images=tmp_path / images)
        assert [len(dataset.annotation(i)) for i in range(3)] == [2, 0, 1]
        check_dataset(dataset)
    with pytest.raises(DataError, match=r"no such folder; `images` \(--images\) is the folder of the frames"):
        MOT(root, images=tmp_path / "none")
    with pytest.raises(DataError, match=r"A/img1: no images named by their frames; .* as `images` \(--images\)"):
        MOT(root, ["A"])


GOOD = ["1,1,5,5,9,9,1,1,1", "2,1,6,5,9,9,1,1,1"]


@pytest.mark.parametrize(
    ("row", "kind", "part"),
    [
        ("1,2,5,5,9,9,1,1", "bad-row", "line 3 has 8 columns, expected 9"),
        ("1,2,5,5,9,9,1,1,1,1", "bad-row", "line 3 has 10 columns, expected 9"),
        ("1,2,5,5,9,x,1,1,1", "bad-row", "line 3: 1,2,5,5,9,x,1,1,1 is no row of numbers"),
        ("1,2,5,5,9,nan,1,1,1", "bad-row", "line 3"),
        ("1.5,2,5,5,9,9,1,1,1", "bad-row", "line 3"),
        ("1,2,5_0,5,9,9,1,1,1", "bad-row", "line 3"),
        ("1,2,5,5,-9,9,1,1,1", "inverted-box", "line 3 (frame 1, identity 2)"),
        ("1,2,5,5,0,9,1,1,1", "empty-box", "line 3"),
        ("1,2,90,5,9,9,1,1,1", "outside-box", "60×80"),
        ("1,1,7,5,9,9,1,1,1", "duplicate", "line 3 (frame 1, identity 1)"),
        ("1,2,5,5,9,9,1,14,1", "unknown-class", "the class 14 is none of 1 .. 13"),
        ("9,2,5,5,9,9,1,1,1", "missing-image", "the frames 9 have no image in A/img1; their 1 boxes are left out"),
    ],
)
def test_wrong_rows_are_named_and_left_out(write: Write, row: str, kind: str, part: str) -> None:
    root = write("A", [*GOOD, row])
    with pytest.warns(DataWarning, match="1 problem"):
        dataset = MOT(root)
    assert only(dataset)[0] == kind and part in only(dataset)[1]
    assert [len(dataset.annotation(i)) for i in range(3)] == [1, 1, 0]
    check_dataset(dataset)
    with pytest.raises(DataError, match="strict"):
        MOT(root, strict=True)


@pytest.mark.parametrize(
    ("options", "kind", "part", "samples"),
    [
        ({"info": None}, "size", "seqinfo.ini", 3),
        ({"info": "[Sequence]\n"}, "size", "cannot be read", 3),
        ({"info": "imDir=img1\nseqLength=3\nimWidth=80\nimHeight=60\n"}, "bad-row", "frameRate", 3),
        ({"info": "framerate=9\nseqLength=3\nimWidth=wide\nimHeight=60\n"}, "size", "imWidth is 'wide'", 3),
        ({"info": "imDir=../B\nframeRate=9\nseqLength=3\nimWidth=80\nimHeight=60\n"}, "missing-image", "leads out", 0),
        ({"info": "frameRate=9\nseqLength=2\nimWidth=80\nimHeight=60\n"}, "missing-annotation", "3 are beyond", 2),
        ({"frames": []}, "missing-image", "no images", 0),
        ({"frames": ["000001.jpg", "000002.jpg", "2.png"], "info": None}, "duplicate", "frame 2", 2),
        ({"frames": ["000001.jpg", "000002.jpg", "copy.jpg"], "info": None}, "missing-annotation", "not the number", 2),
    ],
)  # fmt: skip
def test_wrong_sequences_are_named(write: Write, options: dict[str, Any], kind: str, part: str, samples: int) -> None:
    root = write("A", GOOD, **options)
    write("B", GOOD)
    with pytest.warns(DataWarning):
        dataset = MOT(root)
    found = [(problem.kind, problem.path, problem.message) for problem in dataset.problems]
    assert any(k == kind and part in f"{path} {message}" for k, path, message in found)
    assert [s.name for s in dataset.sequences] == (["A", "B"] if samples else ["B"])
    assert len(dataset) == samples + 3
    check_dataset(dataset)


def test_a_sequence_without_truth_is_left_out(write: Write) -> None:
    root = write("A", None)
    write("B", GOOD)
    with pytest.warns(DataWarning, match=r"A/gt/gt.txt: there is no such file; the sequence is left out"):
        assert [s.name for s in MOT(root).sequences] == ["B"]
    with pytest.raises(DataError, match="no usable image"):
        MOT(root, ["A"])


def test_wrong_paths_say_what_there_is(write: Write, tmp_path: Path) -> None:
    write("MOT17/train/A", GOOD)
    with pytest.raises(DataError, match="no such folder"):
        MOT(tmp_path / "none")
    with pytest.raises(DataError, match=r"no sequence here, .*give one of its subfolders as the root: train"):
        MOT(tmp_path / "MOT17")
    with pytest.raises(DataError, match=r"class_names has 'pedestrians' \(did you mean 'pedestrian'\?\)"):
        MOT(tmp_path / "MOT17/train", class_names=["pedestrians"])
    with pytest.raises(DataError, match="got the string 'A'"):
        MOT(tmp_path / "MOT17/train", "A")


@pytest.mark.parametrize("name", ["TUD-Campus/det/det.txt", "TUD-Campus/det/det_acf.txt", "PETS09-S3-MF1/det/det.txt"])
def test_detections_are_the_rows_of_the_file(shared: Path, name: str) -> None:
    rows = raw_rows(shared / "data/mot" / name)
    frames = read_mot_detections(shared / "data/mot" / name)
    assert {frame: len(found) for frame, found in frames.items()} == Counter(int(row[0]) for row in rows)
    for frame, found in frames.items():
        mine = sorted((row for row in rows if row[0] == frame), key=lambda row: -row[6])
        boxes = [[x - 1, y - 1, x - 1 + w, y - 1 + h] for _, _, x, y, w, h, *_ in mine]
        np.testing.assert_allclose(found.bboxes, boxes, rtol=1e-6, atol=1e-4)
        np.testing.assert_allclose(found.scores, [row[6] for row in mine], rtol=1e-6)
        assert found.class_names == ("pedestrian",) and not found.labels.any()


def test_wrong_rows_of_detections_are_named(tmp_path: Path) -> None:
    path = tmp_path / "det.txt"
    path.write_text("2,-1,5,5,9,9,.5\n1,-1,5,5,9,9,high\n1,-1,5,5,-9,9,1\n1,-1,5,5,9,9\n1,-1,5,5,9,9,nan\n\n")
    with pytest.warns(DataWarning, match="4 problems") as caught:
        frames = read_mot_detections(path, class_names=["car"])
    assert list(frames) == [2] and frames[2].names == ["car"]
    assert all(f"line {line}" in str(caught[0].message) for line in (2, 3, 4, 5))
    with pytest.raises(DataError, match=r"line \d.*strict"):
        read_mot_detections(path, strict=True)
    with pytest.raises(DataError, match=r"none.txt: cannot be opened"):
        read_mot_detections(tmp_path / "none.txt")
