"""No mutation of a layout loses boxes in silence: as many are read as before, or an error names the place.

A format joins by a row of `LAYOUTS`: a function that writes a small data set of it into an empty folder.
"""

from __future__ import annotations

import gzip
import json
import random
import shutil
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from PIL import Image

from centernet.annotations.problems import DataError
from centernet.cli.main import main
from centernet.data import Synthetic
from centernet.data.audit import audit
from centernet.data.audit_subject import open_folder
from centernet.data.convert import convert
from centernet.data.detect_format import find_format
from centernet.images import ImageError

NAMES = ["cat", "dog", "person"]
SIZE = (64, 48)  # width, height
SCENES: dict[str, list[tuple[str, tuple[int, int, int, int]]]] = {
    f"scene{number}": [(NAMES[(number + k) % 3], (3 + 9 * k, 4 + 3 * number, 20 + 9 * k, 24 + 3 * number))
                       for k in range(1 + number % 3)]
    for number in range(6)
}  # fmt: skip
"""The images of hand-written layouts, by their stems: class, and x1 y1 x2 y2 in pixels from 0. 12 boxes in all."""
TRAIN, VAL = list(SCENES)[:4], list(SCENES)[4:]


def draw(path: Path, stem: str) -> None:
    """Write the image of a scene; each is another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(stem)
    small = Image.frombytes("RGB", (8, 6), rng.randbytes(8 * 6 * 3))
    small.resize(SIZE, Image.Resampling.NEAREST).save(path)


def write(path: Path, content: str | dict[str, Any] | list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def coco(stems: Sequence[str], folder: str = "") -> dict[str, Any]:
    images = [
        {"id": n, "file_name": f"{folder}{stem}.png", "width": 64, "height": 48} for n, stem in enumerate(stems, 1)
    ]
    boxes = [(n, *entry) for n, stem in enumerate(stems, 1) for entry in SCENES[stem]]
    annotations = [
        {"id": k, "image_id": n, "category_id": NAMES.index(name) + 1, "bbox": [x, y, x2 - x, y2 - y], "iscrowd": 0}
        for k, (n, name, (x, y, x2, y2)) in enumerate(boxes, 1)
    ]
    categories = [{"id": n, "name": name} for n, name in enumerate(NAMES, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def yolo_rows(stem: str) -> str:
    rows = [
        f"{NAMES.index(name)} {(x1 + x2) / 128} {(y1 + y2) / 96} {(x2 - x1) / 64} {(y2 - y1) / 48}\n"
        for name, (x1, y1, x2, y2) in SCENES[stem]
    ]
    return "".join(rows)


def voc_xml(stem: str) -> str:
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax>"
        f"<ymax>{y2}</ymax></bndbox></object>"
        for name, (x1, y1, x2, y2) in SCENES[stem]
    )
    size = "<size><width>64</width><height>48</height><depth>3</depth></size>"
    return f"<annotation><filename>{stem}.png</filename>{size}{objects}</annotation>"


def coco_own(root: Path) -> None:
    for split, stems in (("train", TRAIN), ("val", VAL)):
        write(root / f"annotations/instances_{split}.json", coco(stems))
        for stem in stems:
            draw(root / split / f"{stem}.png", stem)


def coco_roboflow(root: Path) -> None:
    for split, stems in (("train", TRAIN), ("valid", VAL)):
        write(root / split / "_annotations.coco.json", coco(stems))
        for stem in stems:
            draw(root / split / f"{stem}.png", stem)
    write(root / "README.roboflow.txt", "my data - v1\n==============\n\nThe dataset includes 6 images, by 1 person.\n")


def coco_label_studio(root: Path) -> None:
    write(root / "result.json", coco(list(SCENES), "images\\"))
    for stem in SCENES:
        draw(root / "images" / f"{stem}.png", stem)


def voc(root: Path) -> None:
    for split, stems in (("train", TRAIN), ("val", VAL)):
        write(root / f"ImageSets/Main/{split}.txt", "".join(f"{stem}\n" for stem in stems))
    voc_without_lists(root)


def voc_without_lists(root: Path) -> None:
    for stem in SCENES:
        write(root / f"Annotations/{stem}.xml", voc_xml(stem))
        draw(root / f"JPEGImages/{stem}.png", stem)


def voc_roboflow(root: Path) -> None:
    for split, stems in (("train", TRAIN), ("valid", VAL)):
        for stem in stems:
            write(root / f"{split}/{stem}.xml", voc_xml(stem))
            draw(root / f"{split}/{stem}.png", stem)
    write(root / "README.roboflow.txt", "my data - v1\n==============\n\nThe dataset includes 6 images, by 1 person.\n")


def voc_two_folders(root: Path) -> None:
    for split, stems in (("train", TRAIN), ("val", VAL)):
        for stem in stems:
            write(root / f"annotations/{split}/{stem}.xml", voc_xml(stem))
            draw(root / f"images/{split}/{stem}.png", stem)


def voc_flat(root: Path) -> None:
    for stem in SCENES:
        write(root / f"{stem}.xml", voc_xml(stem))
        draw(root / f"{stem}.png", stem)


def coco_compressed(root: Path) -> None:
    for split, stems in (("train", TRAIN), ("val", VAL)):
        packed = gzip.compress(json.dumps(coco(stems)).encode())
        (write_folder(root / "annotations") / f"instances_{split}.json.gz").write_bytes(packed)
        for stem in stems:
            draw(root / "images" / f"{stem}.png", stem)


def yolo(root: Path) -> None:
    write(root / "data.yaml", yaml.safe_dump({"train": "images/train", "val": "images/val", "names": NAMES}))
    for split, stems in (("train", TRAIN), ("val", VAL)):
        for stem in stems:
            write(root / f"labels/{split}/{stem}.txt", yolo_rows(stem))
            draw(root / f"images/{split}/{stem}.png", stem)


def yolo_roboflow(root: Path) -> None:
    write(root / "data.yaml", f"train: ../train/images\nval: ../valid/images\nnc: 3\nnames: {NAMES}\n")
    write(
        root / "README.dataset.txt", "my data > 2024-01-01 1:02pm\nhttps://universe.example/my/data\n\nLicense: MIT\n"
    )
    for split, stems in (("train", TRAIN), ("valid", VAL)):
        for stem in stems:
            write(root / f"{split}/labels/{stem}.txt", yolo_rows(stem))
            draw(root / f"{split}/images/{stem}.png", stem)


def yolo_label_studio(root: Path) -> None:
    write(root / "classes.txt", "".join(f"{name}\n" for name in NAMES))
    write(root / "notes.json", {"categories": [{"id": k, "name": name} for k, name in enumerate(NAMES)]})
    for stem in SCENES:
        write(root / f"labels/{stem}.txt", yolo_rows(stem))
        draw(root / f"images/{stem}.png", stem)


def yolo_cvat(root: Path) -> None:
    write(root / "obj.names", "".join(f"{name}\n" for name in NAMES))
    entries = "train = data/train.txt\nvalid = data/valid.txt\n"
    write(root / "obj.data", f"classes = 3\n{entries}names = data/obj.names\nbackup = backup/\n")
    for split, stems in (("train", TRAIN), ("valid", VAL)):
        write(root / f"{split}.txt", "".join(f"data/obj_{split}_data/{stem}.png\n" for stem in stems))
        for stem in stems:
            write(root / f"obj_{split}_data/{stem}.txt", yolo_rows(stem))
            draw(root / f"obj_{split}_data/{stem}.png", stem)


def crowdhuman(root: Path) -> None:
    for split, stems in (("train", TRAIN), ("val", VAL)):
        lines = []
        for stem in stems:
            boxes = [
                {"tag": "person", "fbox": [x1, y1, x2 - x1, y2 - y1], "vbox": [x1, y1, x2 - x1, y2 - y1]}
                for _, (x1, y1, x2, y2) in SCENES[stem]
            ]
            lines.append(json.dumps({"ID": stem, "gtboxes": boxes}) + "\n")
            draw(root / f"Images/{stem}.png", stem)
        write(root / f"annotation_{split}.odgt", "".join(lines))


def mot(root: Path) -> None:
    scenes = {name: Synthetic(3, size=(48, 64), seed=seed) for seed, name in enumerate(("a", "b"))}
    convert(scenes, root / "made", to="mot", images="copy")
    for name in scenes:
        (inner,) = (root / "made" / name).iterdir()
        shutil.move(inner, root / f"sequence-{name}")
        shutil.copy(root / f"sequence-{name}/gt/gt.txt", write_folder(root / f"sequence-{name}/det") / "det.txt")
    shutil.rmtree(root / "made")


def kitti_tracking(root: Path) -> None:
    for video, stems in (("0000", TRAIN), ("0001", VAL)):
        rows = []
        for frame, stem in enumerate(stems):
            draw(root / f"training/image_02/{video}/{frame:06d}.png", stem)
            for identity, (_, box) in enumerate(SCENES[stem]):
                rows.append(f"{frame} {identity} Car 0 0 -1.5 {' '.join(map(str, box))} 1.5 1.6 3.9 1 2 30 -1.6\n")
        write(root / f"training/label_02/{video}.txt", "".join(rows))
        write(root / f"training/calib/{video}.txt", "P0: 7.2 0 6.1 0 0 7.2 1.7 0 0 0 1 0\n")


def cvat_box(name: str, box: Sequence[int], more: str = "") -> str:
    edges = " ".join(f'{edge}="{value}"' for edge, value in zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True))
    return f'<box label="{name}" {more} occluded="0" {edges} z_order="0"></box>\n'


def cvat_file(path: Path, body: str, meta: str = "") -> None:
    labels = "".join(f"<label><name>{name}</name></label>" for name in NAMES)
    task = f"<task><size>6</size><mode>annotation</mode>{meta}<labels>{labels}</labels></task>"
    write(path, f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<meta>{task}</meta>\n{body}</annotations>\n')


def cvat_images(stems: Sequence[str]) -> str:
    return "".join(
        f'<image id="{n}" name="{stem}.png" width="64" height="48">\n'
        + "".join(cvat_box(name, box) for name, box in SCENES[stem])
        + "</image>\n"
        for n, stem in enumerate(stems)
    )


def cvat(root: Path) -> None:
    cvat_file(root / "annotations.xml", cvat_images(list(SCENES)))
    for stem in SCENES:
        draw(root / f"images/{stem}.png", stem)


def cvat_tasks(root: Path) -> None:
    for split, stems in (("train", TRAIN), ("val", VAL)):
        cvat_file(root / split / "annotations.xml", cvat_images(stems))
        for stem in stems:
            draw(root / f"{split}/images/{stem}.png", stem)


def cvat_video(root: Path) -> None:
    tracks = []
    for identity in range(3):
        shapes = [
            cvat_box("", box[identity][1], f'frame="{n}" keyframe="1" outside="0"').replace('label="" ', "")
            for n, box in enumerate(SCENES.values())
            if identity < len(box)
        ]
        tracks.append(f'<track id="{identity}" label="cat">\n{"".join(shapes)}</track>\n')
    stop = "<start_frame>0</start_frame><stop_frame>5</stop_frame>"
    cvat_file(root / "annotations.xml", "".join(tracks), stop)
    for frame, stem in enumerate(SCENES):
        draw(root / f"images/frame_{frame:06d}.PNG", stem)


def labelme_file(path: Path, stem: str, image: str) -> None:
    shapes = [
        {"label": name, "points": [[x1, y1], [x2, y2]], "group_id": None, "shape_type": "rectangle", "flags": {}}
        for name, (x1, y1, x2, y2) in SCENES[stem]
    ]
    size = {"imageHeight": 48, "imageWidth": 64}
    write(path, {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None, **size})


def labelme(root: Path) -> None:
    for stem in SCENES:
        labelme_file(root / f"{stem}.json", stem, f"{stem}.png")
        draw(root / f"{stem}.png", stem)


def labelme_folders(root: Path) -> None:
    for split, stems in (("train", TRAIN), ("val", VAL)):
        for stem in stems:
            labelme_file(root / f"{split}/labels/{stem}.json", stem, f"..\\images\\{stem}.png")
            draw(root / f"{split}/images/{stem}.png", stem)


def label_studio(root: Path) -> None:
    tasks = []
    for number, stem in enumerate(SCENES, start=1):
        regions = [
            {
                "original_width": 64,
                "original_height": 48,
                "id": f"r{k}",
                "type": "rectanglelabels",
                "value": {
                    "x": x1 / 0.64,
                    "y": y1 / 0.48,
                    "width": (x2 - x1) / 0.64,
                    "height": (y2 - y1) / 0.48,
                    "rectanglelabels": [name],
                },
            }
            for k, (name, (x1, y1, x2, y2)) in enumerate(SCENES[stem])
        ]
        data = {"image": f"/data/upload/1/0000000{number}-{stem}.png"}
        tasks.append({"id": number, "annotations": [{"id": number, "result": regions}], "data": data})
        draw(root / f"images/{stem}.png", stem)
    write(root / "project-1-at-2024-05-01.json", tasks)


def kitti(root: Path) -> None:
    for stem in SCENES:
        rows = [f"{name} 0 0 -1.5 {' '.join(map(str, box))} 1 1 1 1 1 1 1\n" for name, box in SCENES[stem]]
        write(root / f"training/label_2/{stem}.txt", "".join(rows))
        draw(root / f"training/image_2/{stem}.png", stem)


def kitti_with_lists(root: Path) -> None:
    kitti(root)
    for split, stems in (("train", TRAIN), ("val", VAL)):
        write(root / f"ImageSets/{split}.txt", "".join(f"{stem}\n" for stem in stems))


def csv_rows(stems: Sequence[str], form: str) -> str:
    rows = [(stem, name, ",".join(map(str, box))) for stem in stems for name, box in SCENES[stem]]
    return "".join(form.format(stem=stem, name=name, box=box) + "\n" for stem, name, box in rows)


def csv_retinanet(root: Path) -> None:
    write(root / "annotations.csv", csv_rows(list(SCENES), "images/{stem}.png,{box},{name}"))
    write(root / "classes.csv", "".join(f"{name},{number}\n" for number, name in enumerate(NAMES)))
    for stem in SCENES:
        draw(root / f"images/{stem}.png", stem)


def csv_tensorflow(root: Path) -> None:
    for split, stems in (("train", TRAIN), ("valid", VAL)):
        header = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
        write(root / split / "_annotations.csv", header + csv_rows(stems, "{stem}.png,64,48,{name},{box}"))
        for stem in stems:
            draw(root / split / f"{stem}.png", stem)


def open_images(root: Path) -> None:
    write(root / "class-descriptions-boxable.csv", "".join(f"/m/0{name},{name}\n" for name in NAMES))
    for split, stems in (("train", TRAIN), ("validation", VAL)):
        rows = ["ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf"]
        for stem in stems:
            draw(root / split / f"{stem}.jpg", stem)
            for name, (x1, y1, x2, y2) in SCENES[stem]:
                rows.append(f"{stem},xclick,/m/0{name},1,{x1 / 64},{x2 / 64},{y1 / 48},{y2 / 48},0,0,0")
        write(root / f"{split}-annotations-bbox.csv", "\n".join([*rows, ""]))


def wider_face(root: Path) -> None:
    for split, stems in (("train", TRAIN), ("val", VAL)):
        lines = []
        for stem in stems:
            draw(root / f"WIDER_{split}/images/0--Parade/{stem}.jpg", stem)
            lines += [f"0--Parade/{stem}.jpg\n{len(SCENES[stem])}\n"]
            lines += [f"{x1} {y1} {x2 - x1} {y2 - y1} 0 0 0 0 0 0 \n" for _, (x1, y1, x2, y2) in SCENES[stem]]
        write(root / f"wider_face_split/wider_face_{split}_bbx_gt.txt", "".join(lines))
    write(root / "wider_face_split/wider_face_test_filelist.txt", "0--Parade/x.jpg\n")


def mot_cvat(root: Path) -> None:
    rows = []
    for frame, stem in enumerate(SCENES):
        draw(root / f"img1/frame_{frame:06d}.PNG", stem)
        for identity, (name, (x1, y1, x2, y2)) in enumerate(SCENES[stem], start=1):
            rows.append(f"{frame + 1},{identity},{x1},{y1},{x2 - x1},{y2 - y1},1,{NAMES.index(name) + 1},1.0\n")
    write(root / "gt/gt.txt", "".join(rows))
    write(root / "gt/labels.txt", "\n".join(NAMES))


def write_folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


class Layout(NamedTuple):
    write: Callable[[Path], None]
    background: str = ""  # pattern of the files that mean, where they are empty, an image without objects


LAYOUTS: dict[str, Layout] = {
    "coco": Layout(coco_own),
    "coco-roboflow": Layout(coco_roboflow),
    "coco-label-studio": Layout(coco_label_studio),
    "coco-compressed": Layout(coco_compressed),
    "voc": Layout(voc),
    "voc-without-lists": Layout(voc_without_lists),
    "voc-roboflow": Layout(voc_roboflow),
    "voc-two-folders": Layout(voc_two_folders),
    "voc-flat": Layout(voc_flat),
    "yolo": Layout(yolo, "labels/*.txt"),
    "yolo-roboflow": Layout(yolo_roboflow, "*/labels/*.txt"),
    "yolo-label-studio": Layout(yolo_label_studio, "labels/*.txt"),
    "yolo-cvat": Layout(yolo_cvat, "obj_*/*.txt"),
    "crowdhuman": Layout(crowdhuman),
    "mot": Layout(mot),
    "kitti-tracking": Layout(kitti_tracking),
    "kitti": Layout(kitti, "training/label_2/*.txt"),
    "kitti-with-lists": Layout(kitti_with_lists, "training/label_2/*.txt"),
    "csv-retinanet": Layout(csv_retinanet),
    "csv-tensorflow": Layout(csv_tensorflow),
    "open-images": Layout(open_images),
    "wider-face": Layout(wider_face),
    "mot-cvat": Layout(mot_cvat),
    "cvat": Layout(cvat),
    "cvat-tasks": Layout(cvat_tasks),
    "cvat-video": Layout(cvat_video),
    "labelme": Layout(labelme),
    "labelme-folders": Layout(labelme_folders),
    "label-studio": Layout(label_studio),
}


# ---------------------------------------------------------------------------------------------------------------------


def mutate(root: Path, rng: random.Random) -> str:
    """Rename, move, nest, double or empty a file or folder. Returns what was done, with the path it was done to."""
    entries = sorted(path for path in root.rglob("*"))
    folders = [root, *(path for path in entries if path.is_dir())]
    if rng.random() < 0.5:  # else single images would be nearly all that is chosen
        entries = [path for path in entries if path.is_dir() or path.suffix not in (".png", ".jpg")]
    path = rng.choice(entries)
    way = rng.choice(["rename", "move", "nest", "double", "empty", "wrap", "double all"])
    name = path.relative_to(root).as_posix()
    if way == "rename":
        names = [f"{path.stem}_1{path.suffix}", f"old {path.name}", f"{path.name}.bak", path.name.upper(), path.stem]
        names += ["images", "labels", "annotations", "train", "val", "test", "data", "gt"] if path.is_dir() else []
        path.rename(path.with_name(rng.choice([other for other in names if not path.with_name(other).exists()])))
    elif way == "move":
        choices = [
            f for f in folders if f != path.parent and not f.is_relative_to(path) and not (f / path.name).exists()
        ]
        target = rng.choice([*choices, root / "elsewhere"])
        target.mkdir(exist_ok=True)
        shutil.move(path, target / path.name)
    elif way == "nest":
        inner = path.with_name("nested")
        inner.mkdir()
        shutil.move(path, inner / path.name)
    elif way == "double":
        target = path.with_name(f"{path.stem} copy{path.suffix}")
        (shutil.copytree if path.is_dir() else shutil.copy)(path, target)
    elif way == "empty":
        if path.is_dir():
            for inner in path.iterdir():
                shutil.rmtree(inner) if inner.is_dir() else inner.unlink()
        else:
            path.write_bytes(b"")
    else:
        inner = root / "export-2024"
        top = [entry for entry in root.iterdir()]
        inner.mkdir()
        for entry in top:
            if way == "wrap":
                shutil.move(entry, inner / entry.name)
            else:
                (shutil.copytree if entry.is_dir() else shutil.copy)(entry, inner / entry.name)
        name = "."
    return f"{way} {name}"


def judge(root: Path) -> tuple[int, list[str]]:
    """Return the boxes that a check finds in a folder, and its errors."""
    try:
        subject = open_folder(find_format(root))
    except (DataError, ImageError) as error:
        return 0, [str(error)]
    report = audit(subject.datasets, failed=subject.failed, unread=subject.unread)
    boxes = sum(len(split.dataset.columns.labels) for split in report.splits)
    return boxes, [str(finding) for finding in report.findings if finding.severity == "error"]


def try_mutations(layout: Layout, folder: Path, seeds: range, tried: Callable[[Path], tuple[int, list[str]]]) -> None:
    layout.write(whole := folder / "whole")
    before, errors = tried(whole)
    assert before >= 8 and not errors, errors
    silent = []
    for seed in seeds:
        shutil.copytree(whole, root := folder / f"data{seed}")
        done = mutate(root, random.Random(seed))
        boxes, errors = tried(root)
        way, _, name = done.partition(" ")
        background = way == "empty" and layout.background and fnmatchcase(name, layout.background)
        named = [error for error in errors if str(root) in error or name.rpartition("/")[2] in error]
        if boxes != before and not named and not background:
            silent.append(f"seed {seed}, {done}: {boxes} of {before} boxes, errors {errors}")
        shutil.rmtree(root)
    assert not silent, "\n".join(silent)


@pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")
@pytest.mark.parametrize("name", LAYOUTS)
def test_some_mutations(name: str, tmp_path: Path) -> None:
    try_mutations(LAYOUTS[name], tmp_path, range(25), judge)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")
@pytest.mark.parametrize("name", LAYOUTS)
def test_five_hundred_mutations(name: str, tmp_path: Path) -> None:
    try_mutations(LAYOUTS[name], tmp_path, range(500), judge)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_command_says_the_same(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def check(root: Path) -> tuple[int, list[str]]:
        code = main(["check", str(root), "--workers", "1"])
        output = capsys.readouterr()
        rows = [line for line in output.out.splitlines() if line.startswith(("objects  ", "boxes to ignore"))]
        boxes = sum(int(field.replace(",", "")) for row in rows for field in row.split() if field[0].isdigit())
        return boxes, [output.err + output.out] if code else []

    try_mutations(LAYOUTS[name], tmp_path, range(1000, 1020), check)
