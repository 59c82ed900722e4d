"""Small data sets of every format on disk, with an independent reading of one file of each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from centernet.annotations.kitti import KITTI_CLASSES
from centernet.annotations.mot import MOT_CLASSES
from centernet.data import (
    COCO,
    CSV,
    CVAT,
    KITTI,
    MOT,
    VOC,
    YOLO,
    CrowdHuman,
    DetectionDataset,
    KITTITracking,
    LabelMe,
    LabelStudio,
    OpenImages,
    WIDERFace,
)

HEIGHT, WIDTH = 60, 80
NUMBER = re.compile(r"[ \t\r]*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[ \t\r]*")
Boxes = list[list[float]]


@dataclass
class Small:
    """A data set of 80×60 pictures on disk, one file of which is damaged.

    Attributes:
        file: the one.
        read: the data set.
        count: checks that what the damaged file still holds is in the data set or named.
        boxes: the well-formed boxes of the damaged file, x1 y1 x2 y2, uncut; None where it holds no boxes.
        others: number of boxes from other files.
    """

    file: Path
    read: Callable[[], DetectionDataset]
    count: Callable[[bytes, DetectionDataset], None]
    boxes: Callable[[bytes], Boxes] | None = None
    others: int = 0


def pictures(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True)
    for name in names:
        Image.new("RGB", (WIDTH, HEIGHT), "gray").save(folder / name)


def lines_of(data: bytes) -> list[str]:
    return [line for line in data.decode("utf-8", "surrogateescape").split("\n") if line.strip()]


def numbers(texts: list[str]) -> list[float] | None:
    return [float(text) for text in texts] if all(map(NUMBER.fullmatch, texts)) else None


def from_xywh(box: list[float], first: float = 0) -> list[float]:
    x, y, w, h = box
    return [x - first, y - first, x - first + w, y - first + h]


def boxes_of(dataset: DetectionDataset) -> int:
    return sum(len(dataset.annotation(index)) for index in range(len(dataset)))


def named_lines(dataset: DetectionDataset) -> int:
    """Rows of a table that the problems tell of."""
    count = 0
    for problem in dataset.problems:
        several = re.search(r"their (\d+) boxes", problem.message)
        count += int(several[1]) if several else problem.message.startswith("line ")
    return count


def left_out(dataset: DetectionDataset) -> int:
    """Boxes of classes that were not asked for, as the problems tell of them."""
    found = (re.match(r"(\d+) boxes of classes", problem.message) for problem in dataset.problems)
    return sum(int(match[1]) for match in found if match)


def every_line(others: int) -> Callable[[bytes, DetectionDataset], None]:
    """Each line of the file is a box or named; `others` boxes are from other files."""

    def count(data: bytes, dataset: DetectionDataset) -> None:
        assert boxes_of(dataset) - others + named_lines(dataset) == len(lines_of(data))

    return count


def nothing_lost(boxes: int) -> Callable[[bytes, DetectionDataset], None]:
    """Less than the undamaged data set had, only with a problem."""

    def count(_: bytes, dataset: DetectionDataset) -> None:
        assert boxes_of(dataset) == boxes or dataset.problems

    return count


def loaded(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def four(values: Any) -> list[float] | None:
    """Four numbers of JSON, as numbers or text."""
    if not isinstance(values, list) or len(values) != 4:
        return None
    texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
    return numbers(texts)


ROWS = "".join(
    f"{frame},{track},{10 * track + frame}.5,{8 + frame},{9 + track}.25,21,1,{1 + track % 3},0.{track}5\n"
    for track in range(1, 5)
    for frame in range(1, 5)
)
SEQUENCE = "[Sequence]\nname=A\nimDir=img1\nframeRate=25\nseqLength=4\nimWidth=80\nimHeight=60\nimExt=.jpg\n"


def mot(root: Path) -> None:
    pictures(root / "A/img1", [f"{frame:06d}.jpg" for frame in range(1, 5)])
    (root / "A/gt").mkdir()
    (root / "A/gt/gt.txt").write_text(ROWS)
    (root / "A/seqinfo.ini").write_text(SEQUENCE)


def mot_boxes(width: int) -> Callable[[bytes], Boxes]:
    def boxes(data: bytes) -> Boxes:
        rows = [line.strip().rstrip(",").split(",") for line in lines_of(data)]
        widths = {width} if any(len(row) == width for row in rows) else {7, 8, 9, 10}  # other forms of the file
        stated = [numbers(row[:7]) for row in rows if len(row) in widths]
        return [from_xywh(row[2:6], 1) for row in stated if row]

    return boxes


def mot_truth(root: Path) -> Small:
    mot(root)
    file = root / "A/gt/gt.txt"
    return Small(file, lambda: MOT(root, class_names=MOT_CLASSES), every_line(0), mot_boxes(9))


def mot15_truth(root: Path) -> Small:
    mot(root)
    file = root / "A/gt/gt.txt"
    file.write_text(re.sub(r",\d,[\d.]+$", ",-1,-1,-1", ROWS, flags=re.MULTILINE))
    return Small(file, lambda: MOT(root, amodal=True), every_line(0), mot_boxes(10))


def mot_info(root: Path) -> Small:
    mot(root)
    return Small(root / "A/seqinfo.ini", lambda: MOT(root, class_names=MOT_CLASSES), nothing_lost(16))


def kitti(root: Path) -> Small:
    pictures(root / "image_02/0000", [f"{frame:06d}.png" for frame in range(4)])
    (root / "label_02").mkdir()
    names = ("Car", "Van", "Pedestrian", "DontCare")
    rest = "1.5 1.6 3.9 1.0 2.0 30.0 -1.6"
    rows = [
        f"{frame} {track % 4 - 1} {names[-track]} 0 1 -1.57 {9 * track + frame}.25 5.5 {9 * track + 8} 40 {rest}"
        for frame in range(4)
        for track in range(1, 5)
    ]
    file = root / "label_02/0000.txt"
    file.write_text("".join(f"{row}\n" for row in rows))

    def boxes(data: bytes) -> Boxes:
        rows = [line.split() for line in lines_of(data)]
        stated = [numbers(row[6:10]) for row in rows if len(row) == 17]
        return [row for row in stated if row]

    return Small(file, lambda: KITTITracking(root, class_names=KITTI_CLASSES), every_line(0), boxes)


def kitti_detection(root: Path) -> Small:
    pictures(root / "image_2", ["000000.png", "000001.png"])
    (root / "label_2").mkdir()
    rest = "1.5 1.6 3.9 1.0 2.0 30.0 -1.6"
    names = ("Car", "Van", "Pedestrian", "DontCare", "Car")
    rows = [f"{name} 0.1{i} {i % 4} -1.57 {9 * i}.25 5.5 {9 * i + 8} 40 {rest}" for i, name in enumerate(names)]
    for stem in ("000000", "000001"):
        (root / f"label_2/{stem}.txt").write_text("".join(f"{row}\n" for row in rows))

    def boxes(data: bytes) -> Boxes:
        found = []
        for fields in (line.split() for line in lines_of(data)):
            first = next((place for place, text in enumerate(fields) if place and NUMBER.fullmatch(text)), 0)
            row = numbers(fields[first + 3 : first + 7])
            found += [row] if row and len(fields) - first in (14, 15) else []
        return found

    def read() -> DetectionDataset:
        return KITTI(root, class_names=KITTI_CLASSES)

    return Small(root / "label_2/000000.txt", read, every_line(5), boxes, others=5)


def csv_of(text: str, places: slice) -> Callable[[Path], Small]:
    """A CSV file with the corners of boxes at some places of each row."""

    def make(root: Path) -> Small:
        pictures(root / "images", ["a.jpg", "b.jpg"])
        file = root / "boxes.csv"
        file.write_text(text)
        header = text.startswith("filename")

        def count(data: bytes, dataset: DetectionDataset) -> None:
            empty = sum(not any(row.split(",")[places]) for row in lines_of(data)[header:])
            missing = sum(problem.kind == "missing-image" for problem in dataset.problems)
            left_out = sum(int(p.message.split()[0]) for p in dataset.problems if p.kind == "left-out-class")
            named = named_lines(dataset) + left_out
            assert boxes_of(dataset) + named + empty >= len(lines_of(data)) - header or missing

        def boxes(data: bytes) -> Boxes:
            rows = [numbers([*map(str.strip, line.replace('"', "").split(",")[places])]) for line in lines_of(data)]
            return [row for row in rows if row and len(row) == 4]

        return Small(file, lambda: CSV(file, class_names=["cat", "dog"]), count, boxes)

    return make


BOXES = [(10 * i + 0.5, 3 * i, 10 * i + 20, 3 * i + 30, "dog" if i % 2 else "cat") for i in range(6)]
ROWS_OF_BOXES = [("ab"[i % 2], ",".join(map(str, row[:4])), row[4]) for i, row in enumerate(BOXES)]
csv_plain = csv_of("".join(f"{name}.jpg,{box},{kind}\n" for name, box, kind in ROWS_OF_BOXES), slice(1, 5))
csv_header = csv_of(
    "filename,width,height,class,xmin,ymin,xmax,ymax\n"
    + "".join(f"{name}.jpg,80,60,{kind},{box}\n" for name, box, kind in ROWS_OF_BOXES),
    slice(4, 8),
)


def wider_face(root: Path) -> Small:
    pictures(root / "images/0--Parade", ["a.jpg", "b.jpg"])
    rows = [f"{10 * i} {5 * i} {9 + i}.5 20 0 1 0 {int(i == 2)} 2 1 \n" for i in range(5)]
    file = root / "wider_face_train_bbx_gt.txt"
    file.write_text(f"0--Parade/a.jpg\n3\n{''.join(rows[:3])}0--Parade/b.jpg\n2\n{''.join(rows[3:])}")

    def rows_of(data: bytes) -> list[list[str]]:
        return [row for row in (line.split() for line in lines_of(data)) if len(row) > 3]

    def count(data: bytes, dataset: DetectionDataset) -> None:
        missing = sum(problem.kind in ("missing-image", "duplicate") for problem in dataset.problems)
        assert boxes_of(dataset) + named_lines(dataset) >= len(rows_of(data)) or missing

    def boxes(data: bytes) -> Boxes:
        return [from_xywh(box) for box in (numbers(row[:4]) for row in rows_of(data)) if box]

    return Small(file, lambda: WIDERFace(file, root / "images"), count, boxes)


def open_images(root: Path) -> Small:
    pictures(root / "train", ["a.jpg", "b.jpg"])
    (root / "class-descriptions-boxable.csv").write_text("/m/01,Cat\n/m/02,Dog\n")
    file = root / "train-annotations-bbox.csv"
    header = "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf"
    rows = [f"{'aab'[i % 3]},/m/0{i % 2 + 1},0.{i}5,0.{i + 3},0.{i},0.{i + 2}25,{i % 2}" for i in range(6)]
    file.write_text("\n".join([header, *rows, ""]))

    def count(data: bytes, dataset: DetectionDataset) -> None:
        lost = [re.match(r"(\d+) boxes are of images", problem.message) for problem in dataset.problems]
        named = named_lines(dataset) + sum(int(match[1]) for match in lost if match)
        assert boxes_of(dataset) + named == len(lines_of(data)) - 1

    def boxes(data: bytes) -> Boxes:
        rows = [numbers([*map(str.strip, line.split(",")[2:6])]) for line in lines_of(data)]
        return [[r[0] * WIDTH, r[2] * HEIGHT, r[1] * WIDTH, r[3] * HEIGHT] for r in rows if r and len(r) == 4]

    return Small(file, lambda: OpenImages(file), count, boxes)


def yolo(root: Path) -> None:
    pictures(root / "images", ["a.jpg", "b.jpg"])
    (root / "labels").mkdir()
    rows = "".join(f"{i % 3} 0.{i + 2}5 0.{i + 1}12345 0.{i + 1} 0.2{i}\n" for i in range(5))
    for name in "ab":
        (root / f"labels/{name}.txt").write_text(rows)
    names = "  0: cat\n  1: dog\n  2: bird\n"
    (root / "data.yaml").write_text(f"path: .\ntrain: images\nval: images\nnc: 3\nnames:\n{names}")


def yolo_labels(root: Path) -> Small:
    yolo(root)
    file = root / "labels/a.txt"

    def boxes(data: bytes) -> Boxes:
        found = []
        for line in lines_of(data):
            row = numbers(line.split())
            if row and len(row) == 5:
                x, y, w, h = row[1] * WIDTH, row[2] * HEIGHT, row[3] * WIDTH, row[4] * HEIGHT
                found.append(from_xywh([x - w / 2, y - h / 2, w, h]))
            elif row and len(row) > 6 and len(row) % 2:  # a polygon, which the data set must then name
                x1, x2 = min(row[1::2]) * WIDTH, max(row[1::2]) * WIDTH
                found.append([x1, min(row[2::2]) * HEIGHT, x2, max(row[2::2]) * HEIGHT])
            if row and len(row) == 7:  # or a box with score and identity, which it must name too
                x, y, w, h = row[1] * WIDTH, row[2] * HEIGHT, row[3] * WIDTH, row[4] * HEIGHT
                found.append(from_xywh([x - w / 2, y - h / 2, w, h]))
        return found

    def count(data: bytes, dataset: DetectionDataset) -> None:
        every_line(5)(data, dataset)
        polygons = sum(len(line.split()) > 5 for line in lines_of(data))
        assert not polygons or dataset.problems

    return Small(file, lambda: YOLO(root), count, boxes, others=5)


def yolo_yaml(root: Path) -> Small:
    yolo(root)
    return Small(root / "data.yaml", lambda: YOLO(root), nothing_lost(10))


def crowdhuman(root: Path) -> Small:
    pictures(root / "Images", ["a.jpg", "b.jpg", "c,d.jpg"])
    lines = []
    for name in ("a", "b", "c,d"):
        persons = [
            {
                "tag": "mask" if i == 2 else "person",
                "fbox": [10 * i - 3, 5, 20 + i, 40],
                "vbox": [10 * i, 5, 15, 30],
                "hbox": [10 * i + 3, 5, 8, 9],
                "head_attr": {"ignore": 0, "occ": 1, "unsure": 0},
                "extra": {"box_id": i, "ignore": int(i == 1)},
            }
            for i in range(4)
        ]
        lines.append(json.dumps({"ID": name, "gtboxes": persons}) + "\n")
    file = root / "annotation_train.odgt"
    file.write_text("".join(lines))

    def persons_of(data: bytes) -> list[tuple[str, list[Any]]]:
        entries = [loaded(line) for line in data.split(b"\n")]
        return [(e["ID"], e["gtboxes"]) for e in entries if isinstance(e, dict) and isinstance(e.get("gtboxes"), list)
                and isinstance(e.get("ID"), str)]  # fmt: skip

    def count(data: bytes, dataset: DetectionDataset) -> None:
        problems = [problem for problem in dataset.problems if problem.kind not in ("unknown-key", "unknown-value")]
        of_boxes = [problem for problem in problems if ", box " in problem.message]
        lines = [line for line in data.split(b"\n") if line.strip()]
        assert len(dataset) + len(problems) - len(of_boxes) == len(lines)
        used = {dataset.path(index).stem for index in range(len(dataset))}
        held = dict(
            reversed([(name, persons) for name, persons in persons_of(data) if name in used])
        )  # the first counts
        assert boxes_of(dataset) + len(of_boxes) == sum(map(len, held.values()))

    def boxes(data: bytes) -> Boxes:
        every = [person for _, persons in persons_of(data) for person in persons if isinstance(person, dict)]
        return [from_xywh(box) for box in (four(person.get("fbox")) for person in every) if box]

    return Small(file, lambda: CrowdHuman(file, amodal=True), count, boxes)


def coco(root: Path) -> Small:
    pictures(root / "images", ["a.jpg", "b.jpg"])
    rows = [
        {
            "id": i,
            "image_id": 3 + i % 2,
            "category_id": 1 + i % 3,
            "bbox": [5 * i + 0.5, 6, 20.25, 30],
            "area": 99.5,
            "iscrowd": int(i == 2),
            "segmentation": [],
        }
        for i in range(6)
    ]
    content = {
        "images": [{"id": 3 + i, "file_name": f"{n}.jpg", "height": 60, "width": 80} for i, n in enumerate("ab")],
        "annotations": rows,
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(("cat", "dog", "bird"))],
    }
    file = root / "train.json"
    file.write_text(json.dumps(content, indent=1))

    def count(data: bytes, dataset: DetectionDataset) -> None:
        entries = json.loads(data.decode("utf-8-sig"))
        of_boxes = [
            p
            for p in dataset.problems
            if "annotations[" in p.message and p.kind not in ("unknown-key", "unknown-value")
        ]
        held = entries["annotations"]
        assert boxes_of(dataset) + len(of_boxes) == len(held) or (len(dataset) < 2 and dataset.problems)
        of_pictures = [p for p in dataset.problems if p.kind in ("missing-image", "unreadable-image", "duplicate")]
        assert len(dataset) + len(of_pictures) == len(entries["images"])

    def boxes(data: bytes) -> Boxes:
        entries = json.loads(data.decode("utf-8-sig"))["annotations"]
        return [from_xywh(b) for b in (four(e.get("bbox")) for e in entries if isinstance(e, dict)) if b]

    return Small(file, lambda: COCO(file, root / "images"), count, boxes)


def voc(root: Path) -> None:
    pictures(root / "JPEGImages", ["a.jpg", "b.jpg"])
    (root / "Annotations").mkdir()
    (root / "ImageSets/Main").mkdir(parents=True)
    (root / "ImageSets/Main/train.txt").write_text("a\nb\n")
    rows = "".join(
        f"\t<object>\n\t\t<name>{name}</name>\n\t\t<difficult>{i % 2}</difficult>\n\t\t<bndbox>\n"
        f"\t\t\t<xmin>{5 * i + 1}</xmin>\n\t\t\t<ymin>3</ymin>\n\t\t\t<xmax>{5 * i + 22}.5</xmax>\n"
        "\t\t\t<ymax>40</ymax>\n\t\t</bndbox>\n\t</object>\n"
        for i, name in enumerate(("cat", "dog", "cat"))
    )
    size = "\t<size>\n\t\t<width>80</width>\n\t\t<height>60</height>\n\t</size>\n"
    for name in "ab":
        text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotation>\n{size}{rows}</annotation>\n'
        (root / f"Annotations/{name}.xml").write_text(text)


def voc_xml(root: Path) -> Small:
    voc(root)

    def parsed(data: bytes) -> list[Any] | None:
        try:
            return ElementTree.fromstring(data).findall("object")
        except (ElementTree.ParseError, LookupError, ValueError):
            return None

    def count(data: bytes, dataset: DetectionDataset) -> None:
        objects = parsed(data)
        if objects is None:
            assert len(dataset) == 1 and any(p.kind == "unreadable-annotation" for p in dataset.problems)
            return
        of_boxes = [p for p in dataset.problems if p.message.startswith("object ")]
        left_out = sum(int(p.message.split()[0]) for p in dataset.problems if p.kind == "left-out-class")
        refused = any("document type" in p.message for p in dataset.problems)
        assert refused or boxes_of(dataset) - 3 + len(of_boxes) + left_out == len(objects)

    def boxes(data: bytes) -> Boxes:
        edges = ("xmin", "ymin", "xmax", "ymax")
        texts = [[entry.findtext(f"bndbox/{edge}") or "" for edge in edges] for entry in parsed(data) or ()]
        return [[row[0] - 1, row[1] - 1, *row[2:]] for row in map(numbers, texts) if row]

    return Small(root / "Annotations/a.xml", lambda: VOC(root, class_names=["cat", "dog"]), count, boxes, others=3)


def voc_list(root: Path) -> Small:
    voc(root)

    def count(data: bytes, dataset: DetectionDataset) -> None:
        assert len(dataset) + len(dataset.problems) == len(lines_of(data))

    return Small(root / "ImageSets/Main/train.txt", lambda: VOC(root), count)


def cvat(root: Path) -> Small:
    pictures(root / "images", ["a.jpg", "b.jpg"])
    rows = "".join(
        f'\t\t<box label="{name}" xtl="{5 * i}.25" ytl="3" xbr="{5 * i + 22}.50" ybr="40.75" z_order="0">\n\t\t</box>\n'
        for i, name in enumerate(("cat", "dog", "cat"))
    )
    labels = "".join(f"\t<label><name>{name}</name></label>\n" for name in ("cat", "dog"))
    body = "".join(
        f'\t<image id="{i}" name="{n}.jpg" width="80" height="60">\n{rows}\t</image>\n' for i, n in enumerate("ab")
    )
    file = root / "annotations.xml"
    head = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
    file.write_text(
        f"{head}<meta><task><size>2</size><labels>\n{labels}</labels></task></meta>\n{body}</annotations>\n"
    )

    def parsed(data: bytes) -> list[Any]:
        return [image for image in ElementTree.fromstring(data).findall("image") if image.get("name")]

    def count(data: bytes, dataset: DetectionDataset) -> None:
        text = "\n".join(problem.message for problem in dataset.problems)
        kinds = [problem.kind for problem in dataset.problems]
        if "unknown-key" in kinds or {"missing-image", "duplicate", "left-out-shape"} & set(kinds):
            return  # they are said; how many objects are within differs
        of_boxes = len(re.findall(r"^shape \d+ of ", text, re.MULTILINE))
        outside = sum(shape.get("outside") == "1" for image in parsed(data) for shape in image)
        assert boxes_of(dataset) + of_boxes + outside == sum(map(len, parsed(data)))

    def boxes(data: bytes) -> Boxes:
        edges = ("xtl", "ytl", "xbr", "ybr")
        found = []
        for image in parsed(data):
            size = numbers([image.get("width") or "", image.get("height") or ""])
            limits = [
                value if value >= 1 else 1e9 for value in size or (1e9, 1e9)
            ] * 2  # boxes are cut at the stated edge
            rows = [numbers([shape.get(edge) or "" for edge in edges]) for shape in image.findall("box")]
            found += [[*map(min, row, limits)] for row in rows if row]
        return found

    return Small(file, lambda: CVAT(file), count, boxes)


def labelme(root: Path) -> Small:
    root = root / "set"
    pictures(root, ["a.jpg", "b.jpg"])
    for name in "ab":
        shapes = [
            {
                "label": ("cat", "dog", "cat")[i],
                "points": [[5.25 * i + 1, 3.0], [22.5 + i, 40.75]],
                "group_id": None,
                "shape_type": "rectangle",
                "flags": {},
            }
            for i in range(3)
        ]
        content = {"version": "6.3.1", "flags": {}, "shapes": shapes, "imagePath": f"{name}.jpg", "imageData": None}
        (root / f"{name}.json").write_text(json.dumps({**content, "imageHeight": 60, "imageWidth": 80}, indent=1))
    file = root / "a.json"

    def count(data: bytes, dataset: DetectionDataset) -> None:
        content = loaded(data)
        if len(dataset) < 2 or any(problem.kind == "left-out-shape" for problem in dataset.problems):
            assert dataset.problems
            return
        of_boxes = [problem for problem in dataset.problems if problem.message.startswith("shape ")]
        assert boxes_of(dataset) - 3 + len(of_boxes) + left_out(dataset) == len(content["shapes"])

    def boxes(data: bytes) -> Boxes:
        content = loaded(data)
        shapes = content.get("shapes") if isinstance(content, dict) else None
        pairs = [shape["points"] for shape in shapes or () if isinstance(shape, dict) and "points" in shape]
        rows = [four([value for point in pair for value in point]) for pair in pairs if isinstance(pair, list)]
        return [[min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)] for x1, y1, x2, y2 in filter(None, rows)]

    return Small(file, lambda: LabelMe(root, class_names=["cat", "dog"]), count, boxes, others=3)


def label_studio(root: Path) -> Small:
    pictures(root / "images", ["a.jpg", "b.jpg"])
    tasks = []
    for number, name in enumerate("ab", start=1):
        regions = [
            {
                "original_width": 80,
                "original_height": 60,
                "image_rotation": 0,
                "id": f"r{i}",
                "type": "rectanglelabels",
                "value": {
                    **{"x": 10.5 * i, "y": 3, "width": 22.5, "height": 40.75, "rotation": 0},
                    "rectanglelabels": [("cat", "dog", "cat")[i]],
                },
            }
            for i in range(3)
        ]
        annotation = {"id": number, "was_cancelled": False, "created_at": "2024-05-01", "result": regions}
        tasks.append({"id": number, "annotations": [annotation], "data": {"image": f"/data/upload/1/{name}.jpg"}})
    file = root / "project.json"
    file.write_text(json.dumps(tasks, indent=1))

    def regions_of(data: bytes) -> list[Any]:
        return [region for task in json.loads(data) for region in task["annotations"][0]["result"]]

    def count(data: bytes, dataset: DetectionDataset) -> None:
        if len(dataset) < 2 or any(problem.kind in ("left-out-shape", "duplicate") for problem in dataset.problems):
            assert dataset.problems
            return
        of_boxes = [problem for problem in dataset.problems if "region " in problem.message]
        assert boxes_of(dataset) + len(of_boxes) + left_out(dataset) == len(regions_of(data))

    return Small(file, lambda: LabelStudio(file, class_names=["cat", "dog"]), count)


FORMATS = [
    mot_truth,
    mot15_truth,
    mot_info,
    kitti,
    kitti_detection,
    csv_plain,
    csv_header,
    wider_face,
    open_images,
    yolo_labels,
    yolo_yaml,
    crowdhuman,
    coco,
    voc_xml,
    voc_list,
    cvat,
    labelme,
    label_studio,
]


@pytest.fixture(params=[pytest.param(make, id=f"{make.__name__}-{number}") for number, make in enumerate(FORMATS)])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Small:
    """A small data set of each format."""
    made: Small = request.param(tmp_path)
    return made
