"""The contract suite over every format, on real data where there is some and on a small whole layout else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image

from centernet.data import (
    COCO,
    CSV,
    KITTI,
    MOT,
    VOC,
    YOLO,
    Concatenated,
    CrowdHuman,
    DataModule,
    DetectionDataset,
    DetectionForTracking,
    ImageFolder,
    KITTITracking,
    MapClasses,
    OpenImages,
    SafetyHelmet,
    Shards,
    Subset,
    Synthetic,
    WIDERFace,
)
from centernet.data.cache import Cached
from centernet.data.convert import convert
from centernet.images import Preprocessing
from centernet.testing import check_dataset

REAL: dict[str, Callable[[Path], DetectionDataset]] = {
    "voc2007": lambda data: VOC(data / "voc2007", "val"),
    "bccd": lambda data: VOC(data / "bccd", "test"),
    "helmet": lambda data: SafetyHelmet(data / "helmet", "val"),
    "messy-voc": lambda data: VOC(data / "fixtures/messy_voc", class_names=["hat", "person"]),
    "coco": lambda data: COCO(data / "coco/annotations.json"),
    "voc2007-as-coco": lambda data: COCO(data / "voc2007/val.json"),
    "tud-campus": lambda data: MOT(data / "mot", ["TUD-Campus"]),
    "pets": lambda data: MOT(data / "mot", ["PETS09-*"], part=(0.5, 1)),
    "mot17": lambda data: MOT(data / "mot", ["MOT17-*"], class_names=["car", "pedestrian"], min_visibility=0.25),
    "mot17-amodal": lambda data: MOT(data / "mot", ["MOT17-*"], amodal=True),
    "mot17-cached": lambda data: Cached(MOT(data / "mot", ["MOT17-*"], amodal=True), 0.01),
    "kitti": lambda data: KITTITracking(data / "kitti_tracking", class_names=["Pedestrian", "Car", "Van"]),
    "kitti-in-space": lambda data: KITTITracking(data / "kitti_tracking", ["0001", "0016"], boxes3d=True),
    "images": lambda data: ImageFolder(data / "coco/images", class_names=["a"]),
    "still-pictures-for-tracking": lambda data: DetectionForTracking(COCO(data / "coco/annotations.json")),
    "some-classes": lambda data: MapClasses(COCO(data / "coco/annotations.json"), {"bus": "vehicle", "car": "vehicle"}),
    "amodal-beside-cut": lambda data: Concatenated(
        [MOT(data / "mot", ["MOT17-*"], amodal=True), Subset(MOT(data / "mot", ["PETS09-*"]), [3, 1])]
    ),
}


@pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")
@pytest.mark.parametrize("name", REAL)
def test_real_data(shared: Path, name: str) -> None:
    check(REAL[name](shared / "data"))


def whole_layouts(root: Path, scenes: Synthetic) -> dict[str, Callable[[], DetectionDataset]]:
    """The same scenes in the layout of every format, in folders as they come out of the archives."""
    samples = [scenes[index] for index in range(len(scenes))]
    folders = {
        "voc": "VOCdevkit/VOC2007/JPEGImages",
        "helmet": "VOC2028/JPEGImages",
        "crowdhuman": "CrowdHuman/Images",
        "mot": "MOT20/train/MOT20-01/img1",
        "kitti": "kitti/training/image_02/0000",
        "yolo": "export/train/images",
        "kitti-detection": "object/training/image_2",
        "wider": "WIDER_train/images/0--Parade",
        "open-images": "open/train",
        "csv": "csv/images",
    }
    for folder in (*folders.values(), "kitti/training/label_02", "export/train/labels", "MOT20/train/MOT20-01/gt"):
        (root / folder).mkdir(parents=True)
    for folder in ("object/training/label_2", "wider_face_split"):
        (root / folder).mkdir(parents=True)
    odgt, gt, labels, faces = [], [], [], []
    table = ["image,x1,y1,x2,y2,class,ignore\n"]
    open_rows = ["ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\n"]
    for index, sample in enumerate(samples):
        names = {"mot": f"{index + 1:06d}.jpg", "kitti": f"{2 * index:06d}.png", "helmet": f"{index:06d}.JPG"}
        for format, folder in folders.items():
            path = root / folder / names.get(format, f"{index:06d}.jpg")
            Image.fromarray(sample.image).save(path, format="png" if path.suffix == ".png" else "jpeg")
        height, width = sample.image.shape[:2]
        persons, rows, objects, types = [], [], [], []
        faces.append(f"0--Parade/{index:06d}.jpg\n{len(sample.boxes)}\n")
        for track, (x1, y1, x2, y2) in enumerate(sample.boxes.tolist()):
            w, h = x2 - x1, y2 - y1
            tag, box = "mask" if sample.ignore[track] else "person", [x1, y1, w, h]
            persons.append({"tag": tag, "fbox": box, "vbox": box, "hbox": box, "head_attr": {}, "extra": {}})
            gt.append(f"{index + 1},{track},{x1 + 1},{y1 + 1},{w},{h},{int(not sample.ignore[track])},1,1\n")
            rest = f"{x1} {y1} {x2} {y2} 1 1 1 1 1 1 1"
            kind = f"-1 DontCare -1 -1 -10 {rest}" if sample.ignore[track] else f"{track} Car 0 0 0 {rest}"
            labels.append(f"{2 * index} {kind}\n")
            types.append(kind.partition(" ")[2] + "\n")
            flag = int(sample.ignore[track])
            faces.append(f"{x1} {y1} {w} {h} 0 0 0 {flag} 0 0 \n")
            name = scenes.class_names[sample.labels[track]]
            table.append(f"{index:06d}.jpg,{x1},{y1},{x2},{y2},{name},{flag}\n")
            open_rows.append(f"{index:06d},{name},{x1 / width},{x2 / width},{y1 / height},{y2 / height},{flag}\n")
            rows.append(
                f"{sample.labels[track]} {(x1 + w / 2) / width} {(y1 + h / 2) / height} {w / width} {h / height}\n"
            )
            edges = f"<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
            hard = f"<difficult>{int(sample.ignore[track])}</difficult>"
            objects.append(f"<object><name>hat</name>{hard}<bndbox>{edges}</bndbox></object>")
        (root / f"object/training/label_2/{index:06d}.txt").write_text("".join(types))
        odgt.append(json.dumps({"ID": f"{index:06d}", "gtboxes": persons}) + "\n")
        (root / f"export/train/labels/{index:06d}.txt").write_text("".join(rows))
        size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
        for base in ("VOCdevkit/VOC2007", "VOC2028"):
            (root / base / "Annotations").mkdir(exist_ok=True)
            (root / base / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
            text = f"<annotation>{size}{''.join(objects)}</annotation>"
            (root / base / f"Annotations/{index:06d}.xml").write_text(text)
    stems = "".join(f"{index:06d}\n" for index in range(len(samples)))
    for base in ("VOCdevkit/VOC2007", "VOC2028"):
        (root / base / "ImageSets/Main/trainval.txt").write_text(stems)
    (root / "CrowdHuman/annotation_train.odgt").write_text("".join(odgt))
    (root / "kitti/training/label_02/0000.txt").write_text("".join(labels))
    (root / "MOT20/train/MOT20-01/gt/gt.txt").write_text("".join(reversed(gt)))
    info = f"frameRate=25\nseqLength={len(samples)}\nimWidth={width}\nimHeight={height}\n"
    (root / "MOT20/train/MOT20-01/seqinfo.ini").write_text(f"[Sequence]\nname=MOT20-01\nimDir=img1\n{info}imExt=.jpg\n")
    names_of = {"train": "../train/images", "nc": len(scenes.class_names), "names": list(scenes.class_names)}
    (root / "export/data.yaml").write_text(yaml.safe_dump(names_of))
    for file, lines in (
        ("wider_face_split/wider_face_train_bbx_gt.txt", faces),
        ("csv/boxes.csv", table),
        ("open/train-annotations-bbox.csv", open_rows),
    ):
        (root / file).write_text("".join(lines))
    (root / "csv/classes.csv").write_text("".join(f"{name},{n}\n" for n, name in enumerate(scenes.class_names)))
    (root / "open/class-descriptions-boxable.csv").write_text("".join(f"{n},{n}\n" for n in scenes.class_names))
    scenes.write(root / "coco", format="coco", split="train")
    convert({"val": scenes}, root / "shards", to="shards")
    return {
        "voc": lambda: VOC(root / "VOCdevkit/VOC2007", "trainval"),
        "helmet": lambda: SafetyHelmet(root, "trainval"),
        "crowdhuman": lambda: CrowdHuman(root / "CrowdHuman/annotation_train.odgt"),
        "mot": lambda: MOT(root / "MOT20/train"),
        "kitti": lambda: KITTITracking(root / "kitti"),
        "yolo": lambda: YOLO(root / "export/data.yaml"),
        "coco": lambda: COCO(root / "coco/annotations_train.json"),
        "shards": lambda: Shards(root / "shards/val"),
        "kitti-detection": lambda: KITTI(root / "object"),
        "wider": lambda: WIDERFace(root / "wider_face_split/wider_face_train_bbx_gt.txt"),
        "csv": lambda: CSV(root / "csv/boxes.csv"),
        "open-images": lambda: OpenImages(root / "open/train-annotations-bbox.csv"),
    }


def test_whole_layouts_hold_the_same_boxes(tmp_path: Path) -> None:
    scenes = Synthetic(6, size=(96, 128), seed=5, objects=(4, 7), max_hidden=0.15)
    annotations = [scenes.annotation(index) for index in range(len(scenes))]
    assert any(annotation.ignore.any() for annotation in annotations)
    for name, read in whole_layouts(tmp_path, scenes).items():
        dataset = read()
        assert dataset.problems == [] and len(dataset) == len(scenes), name
        for index, annotation in enumerate(annotations):
            found = dataset.annotation(index)
            order = [row for _, row in sorted((box, row) for row, box in enumerate(found.boxes.tolist()))]
            expected = sorted(range(len(annotation)), key=lambda row: annotation.boxes[row].tolist())
            assert abs(found.boxes[order] - annotation.boxes[expected]).max() < 0.02, name
            if name != "yolo":  # which has no such flag
                assert found.ignore[order].tolist() == annotation.ignore[expected].tolist(), name
            if name in ("yolo", "coco", "csv", "open-images", "shards"):
                assert found.labels[order].tolist() == annotation.labels[expected].tolist(), name
        if name in ("mot", "kitti"):
            tracks = {row for annotation in annotations for row in range(len(annotation)) if not annotation.ignore[row]}
            assert dataset.num_identities == len(tracks)
        check(dataset)


def check(dataset: DetectionDataset) -> None:
    check_dataset(dataset, samples=3)
    data = DataModule(dataset, dataset, batch_size=2, num_workers=0, preprocessing=Preprocessing(size=(64, 96)))
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert not isinstance(loader, list)
        batch = next(iter(loader))
        assert len(batch) == 2 and int(batch.ids.max()) < max(dataset.num_identities, 1)
