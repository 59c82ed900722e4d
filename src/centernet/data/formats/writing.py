"""Writers of annotation files, the counterparts of the readers beside them.

Each writes one split from the names of its pictures and their annotations, in the same order. What a format cannot hold
is put right before: see `centernet.data.convert`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import yaml

from ... import boxes as box_ops
from ..sample import Annotation


def write_voc(
    folder: Path,
    split: str,
    names: Sequence[str],
    annotations: Iterable[Annotation],
    class_names: Sequence[str],
    *,
    decimals: int = 0,
) -> Path:
    """Annotations/<stem>.xml and ImageSets/Main/<split>.txt; ignored boxes are marked difficult.

    Args:
        folder: which holds JPEGImages.
        split: name of the list.
        names: of the pictures, with different stems.
        annotations: of the pictures, labels from 0.
        class_names: what the labels mean.
        decimals: of the coordinates. VOC's own are whole numbers, which is all that some programs read.

    Returns:
        The list.
    """
    path = folder / "ImageSets" / "Main" / f"{split}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / "Annotations").mkdir(exist_ok=True)
    for name, truth in zip(names, annotations, strict=True):
        lines = [
            "<annotation>",
            f"<filename>{escape(name)}</filename>",
            f"<size><width>{truth.width}</width><height>{truth.height}</height><depth>3</depth></size>",
        ]
        for (x1, y1, x2, y2), label, ignore in zip(truth.boxes, truth.labels, truth.ignore, strict=True):
            edges = {"xmin": x1 + 1, "ymin": y1 + 1, "xmax": x2, "ymax": y2}  # VOC counts pixels from 1
            bndbox = "".join(f"<{edge}>{value:.{decimals}f}</{edge}>" for edge, value in edges.items())
            lines.append(
                f"<object><name>{escape(class_names[label])}</name><difficult>{int(ignore)}</difficult>"
                f"<bndbox>{bndbox}</bndbox></object>"
            )
        text = "\n".join([*lines, "</annotation>", ""])
        (folder / "Annotations" / name).with_suffix(".xml").write_text(text, encoding="utf-8")
    path.write_text("".join(f"{Path(name).stem}\n" for name in names), encoding="utf-8")
    return path


def write_coco(
    folder: Path,
    split: str,
    names: Sequence[str],
    annotations: Iterable[Annotation],
    class_names: Sequence[str],
    *,
    category_ids: Sequence[int] | None = None,
) -> Path:
    """annotations_<split>.json; ignored boxes have iscrowd (which COCO's evaluation knows) and ignore set.

    Args:
        folder: which holds the pictures in ``images``.
        split: end of the file's name.
        names: of the pictures.
        annotations: of the pictures, labels from 0; their image ids are kept.
        class_names: what the labels mean.
        category_ids: their numbers in the file; None counts from 1.

    Returns:
        The JSON file.
    """
    numbers = range(1, len(class_names) + 1) if category_ids is None else category_ids
    content: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": n, "name": name} for n, name in zip(numbers, class_names, strict=True)]
    for name, truth in zip(names, annotations, strict=True):
        entry = {"id": truth.image_id, "file_name": name, "height": truth.height, "width": truth.width}
        content["images"].append(entry)
        for box, label, ignore, area in zip(
            box_ops.xyxy_to_xywh(truth.boxes).tolist(),
            truth.labels.tolist(),
            truth.ignore.tolist(),
            truth.areas.tolist(),
            strict=True,
        ):
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": truth.image_id,
                    "category_id": numbers[label],
                    "bbox": [round(value, 3) for value in box],
                    "area": round(area, 3),
                    "iscrowd": int(ignore),
                    "ignore": int(ignore),
                }
            )
    path = folder / f"annotations_{split}.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_yolo(
    folder: Path, split: str, names: Sequence[str], annotations: Iterable[Annotation], class_names: Sequence[str]
) -> Path:
    """labels/<split>/<stem>.txt, and the split's line in data.yaml. There is no flag for boxes to ignore: give none.

    Args:
        folder: which holds the pictures in ``images/<split>``.
        split: ``train``, ``val`` or ``test``; what else data.yaml says stays.
        names: of the pictures, with different stems.
        annotations: of the pictures, labels from 0.
        class_names: what the labels mean.

    Returns:
        data.yaml.
    """
    labels = folder / "labels" / split
    labels.mkdir(parents=True, exist_ok=True)
    for name, truth in zip(names, annotations, strict=True):
        shares = box_ops.xyxy_to_cxcywh(truth.boxes.astype(float)) / ([truth.width, truth.height] * 2)
        rows = zip(truth.labels.tolist(), shares.tolist(), strict=True)
        lines = [f"{label} {' '.join(f'{value:.8f}' for value in box)}\n" for label, box in rows]
        (labels / name).with_suffix(".txt").write_text("".join(lines), encoding="utf-8")
    path = folder / "data.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    content = {**content, split: f"images/{split}", "names": dict(enumerate(class_names))}
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def write_mot(
    folder: Path, names: Sequence[str], annotations: Sequence[Annotation], class_names: Sequence[str], rate: float
) -> Path:
    """gt/gt.txt, gt/labels.txt and seqinfo.ini of one sequence; the flag is 0 of boxes to ignore.

    Args:
        folder: of the sequence, which holds the frames in ``img1``; its name is the sequence's.
        names: of the frames, numbered from 1.
        annotations: of the frames, all of one size, labels and identities from 0; identity -1 is none.
        class_names: what the labels mean.
        rate: frames per second.

    Returns:
        gt.txt.
    """
    path = folder / "gt" / "gt.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for frame, truth in enumerate(annotations, start=1):
        for (x, y, width, height), label, identity, ignore in zip(
            box_ops.xyxy_to_xywh(truth.boxes).tolist(),
            truth.labels.tolist(),
            truth.ids.tolist(),
            truth.ignore.tolist(),
            strict=True,
        ):
            # Pixels and identities are numbered from 1; the last number is the visibility, 1 for all.
            box = ",".join(f"{value:.3f}" for value in (x + 1, y + 1, width, height))
            lines.append(f"{frame},{identity + 1 if identity >= 0 else -1},{box},{int(not ignore)},{label + 1},1\n")
    path.write_text("".join(lines), encoding="utf-8")
    (folder / "gt" / "labels.txt").write_text("".join(f"{name}\n" for name in class_names), encoding="utf-8")
    info = {
        "name": folder.name,
        "imDir": "img1",
        "frameRate": f"{rate:g}",
        "seqLength": len(names),
        "imWidth": annotations[0].width,
        "imHeight": annotations[0].height,
        "imExt": Path(names[0]).suffix,
    }
    text = "[Sequence]\n" + "".join(f"{key}={value}\n" for key, value in info.items())
    (folder / "seqinfo.ini").write_text(text, encoding="utf-8")
    return path
