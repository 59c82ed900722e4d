"""What `centernet convert-data` writes, as other programs read it: pycocotools, supervision and datumaro.

python benchmarks/read_by_others.py --data SHARED/data/bccd --python OTHER/bin/python

Each split is written as COCO's JSON, VOC's XML and YOLO's text, and read by the programs that the other interpreter
has (`pip install pycocotools supervision datumaro`; it may be one without centernet). Boxes are equal where those of an
image have the same classes, and sides that differ by no more than a tenth of a pixel. VOC's own boxes are whole pixels,
so they are compared with those that were written. Exits with 1 where a box is missing, added or another.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

Boxes: TypeAlias = dict[str, list[list[Any]]]
"""By the image's name without suffix: rows of class name, x1, y1, x2, y2."""

TOLERANCE = 0.1


def with_pycocotools(folder: Path, form: str, split: str) -> Boxes:
    from pycocotools.coco import COCO

    data = COCO(str(folder / f"annotations_{split}.json"))
    boxes: Boxes = {Path(image["file_name"]).stem: [] for image in data.imgs.values()}
    for entry in data.loadAnns(data.getAnnIds()):
        x, y, width, height = entry["bbox"]
        row = [data.cats[entry["category_id"]]["name"], x, y, x + width, y + height]
        boxes[Path(data.imgs[entry["image_id"]]["file_name"]).stem].append(row)
    return boxes


def with_supervision(folder: Path, form: str, split: str) -> Boxes:
    from supervision import DetectionDataset

    images = {"coco": folder / "images", "voc": folder / "JPEGImages", "yolo": folder / "images" / split}[form]
    if form == "coco":
        data = DetectionDataset.from_coco(str(images), str(folder / f"annotations_{split}.json"))
    elif form == "voc":
        data = DetectionDataset.from_pascal_voc(str(images), str(folder / "Annotations"))
    else:
        data = DetectionDataset.from_yolo(str(images), str(folder / "labels" / split), str(folder / "data.yaml"))
    stems = {line.strip() for line in (folder / "ImageSets/Main" / f"{split}.txt").open()} if form == "voc" else None
    boxes: Boxes = {}
    for path, _, found in data:
        if stems is None or Path(path).stem in stems:
            names = [data.classes[label] for label in found.class_id.tolist()]
            boxes[Path(path).stem] = [[name, *box] for name, box in zip(names, found.xyxy.tolist(), strict=True)]
    return boxes


def with_datumaro(folder: Path, form: str, split: str) -> Boxes:
    from datumaro.components.annotation import AnnotationType
    from datumaro.components.dataset import Dataset

    if form == "coco":  # it asks for COCO's own names of folder and file
        moved = folder / "annotations" / f"instances_{split}.json"
        moved.parent.mkdir(exist_ok=True)
        moved.write_bytes((folder / f"annotations_{split}.json").read_bytes())
        data = Dataset.import_from(str(moved), "coco_instances")
    else:
        data = Dataset.import_from(str(folder), {"voc": "voc_detection", "yolo": "yolo"}[form])
    names = [label.name for label in data.categories()[AnnotationType.label]]
    boxes: Boxes = {}
    for item in data:
        if form == "coco" or item.subset == split:
            found = [entry for entry in item.annotations if entry.type == AnnotationType.bbox]
            first = 1 if form == "voc" else 0  # it takes VOC's numbers as if they counted from 0
            boxes[item.id] = [[names[box.label], box.x - first, box.y - first, *box.points[2:]] for box in found]
    return boxes


READERS: dict[str, tuple[Callable[[Path, str, str], Boxes], tuple[str, ...]]] = {
    "pycocotools": (with_pycocotools, ("coco",)),
    "supervision": (with_supervision, ("coco", "voc", "yolo")),
    "datumaro": (with_datumaro, ("coco", "voc", "yolo")),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a data set of any format; drawn scenes without it")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with the programs; default: this one")
    parser.add_argument("--read", nargs=4, metavar=("PROGRAM", "FOLDER", "FORM", "SPLIT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:  # in the other interpreter
        program, folder, form, split = given.read
        print(json.dumps(READERS[program][0](Path(folder), form, split)))
        return 0

    from centernet.data import Synthetic
    from centernet.data.convert import convert
    from centernet.data.detect_format import find_format

    datasets: dict[str, Any] = {"train": Synthetic(20, size=(240, 320))}
    if given.data is not None:
        source = find_format(given.data)
        datasets = {split: source.open(split) for split in source.splits}
    wrong = 0
    print("| program | form | split | images | boxes | largest difference, pixels |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as root:
        for form in ("coco", "voc", "yolo"):
            folder = Path(root) / form
            convert(datasets, folder, to=form, images="copy")
            written = find_format(folder)
            for split in written.splits:
                truth = own_boxes(written.open(split))
                for program, (_, forms) in READERS.items():
                    if form in forms:
                        wrong += compare(program, form, split, truth, [given.python, __file__], folder)
    return int(wrong > 0)


def own_boxes(dataset: Any) -> Boxes:
    boxes: Boxes = {}
    for index in range(len(dataset)):
        truth = dataset.annotation(index)
        names = [dataset.class_names[label] for label in truth.labels]
        boxes[truth.path.stem] = [[name, *box] for name, box in zip(names, truth.boxes.tolist(), strict=True)]
    return boxes


def compare(program: str, form: str, split: str, truth: Boxes, command: list[str], folder: Path) -> bool:
    """Print a row of the table; return True where a box differs."""
    done = subprocess.run([*command, "--read", program, str(folder), form, split], capture_output=True, text=True)
    if done.returncode:
        print(f"| {program} | {form} | {split} | not read: {done.stderr.strip().splitlines()[-1]:.100} | | |")
        return "ModuleNotFoundError" not in done.stderr
    found: Boxes = json.loads(done.stdout.splitlines()[-1])
    counts = [f"{count(found)} of {count(truth)}" for count in (len, lambda boxes: sum(map(len, boxes.values())))]
    same = found.keys() == truth.keys() and all(len(found[name]) == len(truth[name]) for name in truth)
    largest = max((apart(found[name], truth[name]) for name in truth), default=0.0) if same else float("inf")
    print(f"| {program} | {form} | {split} | {counts[0]} | {counts[1]} | {largest:.3f} |")
    return largest > TOLERANCE


def apart(found: list[list[Any]], truth: list[list[Any]]) -> float:
    """Return the largest difference of a side; infinity where a class differs. Both are in the same order."""
    pairs = list(zip(sorted(found), sorted(truth), strict=True))
    if any(a[0] != b[0] for a, b in pairs):
        return float("inf")
    return max((abs(x - y) for a, b in pairs for x, y in zip(a[1:], b[1:], strict=True)), default=0.0)


if __name__ == "__main__":
    sys.exit(main())
