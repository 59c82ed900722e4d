"""Finding out which format the data in a folder have (the first row of `FORMATS` that fits), and its splits."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import yaml

from ..annotations.problems import DataError, DataWarning, with_nearest
from ..configuration import plain
from ..images import IMAGE_SUFFIXES
from . import COCO, MOT, VOC, YOLO, CrowdHuman, ImageFolder, KITTITracking, SafetyHelmet
from .dataset import DetectionDataset
from .formats.kitti import find_root

Splits: TypeAlias = dict[str, dict[str, Any]]
"""Name of a split → arguments of the reader."""


class Format(NamedTuple):
    """A row of the table."""

    name: str  # by which a person chooses it
    title: str  # for reports
    reader: type[DetectionDataset]
    recognise: Callable[[Path], Splits]  # from a folder or file; empty where it isn't this format
    layout: str  # by what it is recognised, for people


@dataclass
class Source:
    """The data of a folder or file, and how they are read."""

    path: Path
    format: Format
    splits: Splits
    also: list[str] = field(default_factory=list)  # titles of other formats that fit
    options: dict[str, Any] = field(default_factory=dict)  # further arguments for all splits

    def arguments(self, split: str) -> dict[str, Any]:
        """Return what the reader is called with; raise a DataError for an option that it doesn't have."""
        known = inspect.signature(self.format.reader).parameters
        for name in self.options:
            if name not in known:
                raise DataError(f"{self.format.title} has no option {name}")
        return {**self.splits[split], **self.options}

    def open(self, split: str) -> DetectionDataset:
        """Return the data set of a split; what is wrong with it is in its `problems`, without a warning."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            return self.format.reader(**self.arguments(split))

    def section(self, split: str) -> dict[str, Any]:
        """Return the data set of a split as a configuration names it: `class_path` and `init_args`."""
        arguments = plain(self.arguments(split))
        arguments.pop("require_images", None)
        return {"class_path": self.format.reader.__name__, "init_args": arguments}

    def configuration(self) -> str:
        """Return the `data` section of a configuration that trains on it, as YAML; empty without a training split."""
        sections = {split: self.section(split) for split in self.splits if split in ("train", "val", "test")}
        if "train" not in sections:
            return ""
        return yaml.safe_dump({"data": sections}, sort_keys=False, allow_unicode=True, width=100)


def find_format(path: Path, *, name: str | None = None) -> Source:
    """Find out what the data in a folder, or in a file that is a data set (COCO's JSON), are.

    Without the name of a format the first that fits is taken. A DataError names what was looked for where none does.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    names = [format.name for format in FORMATS]
    if name is not None and name not in names:
        raise DataError(f"format {with_nearest([name], names)} is not known; expected one of {', '.join(names)}")
    fitting = [(format, splits) for format in FORMATS if (splits := format.recognise(path))]
    chosen = [(format, splits) for format, splits in fitting if name in (None, format.name)]
    if not chosen:
        looked_for = "; ".join(f"{format.title}: {format.layout}" for format in FORMATS if name in (None, format.name))
        what = f"not in the format {name}" if name else "no data set in a known format"
        found = f" It looks like {', '.join(format.title for format, _ in fitting)}." if fitting else ""
        raise DataError(f"{path}: {what}.{found} What is looked for: {looked_for}")
    format, splits = chosen[0]
    also = [other.title for other, _ in fitting if other is not format and other.reader is not ImageFolder]
    return Source(path, format, splits, also)


def _voc(path: Path) -> Splits:
    if not (path / "Annotations").is_dir() or not (path / "JPEGImages").is_dir():
        return {}
    lists = sorted(file.stem for file in (path / "ImageSets" / "Main").glob("*.txt"))
    whole = [name for name in lists if "_" not in name]  # aeroplane_train.txt is VOC's list for one class
    if "train" in whole:
        whole = [name for name in whole if name != "trainval"]  # holds those of train again
    if not whole:
        return {"train": {"root": path, "split": None}}
    return _named({name: {"root": path, "split": name} for name in whole})


def _helmet(path: Path) -> Splits:
    root = path if path.name == "VOC2028" else path / "VOC2028"
    return {name: {**arguments, "root": path} for name, arguments in _voc(root).items()}


def _coco(path: Path) -> Splits:
    if path.is_file():
        return {_role(path.stem): {"annotations": path}} if _is_coco(path) else {}
    folders = [path, path / "annotations", *(path / name for name in ("train", "valid", "val", "test"))]
    files = [file for folder in folders for file in sorted(folder.glob("*.json")) if _is_coco(file)]
    for other in ("keypoints", "stuff", "panoptic"):  # beside COCO's instances: the same images again
        files = [file for file in files if other not in file.stem] or files
    found: Splits = {}
    for file in files:
        folder = file.parent.name
        found[folder if folder in ("train", "valid", "val", "test") else file.stem] = {"annotations": file}
    return _named(found)


def _yolo(path: Path) -> Splits:
    for file in [path] if path.is_file() else [path / "data.yaml", *sorted(path.glob("*.y*ml"))]:
        content = None
        if file.suffix in (".yaml", ".yml"):
            with suppress(OSError, ValueError, yaml.YAMLError):
                content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
        if isinstance(content, dict) and "names" in content:
            keys = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}
            return {split: {"data": file, "split": split} for split in keys if any(map(content.get, keys[split]))}
    return {}


