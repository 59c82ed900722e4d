"""CVAT's XML: images, tracks between their key frames, projects, and every defect named.

The texts are written as CVAT's own exporter writes them (cvat/apps/dataset_manager/formats/cvat.py there).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from centernet.data import CVAT, DataError, DetectionDataset
from centernet.data.detect_format import find_format
from centernet.testing import check_dataset

HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'


def images(folder: Path, *names: str, size: tuple[int, int] = (80, 60)) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, "gray").save(path)


def task(name: str = "t", *, labels: tuple[str, ...] = ("cat", "dog"), more: str = "") -> str:
    listed = "".join(f"<label><name>{label}</name><type>any</type><attributes/></label>" for label in labels)
    return f"<task><id>7</id><name>{name}</name><size>9</size><mode>x</mode>{more}<labels>{listed}</labels></task>"


def write(path: Path, body: str, meta: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEAD}<meta>{task() if meta is None else meta}</meta>{body}\n</annotations>\n", encoding="utf-8")
    return path


def box(label: str, corners: str, more: str = "") -> str:
    edges = " ".join(f'{name}="{v}"' for name, v in zip(("xtl", "ytl", "xbr", "ybr"), corners.split(), strict=True))
    return f'<box label="{label}" source="manual" occluded="0" {edges} {more} z_order="0"></box>'


def still(name: str, *shapes: str, more: str = "") -> str:
    return f'<image id="0" name="{name}" {more} width="80" height="60">{"".join(shapes)}</image>'


def shown(dataset: DetectionDataset) -> dict[str, list[tuple[str, list[float]]]]:
    found = {}
    for index in range(len(dataset)):
        truth = dataset.annotation(index)
        names = [dataset.class_names[label] for label in truth.labels]
        found[truth.path.name] = list(zip(names, [[round(v, 2) for v in b] for b in truth.boxes.tolist()], strict=True))
    return found


def messages(dataset: DetectionDataset) -> str:
    return "\n".join(map(str, dataset.problems))


def test_images_with_every_kind_of_shape(tmp_path: Path) -> None:
    images(tmp_path / "images", "a.jpg", "sub/b.jpg", "c.jpg")
    shapes = [
        box("dog", "1.50 2.00 30.25 40.00"),
        box("cat", "20 20 40 30", 'rotation="90.00"'),  # 20×10 about (30, 25), upright
        '<polygon label="cat" source="manual" occluded="0" points="5.00,6.00;15.50,6.00;9.00,30.00" z_order="0"/>',
        '<ellipse label="dog" occluded="1" cx="40.00" cy="30.00" rx="10.00" ry="5.00" z_order="0"/>',
        '<mask label="dog" occluded="0" rle="1, 2, 3" left="7" top="8" width="9" height="10" z_order="0"/>',
        '<cuboid label="cat" occluded="0" xtl1="10" ytl1="10" xbl1="10" ybl1="30" xtr1="20" ytr1="10" xbr1="20" '
        'ybr1="30" xtl2="25" ytl2="8" xbl2="25" ybl2="25" xtr2="15" ytr2="8" xbr2="15" ybr2="25" z_order="0"/>',
        '<polyline label="cat" points="5,6;15,6" z_order="0"/>',
        '<points label="cat" points="5,6" z_order="0"/>',
        '<skeleton label="cat"><points label="nose" outside="0" occluded="0" points="1,2"/></skeleton>',
        '<tag label="cat" source="manual"/>',
    ]
    path = write(
        tmp_path / "annotations.xml",
        still("a.jpg", *shapes) + still("sub/b.jpg", box("cat", "0 0 80 60")) + still("c.jpg"),
    )
    with pytest.warns(match="left-out-shape"):
        dataset = CVAT(path)
    check_dataset(dataset)
    assert dataset.class_names == ("cat", "dog")
    assert shown(dataset) == {
        "a.jpg": [
            ("dog", [1.5, 2, 30.25, 40]),
            ("cat", [25, 15, 35, 35]),
            ("cat", [5, 6, 15.5, 30]),
            ("dog", [30, 25, 50, 35]),
            ("dog", [7, 8, 16, 18]),
            ("cat", [10, 8, 25, 30]),
        ],
        "b.jpg": [("cat", [0, 0, 80, 60])],
        "c.jpg": [],
    }  # fmt: skip
    texts = [problem.message for problem in dataset.problems]
    assert any("3 shapes that have no box are left out: polyline 1, points 1, tag 1" in text for text in texts)
    assert any("shape 9 of a.jpg: the box [1, 2, 1, 2] (x1 y1 x2 y2) has no area" in text for text in texts)


def at(frame: int, corners: str, *, outside: int = 0, key: int = 1, more: str = "") -> str:
    edges = " ".join(f'{name}="{v}"' for name, v in zip(("xtl", "ytl", "xbr", "ybr"), corners.split(), strict=True))
    return f'<box frame="{frame}" keyframe="{key}" outside="{outside}" occluded="0" {edges} {more} z_order="0"></box>'


def track(number: int, label: str, *shapes: str, more: str = "") -> str:
    return f'<track id="{number}" label="{label}" source="manual" {more}>{"".join(shapes)}</track>'


def frames(start: int, stop: int, *, step: int = 1) -> str:
    chosen = f"<frame_filter>step={step}</frame_filter>" if step > 1 else "<frame_filter></frame_filter>"
    size = "<original_size><width>80</width><height>60</height></original_size><source>street.mp4</source>"
    return f"<start_frame>{start}</start_frame><stop_frame>{stop}</stop_frame>{chosen}{size}"


def video(tmp_path: Path, *tracks: str, start: int = 0, stop: int = 5, step: int = 1) -> Path:
    images(tmp_path / "images", *(f"frame_{n:06d}.PNG" for n in range(start, stop + 1, step)))
    return write(tmp_path / "annotations.xml", "".join(tracks), task(more=frames(start, stop, step=step)))


def test_tracks_move_between_their_key_frames(tmp_path: Path) -> None:
    path = video(
        tmp_path,
        track(0, "dog", at(0, "0 0 10 10"), at(4, "8 4 18 14"), at(5, "8 4 18 14", outside=1)),
        track(1, "cat", at(1, "30 30 40 40")),  # to the end
        track(2, "dog", at(0, "50 10 60 20"), at(2, "0 0 0 0", outside=1), at(4, "60 10 70 20")),
    )
    dataset = CVAT(path, frame_rate=10)
    check_dataset(dataset)
    assert shown(dataset) == {
        "frame_000000.PNG": [("dog", [0, 0, 10, 10]), ("dog", [50, 10, 60, 20])],
        "frame_000001.PNG": [("dog", [2, 1, 12, 11]), ("cat", [30, 30, 40, 40]), ("dog", [50, 10, 60, 20])],
        "frame_000002.PNG": [("dog", [4, 2, 14, 12]), ("cat", [30, 30, 40, 40])],
        "frame_000003.PNG": [("dog", [6, 3, 16, 13]), ("cat", [30, 30, 40, 40])],
        "frame_000004.PNG": [("dog", [8, 4, 18, 14]), ("cat", [30, 30, 40, 40]), ("dog", [60, 10, 70, 20])],
        "frame_000005.PNG": [("cat", [30, 30, 40, 40]), ("dog", [60, 10, 70, 20])],
    }
    ids = [dataset.annotation(index).ids.tolist() for index in range(6)]
    assert ids == [[0, 1], [0, 2, 1], [0, 2], [0, 2], [0, 2, 1], [2, 1]] and dataset.num_identities == 3
    [sequence] = dataset.sequences
    assert (sequence.name, len(sequence), sequence.frame_rate) == ("street", 6, 10)


def test_a_turned_box_takes_the_shorter_way(tmp_path: Path) -> None:
    turned = [at(0, "20 20 40 30", more='rotation="350.00"'), at(2, "20 20 40 30", more='rotation="10.00"')]
    dataset = CVAT(video(tmp_path, track(0, "dog", *turned), stop=2))
    assert dataset.annotation(1).boxes.tolist() == [[20, 20, 40, 30]]
    first, last = (dataset.annotation(index).boxes for index in (0, 2))
    assert first.tolist() == last.tolist() and abs(first[0, 2] - first[0, 0] - 21.43) < 0.01  # 20 cos 10° + 10 sin 10°


def test_tracks_that_state_every_frame(tmp_path: Path) -> None:
    """As CVAT exports them: frames between are stated too, and nothing is added behind the last."""
    moving = track(0, "dog", *(at(n, f"{n} 0 {n + 10} 10", key=int(n in (0, 3))) for n in range(4)))
    lone = track(1, "cat", at(4, "30 30 40 40"))  # a shape one frame before the last gets no end
    other = track(2, "cat", at(2, "60 30 70 40"), at(3, "60 30 70 40", outside=1))
    dataset = CVAT(video(tmp_path, moving, lone, other))
    counts = [len(dataset.annotation(index)) for index in range(6)]
    assert counts == [1, 1, 2, 1, 1, 0]


def test_every_third_frame_from_the_tenth(tmp_path: Path) -> None:
    path = video(tmp_path, track(0, "dog", at(10, "0 0 10 10"), at(16, "6 0 16 10")), start=10, stop=19, step=3)
    dataset = CVAT(path)
    assert [dataset.annotation(index).boxes.tolist() for index in range(4)] == [
        [[0, 0, 10, 10]],
        [[3, 0, 13, 10]],
        [[6, 0, 16, 10]],
        [[6, 0, 16, 10]],
    ]


def test_frames_named_otherwise_are_taken_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "annotations.xml", track(0, "dog", at(1, "0 0 10 10")), task(more=frames(0, 2)))
    with pytest.raises(DataError, match=r"the frames of street\.mp4 are not in .*expected frame_000000\.png"):
        CVAT(path)
    images(tmp_path / "images", "p.jpg", "q.jpg", "r.jpg")
    assert [len(boxes) for boxes in shown(CVAT(path)).values()] == [0, 1, 0]
    (tmp_path / "images/r.jpg").unlink()
    with pytest.raises(DataError, match="there are 2 images for 3 frames"):
        CVAT(path)
    images(tmp_path / "other", "p1.jpg", "p9.jpg", "p10.jpg")
    with pytest.raises(DataError, match="their numbers have no zeros"):
        CVAT(path, tmp_path / "other")


def test_missing_frames_are_one_problem(tmp_path: Path) -> None:
    path = video(tmp_path, track(0, "dog", at(0, "0 0 10 10")))
    for number in (1, 2, 4):
        (tmp_path / f"images/frame_{number:06d}.PNG").unlink()
    with pytest.warns(match=r"the frames 1-2, 4 of street have no image"):
        dataset = CVAT(path)
    check_dataset(dataset)
    assert len(dataset) == 3 and len(dataset.problems) == 1 and len(dataset.sequences[0]) == 3


def test_a_video_in_the_form_for_images(tmp_path: Path) -> None:
    """CVAT names the frames without a suffix there, and saves them as .PNG."""
    images(tmp_path / "images", "frame_000000.PNG")
    path = write(tmp_path / "annotations.xml", still("frame_000000", box("dog", "1 2 30 40")))
    assert shown(CVAT(path)) == {"frame_000000.PNG": [("dog", [1, 2, 30, 40])]}


def project(tmp_path: Path) -> Path:
    """Two subsets, each of which has its own a.jpg."""
    images(tmp_path / "images/Train", "a.jpg", "b.jpg")
    images(tmp_path / "images/Validation", "a.jpg")
    body = still("a.jpg", box("dog", "1 2 30 40"), more='subset="Train" task_id="1"')
    body += still("b.jpg", more='subset="Train" task_id="1"')
    body += still("a.jpg", box("cat", "5 6 7 8"), more='subset="Validation" task_id="2"')
    labels = "<labels><label><name>dog</name></label><label><name>cat</name></label></labels>"
    tasks = "<tasks><task><id>1</id><size>2</size></task><task><id>2</id><size>1</size></task></tasks>"
    return write(tmp_path / "annotations.xml", body, f"<project><id>3</id><name>p</name>{tasks}{labels}</project>")


def test_subsets_of_a_project_are_splits(tmp_path: Path) -> None:
    path = project(tmp_path)
    source = find_format(tmp_path)
    assert source.format.name == "cvat" and list(source.splits) == ["train", "val"]
    assert [len(source.open(split)) for split in source.splits] == [2, 1]
    assert shown(source.open("val")) == {"a.jpg": [("cat", [5, 6, 7, 8])]}
    whole = CVAT(path)
    check_dataset(whole)
    assert [len(whole.annotation(index)) for index in range(3)] == [1, 0, 1] and whole.class_names == ("dog", "cat")
    with pytest.raises(
        DataError, match=r"no subset 'train' \(did you mean 'Train'\?\); the subsets there are Train, Val"
    ):
        CVAT(path, subset="train")


def test_images_of_a_project_in_one_folder(tmp_path: Path) -> None:
    images(tmp_path / "mine", "a.jpg", "b.jpg")
    path = project(tmp_path)
    assert len(CVAT(path, tmp_path / "mine", subset="Train")) == 2
    with pytest.warns(match=r"Validation/a.jpg and Train/a.jpg are both found as .*a.jpg; the former is left out"):
        assert len(CVAT(path, tmp_path / "mine")) == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (still("a.jpg", box("dog", "1 2 x 40")), "shape 1 of a.jpg: <box>: could not convert string to float: 'x'"),
        (still("a.jpg", '<box label="dog" xtl="1" ytl="2" xbr="5"/>'), "shape 1 of a.jpg: <box>: ybr missing"),
        (still("a.jpg", '<polygon label="dog" points="1,2;3"/>'), "points: expected x,y;x,y;..."),
        (still("a.jpg", box("", "1 2 30 40")), "shape 1 of a.jpg: no label"),
        (still("a.jpg", box("dog", "1 2 30 40", 'rotation="1e999"')), "shape 1 of a.jpg: <box>: rotation is inf"),
        (still("a.jpg", box("dog", "30 2 1 40")), "shape 1 of a.jpg: the box [30, 2, 1, 40] (x1 y1 x2 y2) is inverted"),
        (still("a.jpg", '<bux label="dog"/>'), "1 shapes that have no box are left out: <bux> (unknown) 1"),
        (still("a.jpg", '<box label="dog" xtl="1" ytl="2" xbr="5" ybr="6" rotatin="9"/>'), "did you mean 'rotation'?"),
        (still("a.jpg") + still("a.jpg", box("dog", "1 2 3 4")), "the image a.jpg is there again, with 1 shapes"),
        (still("a.jpg") + still("z.jpg"), "no such file"),
        (still("a.jpg") + '<imag name="b.jpg"/>', "elements that CVAT's XML 1.1 does not have are left out: <imag> 1"),
        (still("a.jpg") + still(""), "image 0 has no name"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, body: str, expected: str) -> None:
    images(tmp_path, "a.jpg")
    path = write(tmp_path / "annotations.xml", body)
    with pytest.warns():
        dataset = CVAT(path)
    assert expected in messages(dataset) and sum(len(dataset.annotation(i)) for i in range(len(dataset))) <= 1
    with pytest.raises(DataError, match="strict=True"):
        CVAT(path, strict=True)


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([at(0, "1 2 3 4"), at(0, "1 2 3 4")], "track 0, shape 2: frame 0 is there again"),
        ([at(0, "1 2 3 4", outside=2)], "track 0, shape 1: outside is '2', expected 0 or 1"),
        ([at(0, "1 2 3 4").replace('frame="0"', 'frame="x"', 1)], "track 0, shape 1: frame is no whole number"),
        ([at(0, "1 2 3 4"), at(77, "1 2 3 4")], "a dog is in 1 frames that the video does not have (77 ...)"),
        ([at(0, "1 2 3 4"), at(999999999, "1 2 3 4")], "in 1 frames that the video does not have (999999999 ...)"),
        (['<polyline frame="0" points="1,2;3,4" outside="0" keyframe="1"/>'], "polyline 1"),
    ],
)
def test_what_is_wrong_with_a_track_is_named(tmp_path: Path, shapes: list[str], expected: str) -> None:
    with pytest.warns():
        dataset = CVAT(video(tmp_path, track(0, "dog", *shapes)))
    assert expected in messages(dataset)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "cannot be read as XML"),
        (f"{HEAD}<image", "cannot be read as XML"),
        ("<annotation><object/></annotation>", "expected CVAT's <annotations>, got <annotation> .*Pascal VOC"),
        ('<!DOCTYPE a [<!ENTITY b "c">]>\n<annotations></annotations>', "document type declaration, which is refused"),
        ("<annotations></annotations>", "no image and no track in it"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "annotations.xml").write_text(text)
    with pytest.raises(DataError, match=expected):
        CVAT(tmp_path / "annotations.xml")


def test_two_videos_of_one_project_have_the_same_frames(tmp_path: Path) -> None:
    tracks = [track(n, "dog", at(0, "1 2 3 4"), more=f'task_id="{n}" subset="default"') for n in (1, 2)]
    with pytest.raises(
        DataError, match=r"two videos of the project are in the subset default.*export each task by itself"
    ):
        CVAT(write(tmp_path / "annotations.xml", "".join(tracks)))


def test_a_big_file_is_read_as_a_stream(tmp_path: Path) -> None:
    images(tmp_path / "images", "a.jpg")
    shapes = [box("dog", f"{n % 50} 2 {n % 50 + 9} 40") for n in range(30_000)]  # 3 MB, three blocks
    dataset = CVAT(write(tmp_path / "annotations.xml", still("a.jpg", *shapes)))
    assert len(dataset.annotation(0)) == 30_000
