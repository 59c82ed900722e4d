"""Keypoints of every format that states them: places, visibilities and skeletons, and from one format to another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from centernet.annotations.keypoints import CROWDPOSE_SIGMAS, flip_pairs
from centernet.data import COCO, CVAT, MPII, YOLO, DataError, DataWarning, DetectionDataset
from centernet.data.convert import convert
from centernet.data.detect_format import find_format
from centernet.skeleton import COCO_PERSON
from centernet.testing import check_dataset

NAMES = ["nose", "left_ear", "right_ear"]
POSES = [[[30, 20, 2], [40, 18, 1], [0, 0, 0]], [[50.5, 60.25, 2], [70, 55, 2], [44, 57, 2]]]


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (100, 80), (90, 120, 40)).save(path)
    return path


def coco(folder: Path, annotations: list[Any], *, names: Any = NAMES, edges: Any = ((1, 2), (1, 3))) -> Path:
    picture(folder / "images/a.jpg")
    category = {"id": 3, "name": "cat", "keypoints": names, "skeleton": edges}
    rows = [{"id": n, "image_id": 7, "category_id": 3, **row} for n, row in enumerate(annotations)]
    image = {"id": 7, "file_name": "a.jpg", "height": 80, "width": 100}
    path = folder / "annotations.json"
    path.write_text(json.dumps({"images": [image], "annotations": rows, "categories": [category]}))
    return path


def two_cats(folder: Path) -> Path:
    boxes = [[20, 10, 30, 20], [40, 50, 40, 20]]
    flat = [[value for point in pose for value in point] for pose in POSES]
    return coco(folder, [{"bbox": box, "keypoints": pose} for box, pose in zip(boxes, flat, strict=True)])


def poses_of(dataset: DetectionDataset) -> Any:
    check_dataset(dataset)
    return dataset.annotation(0).data["keypoints"]


def test_coco(tmp_path: Path) -> None:
    """Visibilities are kept, edges count from 1 in the file, pairs are found by their names."""
    dataset = COCO(two_cats(tmp_path))
    assert np.array_equal(poses_of(dataset), np.array(POSES, dtype=np.float32))
    skeleton = dataset.fields[0].skeleton
    assert skeleton is not None and skeleton.names == tuple(NAMES)
    assert skeleton.edges == ((0, 1), (0, 2)) and skeleton.flip_pairs == ((1, 2),) and skeleton.sigmas == (0.05,) * 3
    assert COCO(tmp_path / "annotations.json", keypoints=False).fields == ()
    assert dataset.annotation(0).data["keypoints"].flags.writeable is False


def test_wrong_keypoints_leave_the_box(tmp_path: Path) -> None:
    box = {"bbox": [20, 10, 30, 20]}
    wrong = ([1, 2, 2], [30, 20, 5, 40, 18, 1, 0, 0, 0], [30, 20, 2, "40", 18, 1, 0, 0, 0])
    rows = [{**box, "keypoints": values} for values in wrong]
    with pytest.warns(DataWarning, match="bad-keypoints"):
        dataset = COCO(
            coco(tmp_path, [*rows, {"bbox": [1, 1, 9, 9]}, {**box, "keypoints": [9, 8, 1, 3, 2, 0, 5, 5, 2]}])
        )
    points = poses_of(dataset)
    assert not points[:4].any() and points[4].tolist() == [[9, 8, 1], [0, 0, 0], [5, 5, 2]]
    texts = "; ".join(problem.message for problem in dataset.problems)
    assert "it has 1 keypoints, its category names 3" in texts and "is 5, expected 0 (not labelled)" in texts
    assert "no finite numbers" in texts


def test_coco_person_and_crowdpose(shared: Path, tmp_path: Path) -> None:
    """The figures of the file: 103 persons with keypoints, 1,305 of them labelled; the skeleton is the model's."""
    path = shared / "data/coco/person_keypoints.json"
    entries = json.loads(path.read_text())["annotations"]
    dataset = COCO(path)
    assert dataset.fields[0].skeleton == COCO_PERSON
    points = dataset.columns.data["keypoints"]
    assert (points[..., 2] > 0).any(1).sum() == sum(entry["num_keypoints"] > 0 for entry in entries)
    assert (points[..., 2] > 0).sum() == sum(entry["num_keypoints"] for entry in entries)
    crowd = (
        *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip"),
        *("right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "head", "neck"),
    )
    row = {"bbox": [20, 10, 30, 20], "keypoints": [25, 15, 2] * 14, "iscrowd": 0}
    skeleton = COCO(coco(tmp_path, [row], names=list(crowd), edges=[])).fields[0].skeleton
    assert skeleton is not None and skeleton.sigmas == CROWDPOSE_SIGMAS and len(skeleton.flip_pairs) == 6


def yolo(folder: Path, rows: list[str], **content: Any) -> Path:
    picture(folder / "images/train/a.jpg")
    (folder / "labels/train").mkdir(parents=True)
    (folder / "labels/train/a.txt").write_text("\n".join(rows))
    (folder / "data.yaml").write_text(yaml.safe_dump({"train": "images/train", "names": ["cat"], **content}))
    return folder / "data.yaml"


@pytest.mark.parametrize("numbers", [2, 3])
def test_yolo_pose(tmp_path: Path, numbers: int) -> None:
    """Of two numbers a point below 0 or at 0 0 is none; a mirror is flip_idx."""
    points = [(0.3, 0.25, 2), (0.4, 0.225, 1), (0, 0, 0)]
    row = "0 .35 .25 .3 .25 " + " ".join(" ".join(map(str, point[:numbers])) for point in points)
    path = yolo(tmp_path, [row, "0 .5 .5 .2 .2"], kpt_shape=[3, numbers], flip_idx=[0, 2, 1])
    dataset = YOLO(path)
    expected = [[30, 20, 2], [40, 18, 1 if numbers == 3 else 2], [0, 0, 0]]
    np.testing.assert_allclose(poses_of(dataset)[0], expected, rtol=1e-6)
    assert not dataset.annotation(0).data["keypoints"][1].any()
    skeleton = dataset.fields[0].skeleton
    assert skeleton is not None and skeleton.flip_order == (0, 2, 1) and skeleton.names[0] == "point_1"
    assert YOLO(path, keypoints=False).fields == ()


def test_yolo_of_a_person_and_with_wrong_flip_idx(tmp_path: Path) -> None:
    order = list(COCO_PERSON.flip_order)
    row = "0 .5 .5 .2 .2" + " .5 .5 2" * 17
    assert YOLO(yolo(tmp_path / "a", [row], kpt_shape=[17, 3], flip_idx=order)).fields[0].skeleton == COCO_PERSON
    with pytest.raises(DataError, match=r"flip_idx is \['0', '1'\], expected for each of the 17"):
        YOLO(yolo(tmp_path / "b", [row], kpt_shape=[17, 3], flip_idx=[0, 1]))


CVAT_META = """<meta><task><labels>
<label><name>cat</name><type>skeleton</type><svg>&lt;line data-node-from="1" data-node-to="2"&gt;
&lt;circle data-node-id="1" data-label-name="nose"&gt;
&lt;circle data-node-id="2" data-label-name="right_ear"&gt;</svg></label>
<label><name>nose</name><type>points</type><parent>cat</parent></label>
<label><name>left_ear</name><type>points</type><parent>cat</parent></label>
<label><name>right_ear</name><type>points</type><parent>cat</parent></label></labels></task></meta>"""


def skeleton_xml(pose: Any, attributes: str = "") -> str:
    points = "".join(
        f'<points label="{name}" outside="{int(v == 0)}" occluded="{int(v == 1)}" points="{x},{y}"/>'
        for name, (x, y, v) in sorted(zip(NAMES, pose, strict=True), reverse=True)
    )
    return f'<skeleton label="cat" {attributes}>{points}</skeleton>'


def test_cvat_skeletons(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.jpg")
    shapes = "".join(map(skeleton_xml, POSES)) + '<box label="cat" xtl="1" ytl="2" xbr="9" ybr="8"/>'
    image = f'<image id="0" name="a.jpg" width="100" height="80">{shapes}</image>'
    (tmp_path / "a.xml").write_text(f"<annotations>{CVAT_META}{image}</annotations>")
    dataset = CVAT(tmp_path / "a.xml")
    assert np.array_equal(poses_of(dataset), np.array([*POSES, np.zeros((3, 3))], dtype=np.float32))
    assert dataset.annotation(0).boxes.tolist() == [[30, 18, 40, 20], [44, 55, 70, 60.25], [1, 2, 9, 8]]
    skeleton = dataset.fields[0].skeleton
    assert skeleton is not None and skeleton.names == tuple(NAMES) and skeleton.edges == ((0, 2),)


def test_cvat_skeletons_of_a_video_move_evenly(tmp_path: Path) -> None:
    for frame in range(5):
        picture(tmp_path / f"images/frame_{frame:06d}.png")
    end = np.add(POSES[1], [8, 4, 0])
    shapes = skeleton_xml(POSES[1], 'frame="0" keyframe="1"') + skeleton_xml(end, 'frame="4" keyframe="1"')
    (tmp_path / "a.xml").write_text(f'<annotations>{CVAT_META}<track id="0" label="cat">{shapes}</track></annotations>')
    dataset = CVAT(tmp_path / "a.xml")
    check_dataset(dataset)
    expected = np.add(POSES[1], [4, 2, 0])
    np.testing.assert_allclose(dataset.annotation(2).data["keypoints"][0], expected, rtol=1e-6)
    low, high = expected[:, :2].min(0), expected[:, :2].max(0)
    np.testing.assert_allclose(dataset.annotation(2).boxes[0], [*low, *high], rtol=1e-6)


JOINTS = [[-1.0, -1.0], *([float(31 + n), float(21 + 2 * n)] for n in range(15))]


def test_mpii(tmp_path: Path) -> None:
    """The JSON of HRNet and MMPose counts pixels from 1 and says which joints there are."""
    picture(tmp_path / "images/a.jpg")
    person = {"joints_vis": [0] + [1] * 15, "joints": JOINTS, "image": "a.jpg", "scale": 0.2, "center": [40, 30]}
    (tmp_path / "annot").mkdir()
    (tmp_path / "annot/train.json").write_text(json.dumps([person, {**person, "joints_vis": [1]}]))
    source = find_format(tmp_path)
    assert source.format.name == "mpii" and list(source.splits) == ["train"]
    dataset = source.open("train")
    check_dataset(dataset)
    points = dataset.annotation(0).data["keypoints"]
    assert points.shape == (1, 16, 3) and points[0, 0].tolist() == [0, 0, 0] and points[0, 1].tolist() == [30, 20, 2]
    assert dataset.annotation(0).boxes.tolist() == [[26, 16, 48, 52]]
    assert [problem.kind for problem in dataset.problems if problem.kind != "assumed"] == ["bad-row"]
    assert isinstance(dataset, MPII) and dataset.fields[0].skeleton is not None
    assert len(dataset.fields[0].skeleton.flip_pairs) == 6


def test_mpii_as_matlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of MPII's own file the images for training, with joints that are hidden; scipy is asked for by name."""
    io = pytest.importorskip("scipy.io")
    picture(tmp_path / "images/a.jpg")
    picture(tmp_path / "images/b.jpg")
    points = np.zeros(2, dtype=[("x", "O"), ("y", "O"), ("id", "O"), ("is_visible", "O")])
    points[0], points[1] = (31.0, 21.0, 1, 1), (51.0, 61.0, 9, 0)
    rect = {"scale": 0.2, "annopoints": {"point": points}}
    annolist = np.zeros(2, dtype=[("image", "O"), ("annorect", "O")])
    annolist[0], annolist[1] = ({"name": "a.jpg"}, rect), ({"name": "b.jpg"}, {"scale": 1.0})
    path = tmp_path / "mpii_human_pose_v1_u12_1.mat"
    io.savemat(path, {"RELEASE": {"annolist": annolist, "img_train": np.array([1, 0])}})
    dataset = find_format(path).open("train")
    found = dataset.annotation(0).data["keypoints"][0]
    assert len(dataset) == 1 and found[1].tolist() == [30, 20, 2] and found[9].tolist() == [50, 60, 1]
    assert np.count_nonzero(found[:, 2]) == 2
    monkeypatch.setitem(__import__("sys").modules, "scipy.io", None)
    with pytest.raises(DataError, match="needs scipy: pip install scipy"):
        MPII(path)


@pytest.mark.parametrize("to", ["coco", "yolo"])
def test_keypoints_from_format_to_format(tmp_path: Path, to: Any) -> None:
    picture(tmp_path / "cvat/images/a.jpg")
    image = f'<image id="0" name="a.jpg" width="100" height="80">{"".join(map(skeleton_xml, POSES))}</image>'
    (tmp_path / "cvat/a.xml").write_text(f"<annotations>{CVAT_META}{image}</annotations>")
    sources: dict[str, DetectionDataset] = {
        "coco": COCO(two_cats(tmp_path / "coco")),
        "cvat": CVAT(tmp_path / "cvat/a.xml"),
    }
    for name, dataset in sources.items():
        done = convert({"train": dataset}, tmp_path / f"{name}-{to}", to=to)
        again = find_format(tmp_path / f"{name}-{to}").open("train")
        np.testing.assert_allclose(poses_of(again), poses_of(dataset), atol=1e-3)
        before, after = (d.fields[0].skeleton for d in (dataset, again))
        assert before is not None and after is not None and before.names == after.names
        assert before.flip_pairs == after.flip_pairs
        assert (before.edges == after.edges) == (to == "coco")
        assert any("limbs" in text for text in done.losses) == (to == "yolo")


def test_keypoints_that_a_format_has_not_are_said_to_be_lost(tmp_path: Path) -> None:
    done = convert({"train": COCO(two_cats(tmp_path))}, tmp_path / "voc", to="voc")
    assert "2 objects whose keypoints are lost: VOC has none" in done.losses


def test_pairs_by_name() -> None:
    for names in (
        ("left_eye", "right_eye"),
        ("eye-l", "eye-r"),
        ("LEye", "REye"),
        ("EyeL", "EyeR"),
        ("leftEye", "rightEye"),
    ):
        assert flip_pairs(["nose", *names]) == ((1, 2),), names
    assert flip_pairs(["leg", "reg", "bright", "blight"]) == ()
