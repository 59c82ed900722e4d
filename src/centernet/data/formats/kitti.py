"""KITTI's benchmarks (Geiger et al., CVPR 2012): https://www.cvlibs.net/datasets/kitti/eval_object.php?obj_benchmark=2d
for detection, https://www.cvlibs.net/datasets/kitti/eval_tracking.php for tracking."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from ...annotations.kitti import DONT_CARE, KITTI_CLASSES, LabelFiles, labels_by_type, read_object, read_truth
from ...annotations.mot import SequenceInfo
from ...annotations.problems import DataError, Reports, choose_class_names, choose_sequences, opening
from ...annotations.text import filled_lines
from ...boxes3d import FIELDS
from ...images import IMAGE_SUFFIXES, walk_files
from ..dataset import DetectionDataset
from .layout import ImageList, find_image_folder, inner_folders
from .sequences import SequenceReader

_INFO = SequenceInfo(frame_rate=10.0)
_FOLDERS = (("label_2", "image_2"), ("labels", "images"), ("labels", "data"), ("label", "image"))
_USUAL = ("Car", "Pedestrian", "Cyclist")
"""Classes that the benchmarks evaluate."""


class KITTITracking(DetectionDataset):
    """KITTI's tracking sequences, with identities that run from 0 on over all of them.

    To be ignored are DontCare regions (for every class), neighbours of classes that are asked for (`NEIGHBOURS`), and
    objects more occluded or truncated than the limits. An image without rows is an example of background.

    Args:
        root: the folder that holds ``label_02`` and ``image_02`` (or the one above, with ``training`` in it).
        sequences: names or patterns, such as ``"0001"`` or ``"00*"``; None takes all.
        class_names: of `KITTI_CLASSES`, in the order of their labels.
        max_occlusion: 0 visible, 1 partly, 2 largely occluded, 3 unknown.
        max_truncation: 0 inside the image, 1 partly, 2 largely truncated.
        boxes3d: boxes have the fields of `centernet.boxes3d`, by the calibration files in ``calib`` beside the labels.
        strict: the first problem is an error.
    """

    not_read = (
        "places in space (but with boxes3d), occlusion and truncation, and objects of classes that were not asked for"
    )

    def __init__(
        self,
        root: str | os.PathLike[str],
        sequences: Sequence[str] | None = None,
        *,
        class_names: Sequence[str] = _USUAL,
        max_occlusion: int = 3,
        max_truncation: int = 2,
        boxes3d: bool = False,
        strict: bool = False,
    ) -> None:
        folder = find_root(Path(root))
        if folder is None:
            text = "expected the folders label_02 and image_02 in it (or in its folder training); check `root`"
            raise DataError(f"{root}: {text}")
        names = choose_class_names(class_names, KITTI_CLASSES, "", "types of KITTI")
        reader = SequenceReader(folder, Reports(strict=strict))
        calib = _calib(folder) if boxes3d else None
        limits: dict[str, Any] = {"max_occlusion": max_occlusion, "max_truncation": max_truncation}
        parse = partial(read_truth, names, calib=calib, **limits)
        found = {path.stem for path in (folder / "label_02").glob("*.txt")}
        found |= {path.name for path in (folder / "image_02").iterdir() if path.is_dir()}
        for name in choose_sequences(sorted(found), sequences, folder):
            reader.read(name, folder / "label_02" / f"{name}.txt", f"image_02/{name}", parse, _INFO)
        columns, findings = reader.columns(), reader.images.findings()
        findings |= {"fields": FIELDS if boxes3d else (), "benchmark": "kitti"}
        super().__init__(names, columns, source=folder, sequences=reader.sequences, **findings)


def find_root(path: Path) -> Path | None:
    """Return the folder that holds ``label_02`` and ``image_02``: the one given, or its subfolder ``training``."""
    folders = (path, path / "training")
    return next((f for f in folders if (f / "label_02").is_dir() and (f / "image_02").is_dir()), None)


class KITTI(DetectionDataset):
    """KITTI's detection benchmark, and label files like its own for classes of any name.

    To be ignored are DontCare regions (for every class), neighbours of classes that are asked for (`NEIGHBOURS`), and
    objects more occluded or truncated than the limits. Where most objects are of `KITTI_CLASSES` another type is a
    mistake; else the types that occur are the classes, there are no neighbours, and validation doesn't give KITTI's
    figures. An image without a label file is an example of background, as datumaro and CVAT write them.

    Args:
        root: the folder that holds ``label_2`` and ``image_2`` (``labels`` and ``images`` or ``data``), or the one
            above with ``training`` in it, or the folder of the label files itself.
        images: the folder of the images; None looks for it beside that of the label files.
        split: the name of a list in ``ImageSets`` beside these folders or one above, a name without suffix a line.
        class_names: None takes Car, Pedestrian and Cyclist of KITTI's own classes, or all that occur.
        max_occlusion: 0 visible, 1 partly, 2 largely occluded, 3 unknown.
        max_truncation: share of the object outside of the image, 0 .. 1.
        boxes3d: boxes have the fields of `centernet.boxes3d`, by the calibration files in ``calib`` beside the labels.
        strict: the first problem is an error.
    """

    not_read = (
        "places in space (but with boxes3d), occlusion and truncation, scores, and objects of classes that were not "
        "asked for"
    )

    def __init__(
        self,
        root: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        split: str | None = None,
        class_names: Sequence[str] | None = None,
        max_occlusion: int = 3,
        max_truncation: float = 1.0,
        boxes3d: bool = False,
        strict: bool = False,
    ) -> None:
        labels, image_root = _label_folders(Path(root), None if images is None else Path(images))
        report = Reports(strict=strict)
        found, files = ImageList(image_root, report), LabelFiles(report, _calib(labels.parent) if boxes3d else None)
        image_of = _by_stem(image_root, IMAGE_SUFFIXES)
        label_of = _by_stem(labels, (".txt",))
        if not image_of:
            raise DataError(f"{image_root}: no images in it; give their folder as `images` (--images)")
        without = []
        for stem in sorted(image_of.keys() | label_of.keys()) if split is None else _listed(labels, split):
            path = labels / label_of.get(stem, f"{stem}.txt")
            if stem not in image_of:
                report(path, "missing-image", f"no image for this label file in {image_root}; the sample is left out")
            elif (index := found.add(image_of[stem])) >= 0:
                if stem in label_of:
                    with opening(path):
                        files.read(path, index)
                else:
                    without.append(image_of[stem])
        if not files.files:
            raise DataError(f"{labels}: none of the {len(found)} images in {image_root} has a label file there")
        if without:
            text = f"{len(without)} images have no label file, such as {without[0]}: taken as examples of background"
            report.note(labels, "assumed", text)
        benchmark = files.are_kittis()
        if benchmark:
            asked = _USUAL if class_names is None else class_names
            names = choose_class_names(asked, KITTI_CLASSES, f"{labels}: ", "types of KITTI")
            roles = labels_by_type(names)
            files.report_unknown()
        else:
            names = choose_class_names(class_names, sorted({*files.types} - {DONT_CARE}), f"{labels}: ", "types there")
            roles = {name: label for label, name in enumerate(names)} | {DONT_CARE: -1}
        known = KITTI_CLASSES if benchmark else tuple(files.types)
        report.left_out(labels, {kind: n for kind, n in files.counts().items() if kind in known and kind not in roles})
        rows = files.boxes(names, roles, max_occlusion=max_occlusion, max_truncation=max_truncation)

        def where(row: int) -> tuple[Path, str]:
            return files.files[int(rows.images[row])], f"line {rows.places[row]}"

        columns = found.columns(rows, where)
        findings = {**found.findings(), "fields": FIELDS if boxes3d else ()}
        super().__init__(names, columns, source=labels, benchmark="kitti" if benchmark else None, **findings)


def _calib(folder: Path) -> Path:
    """Return the folder of calibration files; a DataError where there is none."""
    if not (folder / "calib").is_dir():
        raise DataError(
            f"{folder}: no folder calib with calibration files in it; boxes3d=True needs the camera's matrix"
        )
    return folder / "calib"


def _label_folders(root: Path, images: Path | None) -> tuple[Path, Path]:
    """Return the folders of the label files and of the images."""
    for folder in (root, root / "training"):
        for name, beside in _FOLDERS:
            labels = folder / name
            if labels.is_dir() and images is None and (folder / beside).is_dir():
                return labels, folder / beside
            if labels.is_dir() and (images is not None or not _unlike_kitti(labels)):
                return labels, _image_folder(labels, images)
    if root.is_dir() and not _unlike_kitti(root, depth=0):
        return root, _image_folder(root, images)
    pairs = ", ".join(f"{labels} and {beside}" for labels, beside in _FOLDERS)
    raise DataError(f"{root}: expected folders {pairs} in it (or in its folder training); check `root`")


def _image_folder(labels: Path, given: Path | None) -> Path:
    """Return the folder with images named as the first label files, if there is one."""
    stems = islice(_by_stem(labels, (".txt",)), 10)
    names = [f"{stem}{suffix}" for stem in stems for suffix in (".png", ".jpg", ".jpeg")]
    return find_image_folder(labels, given, names)


def _by_stem(folder: Path, suffixes: Sequence[str]) -> dict[str, str]:
    """Return the files of a folder and its subfolders by their names without suffix; of two the first counts."""
    files = sorted(path for path in walk_files(folder) if path.suffix.lower() in suffixes)
    names = [path.relative_to(folder).as_posix() for path in reversed(files)]
    return {os.path.splitext(name)[0]: name for name in names}


def _listed(labels: Path, split: str) -> list[str]:
    """Return the names in the list of a split."""
    lists = [folder / "ImageSets" / f"{split}.txt" for folder in labels.parents[:2]]
    path = next((path for path in lists if path.is_file()), None)
    if path is None:
        raise DataError(f"{lists[0]}: no such list, nor {lists[1]}; split=None takes every file in {labels}")
    return list(dict.fromkeys(filled_lines(path).values()))


def find_kitti(path: Path) -> dict[str, dict[str, Any]] | str:
    """Return the arguments of `KITTI` for each split, or why a folder is not in KITTI's format for detection."""
    found: dict[str, dict[str, Any]] = {}
    reasons = []
    for folder in (path, *inner_folders(path)) if path.is_dir() else ():
        own = [folder / labels for labels, _ in _FOLDERS if (folder / labels).is_dir()]
        for labels in dict.fromkeys(own):
            if reason := _unlike_kitti(labels):
                reasons.append(reason)
            else:
                found |= _splits(path, folder, labels)
        if folder == path and not own and not _unlike_kitti(path, depth=0):  # label files alone, or among the images
            found = {"train": {"root": path}}
        if found and folder == path:
            break
    return found or "; ".join(reasons)


def _unlike_kitti(labels: Path, *, depth: int = 32) -> str:
    """Say why none of the first rows in a folder is KITTI's; empty if one is, or by the name alone without a row."""
    files = list(islice((path for path in walk_files(labels, depth=depth) if path.suffix.lower() == ".txt"), 20))
    reason = "" if labels.name == _FOLDERS[0][0] else f"{labels}: no row in a .txt file"
    for path in files:
        for place, line in islice(filled_lines(path).items(), 50):
            try:
                read_object(line)
            except ValueError as error:
                reason = f"{path}: line {place} {error}"
            else:
                return ""
    return reason


def _splits(path: Path, folder: Path, labels: Path) -> dict[str, dict[str, Any]]:
    """Return the splits of a folder: those of the lists with names of label files in it, or all in one."""
    lists = {file.stem: file for root in (folder.parent, folder) for file in (root / "ImageSets").glob("*.txt")}
    if "train" in lists:
        lists.pop("trainval", None)  # holds those of train again
    found = {}
    for split, file in lists.items():
        first = next(iter(filled_lines(file).values()), "")
        if (labels / f"{first}.txt").is_file():
            found[split] = {"root": folder, "split": split}
    return found or {"train" if folder == path else folder.name: {"root": folder}}
