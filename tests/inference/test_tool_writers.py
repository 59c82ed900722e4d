"""What `centernet detect` writes for annotation tools: the tools take it, and what they save is read again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet.column import Column
from centernet.data import COCO, CVAT, DetectionDataset, LabelMe, LabelStudio
from centernet.detections import Detections
from centernet.inference import CvatWriter, Frame, LabelmeWriter, LabelStudioWriter, frames, open_source
from centernet.skeleton import Skeleton

NAMES = ("cat", 'Hündin & "co" <3', "bird, big")
BOXES = {
    "a b.jpg": [("cat", [4.25, 5.5, 30.75, 40]), ("bird, big", [0, 0, 80, 60]), (NAMES[1], [60, 41.5, 79, 58])],
    "none.jpg": [],
    "sub/c.png": [("cat", [10, 10, 20.5, 30])],
}
Boxes = dict[str, list[tuple[str, list[float]]]]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `photos`, and beside it `found` with the files of all tools."""
    monkeypatch.chdir(tmp_path)
    for name in BOXES:
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 60), "gray").save(path)
    writers = CvatWriter("found/cvat.xml", NAMES), LabelStudioWriter("found/label_studio.json", "mine", NAMES)
    with ExitStack() as stack:
        for writer in (*writers, LabelmeWriter("found/labelme", NAMES)):
            stack.enter_context(writer)
            for frame in frames(open_source("photos", recursive=True)):
                rows = BOXES[frame.name]
                labels = [NAMES.index(label) for label, _ in rows]
                boxes = [box for _, box in rows]
                writer.write(frame, Detections(boxes, labels, [0.9] * len(rows), class_names=NAMES))
    return tmp_path


def boxes_of(dataset: DetectionDataset) -> Boxes:
    found: Boxes = {}
    for index in range(len(dataset)):
        truth = dataset.annotation(index)
        rows = zip(truth.labels.tolist(), truth.boxes.tolist(), strict=True)
        found[truth.path.name] = [(dataset.class_names[label], box) for label, box in rows]
    return found


def expected(change: Callable[[list[Any]], list[Any]] = list) -> Boxes:
    return {Path(name).name: change(rows) for name, rows in BOXES.items()}


def corrected(rows: list[Any]) -> list[Any]:
    """The first is moved, the second deleted, and at the end stands a new one."""
    moved = [(label, [v + 1 for v in box]) for label, box in rows[:1]]
    return [*moved, *rows[2:], ("cat", [1.0, 2.0, 33.0, 44.0])]


def check(found: Boxes, wanted: Boxes, tolerance: float = 0.02) -> None:
    assert found.keys() == wanted.keys()
    for name, rows in wanted.items():
        (got, want) = (sorted(part, key=str) for part in (found[name], rows))
        assert [label for label, _ in got] == [label for label, _ in want], name
        np.testing.assert_allclose([b for _, b in got], [b for _, b in want], atol=tolerance, err_msg=name)


def accepted(path: Path) -> Path:
    """Label Studio's tasks as an annotator who changes nothing submits them."""
    tasks = json.loads(path.read_text("utf-8"))
    for task in tasks:
        task["annotations"] = [{"result": prediction["result"]} for prediction in task.pop("predictions")]
    path.with_name("export.json").write_text(json.dumps(tasks), "utf-8")
    return path.with_name("export.json")


def test_our_readers_read_them(written: Path) -> None:
    check(boxes_of(CVAT("found/cvat.xml", "photos", strict=True)), expected())
    check(boxes_of(LabelStudio(accepted(Path("found/label_studio.json")), "photos", strict=True)), expected())
    check(boxes_of(LabelMe("found/labelme", "photos", strict=True)), expected())
    assert CVAT("found/cvat.xml", "photos").class_names == NAMES
    labels = json.loads(Path("found/cvat_labels.json").read_text("utf-8"))
    assert [label["name"] for label in labels] == Path("found/labelme/labels.txt").read_text("utf-8").splitlines()
    assert [label["name"] for label in labels] == list(NAMES)