def _mot(path: Path) -> Splits:
    def has_sequences(folder: Path) -> bool:
        return any((folder / "gt").glob("gt.txt")) or any(folder.glob("*/gt/gt.txt"))

    if has_sequences(path):
        return {"train": {"root": path}}
    return {name: {"root": path / name} for name in ("train", "val", "test") if has_sequences(path / name)}


def _kitti(path: Path) -> Splits:
    return {"train": {"root": path}} if find_root(path) else {}


def _crowdhuman(path: Path) -> Splits:
    files = [path] if path.suffix == ".odgt" else [*sorted(path.glob("*.odgt")), *sorted(path.glob("*/*.odgt"))]
    return _named({file.stem: {"annotations": file} for file in files})


def _images(path: Path) -> Splits:
    def has_images(pattern: str) -> bool:
        files = (file for file in path.glob(pattern) if not file.name.startswith("."))
        return any(file.suffix.lower() in IMAGE_SUFFIXES for file in files)

    direct = has_images("*")
    return {"train": {"root": path, "recursive": not direct}} if direct or has_images("**/*") else {}


FORMATS: Sequence[Format] = (
    Format("helmet", "Safety-Helmet-Wearing-Dataset", SafetyHelmet, _helmet, "the folder VOC2028"),
    Format("voc", "Pascal VOC", VOC, _voc, "the folders Annotations and JPEGImages"),
    Format("coco", "COCO", COCO, _coco, "*.json with images, annotations, categories (also in annotations, train …)"),
    Format("yolo", "YOLO", YOLO, _yolo, "data.yaml with names"),
    Format("mot", "MOTChallenge", MOT, _mot, "<sequence>/gt/gt.txt (also in train …)"),
    Format("kitti", "KITTI tracking", KITTITracking, _kitti, "the folders label_02 and image_02"),
    Format("crowdhuman", "CrowdHuman", CrowdHuman, _crowdhuman, "*.odgt"),
    Format("images", "images without annotations", ImageFolder, _images, "images"),
)

_ROLES = {"train": {"train", "training"}, "val": {"val", "valid", "validation", "dev"}, "test": {"test", "testing"}}


def _role(name: str) -> str:
    """``train``, ``val`` or ``test`` where the name of a file or list says so, else the name itself."""
    words = "".join(c if c.isalpha() else " " for c in name.lower()).split()
    roles = [role for role, known in _ROLES.items() if not known.isdisjoint(words)]
    return next(iter(roles), "train" if words in (["trainval"], ["annotations"], ["instances"]) else name)


def _named(found: Splits) -> Splits:
    """Splits by their roles, training first; of two with one role the second keeps its own name."""
    splits: Splits = {}
    for name in sorted(found):
        role = _role(name)
        splits[name if role in splits else role] = found[name]
    order = [*_ROLES, *sorted(splits)]
    return {name: splits[name] for name in sorted(splits, key=order.index)}


def _is_coco(path: Path) -> bool:
    """True if a JSON file holds the names of COCO's three lists. It is scanned, not parsed: it may be large."""
    wanted = {b'"images"', b'"annotations"', b'"categories"'}
    rest = b""
    try:
        with path.open("rb") as file:
            while wanted and (block := file.read(1 << 22)):
                wanted = {key for key in wanted if key not in rest + block}
                rest = block[-16:]
    except OSError:
        return False
    return not wanted