@pytest.mark.filterwarnings("ignore")  # those of others
def test_datumaro_takes_cvat_s_and_gives_it_back(written: Path) -> None:
    """datumaro reads CVAT's form as CVAT's own server does, and writes it."""
    datumaro = pytest.importorskip("datumaro")
    shutil.copytree("photos", "found/images")  # where datumaro looks
    data = datumaro.Dataset.import_from("found/cvat.xml", "cvat")
    names = [label.name for label in data.categories()[datumaro.AnnotationType.label]]
    assert tuple(names) == NAMES
    items = []
    for item in data:
        boxes = [box for box in item.annotations if box.type == datumaro.AnnotationType.bbox]
        moved = [box.wrap(x=box.x + 1, y=box.y + 1) for box in boxes[:1]]
        items.append(item.wrap(annotations=[*moved, *boxes[2:], datumaro.Bbox(1, 2, 32, 42, label=0)]))
    datumaro.Dataset.from_iterable(items, categories=data.categories()).export("corrected", "cvat")
    (path,) = Path("corrected").glob("*.xml")
    check(boxes_of(CVAT(path, "photos")), expected(corrected))


@pytest.mark.filterwarnings("ignore")  # those of others
def test_label_studio_takes_them_and_its_converter_gives_them_back(written: Path) -> None:
    pytest.importorskip("label_studio_sdk")
    from label_studio_sdk.converter import Converter
    from label_studio_sdk.label_interface import LabelInterface

    interface = LabelInterface(Path("found/label_studio.xml").read_text("utf-8"))
    for task in json.loads(Path("found/label_studio.json").read_text("utf-8")):
        assert interface.validate_task({"data": task["data"]})
        assert all(interface.validate_prediction(prediction) for prediction in task["predictions"])
    export = accepted(Path("found/label_studio.json"))
    tasks = json.loads(export.read_text())
    for number, task in enumerate(tasks):
        task["id"] = number
    export.write_text(json.dumps(tasks))
    converter = Converter("found/label_studio.xml", "found", download_resources=False)
    converter.convert_to_coco(str(export), "as_coco", is_dir=False)
    content = json.loads(Path("as_coco/result.json").read_text())
    for image in content["images"]:
        image["file_name"] = image["file_name"].partition("?d=")[2].replace("%20", " ")
    Path("as_coco/result.json").write_text(json.dumps(content))
    check(boxes_of(COCO("as_coco/result.json", "photos")), expected())


@pytest.mark.filterwarnings("ignore")  # those of others
def test_labelme_opens_and_saves_them(written: Path) -> None:
    pytest.importorskip("labelme")
    from labelme._label_file import read_label_file, write_label_file

    for path in sorted(Path("found/labelme").glob("*.json")):
        data = read_label_file(str(path))  # with the image, by its path
        assert data.image_data
        keys = ("label", "points", "group_id", "shape_type", "flags", "description")
        shapes = [{key: shape[key] for key in keys} | shape["other_data"] for shape in data.shapes]
        for shape in shapes[:1]:
            shape["points"] = [[x + 1, y + 1] for x, y in shape["points"]]
        new = {"label": "cat", "points": [[33, 44], [1, 2]], "shape_type": "rectangle"}
        write_label_file(
            str(path), shapes=[*shapes[:1], *shapes[2:], new], image_path=data.image_path, image_height=60,
            image_width=80,
        )  # fmt: skip
    check(boxes_of(LabelMe("found/labelme", "photos")), expected(corrected))


SKELETON = Skeleton(("nose", "left ear", 'right "ear"'), ((1, 2),), ((0, 1), (0, 2)))
FOUND = np.array([[[20, 21.5, 0.9], [30, 22, 0.05], [25, 30, 0.4]], [[1, 1, 0.01], [2, 2, 0.02], [3, 3, 0.03]]])
TRUE = [[[20, 21.5, 2], [0, 0, 0], [25, 30, 2]], [[0, 0, 0]] * 3]
"""Keypoints as a model finds them, and as files state them: those of a low score are not labelled."""


@pytest.fixture
def posed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same as `written`, of one image with two cats, of which one has keypoints that are sure."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Image.new("RGB", (80, 60), "gray").save("photos/a.jpg")
    column = Column("keypoints", "points", (3, 3), skeleton=SKELETON)
    boxes, data = [[10, 10, 40, 50], [0, 0, 20, 20]], {"keypoints": FOUND}
    found = Detections(boxes, [0, 0], [0.9, 0.8], class_names=NAMES, columns=[column], data=data)
    with CvatWriter("found/cvat.xml", NAMES) as cvat, LabelmeWriter("found/labelme", NAMES) as labelme:
        for frame in frames(open_source("photos")):
            cvat.write(frame, found)
            labelme.write(frame, found)
    assert "1 are skeletons, which have no box" in cvat.summary()
    return tmp_path


def check_keypoints(dataset: DetectionDataset, boxes: Any, *, edges: Any = SKELETON.edges) -> None:
    truth, skeleton = dataset.annotation(0), dataset.fields[0].skeleton
    assert skeleton is not None and skeleton.edges == edges
    order = [skeleton.names.index(name) if name in skeleton.names else -1 for name in SKELETON.names]
    points = np.pad(truth.data["keypoints"], ((0, 0), (0, 1), (0, 0)))[:, order]  # a name that is nowhere has zeros
    np.testing.assert_allclose(points, TRUE, atol=0.01)
    np.testing.assert_allclose(truth.boxes, boxes, atol=0.01)


def test_keypoints_are_read_again(posed: Path) -> None:
    """CVAT's skeletons have the box around their points."""
    check_keypoints(CVAT("found/cvat.xml", "photos", strict=True), [[20, 21.5, 25, 30], [0, 0, 20, 20]])
    check_keypoints(LabelMe("found/labelme", "photos", strict=True), [[10, 10, 40, 50], [0, 0, 20, 20]], edges=())
    (label, *_) = json.loads(Path("found/cvat_labels.json").read_text("utf-8"))
    assert label["type"] == "skeleton" and [part["name"] for part in label["sublabels"]] == list(SKELETON.names)


@pytest.mark.filterwarnings("ignore")  # those of others
def test_labelme_keeps_keypoints(posed: Path) -> None:
    pytest.importorskip("labelme")
    from labelme._label_file import read_label_file, write_label_file

    (path,) = Path("found/labelme").glob("*.json")
    data = read_label_file(str(path))
    keys = ("label", "points", "group_id", "shape_type", "flags", "description")
    shapes = [{key: shape[key] for key in keys} | shape["other_data"] for shape in data.shapes]
    write_label_file(str(path), shapes=shapes, image_path=data.image_path, image_height=60, image_width=80)
    check_keypoints(LabelMe("found/labelme", "photos"), [[10, 10, 40, 50], [0, 0, 20, 20]], edges=())


def test_frames_of_a_video_and_images_behind_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    Image.new("RGB", (8, 6)).save("real/1.jpg")
    Path("data/images").mkdir(parents=True)
    Path("data/images/x.jpg").symlink_to(tmp_path / "real/1.jpg")
    with LabelmeWriter("found/labelme") as writer:
        for frame in frames("data/images"):
            writer.write(frame, Detections.empty())
        writer.write(
            Frame(np.zeros((6, 8, 3), np.uint8), "clip_000003", Path("clip.mp4"), 3, is_part=True), Detections.empty()
        )
    stated = {path.name: json.loads(path.read_text())["imagePath"] for path in Path("found/labelme").iterdir()}
    assert stated == {"x.json": "../../data/images/x.jpg", "clip_000003.json": "clip_000003.jpg"}
