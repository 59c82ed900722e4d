"""Data sets from one format to another, with a word for everything that the other format cannot hold."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from PIL import Image

from .. import boxes as box_ops
from ..annotations.coco import write_coco
from ..annotations.mot import write_mot
from ..annotations.problems import DataError
from ..annotations.voc import write_voc
from ..annotations.yolo import write_yolo
from ..images import ImageError
from .dataset import DetectionDataset
from .formats import COCO, MOT, VOC, YOLO, CrowdHuman, KITTITracking
from .sample import Annotation, Floats, Ints

if TYPE_CHECKING:
    from numpy.typing import NDArray

Target: TypeAlias = Literal["coco", "voc", "yolo", "mot"]
ImageFiles: TypeAlias = Literal["link", "copy", "none"]

_UNKNOWN_RATE = 30.0

_NOT_READ: Sequence[tuple[type[DetectionDataset], str]] = (
    (COCO, "masks, keypoints, licences and the ids of annotations"),
    (VOC, "pose, truncation, parts and segmentations"),
    (YOLO, "the corners of polygons (the boxes around them are taken)"),
    (MOT, "visibility, and objects of classes that were not asked for"),
    (KITTITracking, "places in space, occlusion and truncation, and objects of classes that were not asked for"),
    (CrowdHuman, "the other two boxes of each person, and their attributes"),
)
"""What the readers themselves leave behind."""


@dataclass
class Conversion:
    """What was written.

    Attributes:
        files: the list, JSON file, data.yaml or gt.txt of each split (of each sequence for MOT).
        images: written, by split.
        boxes: written, by split.
        losses: what the new files do not say, one sentence each.
    """

    files: list[Path] = field(default_factory=list)
    images: dict[str, int] = field(default_factory=dict)
    boxes: dict[str, int] = field(default_factory=dict)
    losses: list[str] = field(default_factory=list)


def convert(
    datasets: Mapping[str, DetectionDataset],
    output: str | os.PathLike[str],
    *,
    to: Target,
    images: ImageFiles = "link",
    shrink: int | None = None,
) -> Conversion:
    """Write data sets in another format.

    Boxes to ignore become COCO's crowds, VOC's difficult objects and MOT's rows with the flag 0; YOLO has nothing like
    it. Regions of any class are written once for each class. All splits get the classes of all.

    Args:
        datasets: by the name of the split.
        output: a new or empty folder.
        to: the format.
        images: symbolic links to the files, copies of them, or none. Images that are drawn or shrunk are written.
        shrink: longest side of the images of the split ``train``, in pixels: larger ones are stored so small, with
            their boxes. Images of other splits stay whole, as what counts as a small object depends on their size.

    Raises:
        DataError: a folder that isn't empty, nothing to convert, data that the format cannot hold at all, or links
            that cannot be made.
    """
    output = Path(output)
    if to not in get_args(Target) or images not in get_args(ImageFiles):
        raise DataError(
            f"expected one of {', '.join(get_args(Target))} and of {', '.join(get_args(ImageFiles))} for the images, "
            f"got {to!r} and {images!r}"
        )
    if shrink is not None and (shrink < 32 or images == "none" or "train" not in datasets):
        raise DataError(
            f"shrink: expected a side of at least 32 pixels, a split named train and images that are written, got "
            f"{shrink}, {', '.join(datasets)} and {images!r}"
        )
    if not datasets:
        raise DataError("nothing to convert: no split was given")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise DataError(
            f"{output}: is there and not empty; give a new folder, so that nothing is mixed or written over"
        )
    names = list(dict.fromkeys(name for dataset in datasets.values() for name in dataset.class_names))
    if not names:
        raise DataError("the data have no classes, so there is nothing to convert but images")
    sources = {split: dataset.with_class_names(names) for split, dataset in datasets.items()}
    job = _Job(output, to, images, tuple(names), sources)
    if shrink is not None:
        sources["train"] = job.shrunk(sources["train"], shrink)
    for split, dataset in sources.items():
        (job.write_video if to == "mot" else job.write)(split, dataset)
    return Conversion(job.files, job.images_written, job.boxes_written, _losses(job, datasets))


class _Job:
    """A conversion under way, and counts of what was lost."""

    def __init__(
        self,
        output: Path,
        to: Target,
        images: ImageFiles,
        class_names: tuple[str, ...],
        sources: Mapping[str, DetectionDataset],
    ) -> None:
        self.output = output
        self.to = to
        self.images = images
        self.class_names = class_names
        self.sources = sources
        self.sizes: dict[Path, tuple[int, int]] = {}  # of images that become smaller
        self.lost: Counter[str] = Counter()
        self.seen_classes: set[int] = set()
        self.files: list[Path] = []
        self.images_written: dict[str, int] = {}
        self.boxes_written: Counter[str] = Counter()
        self.names = {} if to == "mot" else self._choose_names()

    def shrunk(self, dataset: DetectionDataset, side: int) -> DetectionDataset:
        """Return the training split as it will be, with images of at most `side` pixels along a side."""
        whole = {d.path(i) for split, d in self.sources.items() if split != "train" for i in range(len(d))}
        columns = dataset.columns
        sizes = columns.sizes.copy()
        for index in np.flatnonzero(columns.sizes.max(axis=1) > side).tolist():
            if (path := dataset.path(index)) not in whole:
                height, width = columns.sizes[index] * (side / columns.sizes[index].max())
                self.sizes[path] = max(1, round(height)), max(1, round(width))
                sizes[index] = self.sizes[path]
        across = (sizes / columns.sizes)[columns.samples()][:, ::-1]
        boxes, areas = columns.boxes * np.tile(across, 2), columns.areas * across.prod(axis=1)
        smaller = replace(columns, sizes=sizes, boxes=boxes.astype(np.float32), areas=areas.astype(np.float32))
        return DetectionDataset(dataset.class_names, smaller, reader=dataset.reader, **dataset.settings())

    def write(self, split: str, dataset: DetectionDataset) -> None:
        """One split in COCO's, VOC's or YOLO's form."""
        folder = {"coco": "images", "voc": "JPEGImages", "yolo": f"images/{split}"}[self.to]
        names = []
        for index in range(len(dataset)):
            names.append(self.names[dataset.path(index)])
            self._place(dataset, index, self.output / folder / names[-1])
        self.images_written[split] = len(names)
        (self.output / folder).mkdir(parents=True, exist_ok=True)
        rest: tuple[Any, ...] = (self.output, split, names, self._annotations(split, dataset), self.class_names)
        if self.to == "coco":
            category_ids = next(iter(self.sources.values())).category_ids
            self.files.append(write_coco(*rest, category_ids=category_ids))
        else:
            self.files.append((write_voc if self.to == "voc" else write_yolo)(*rest))

    def write_video(self, split: str, dataset: DetectionDataset) -> None:
        """One split in MOT's form: a folder for each sequence."""
        count = 0
        annotations = self._annotations(split, dataset)
        for name, indices, rate in _videos(dataset):
            folder = self.output / split / name
            frames = [next(annotations) for _ in indices]
            sizes = Counter((frame.height, frame.width) for frame in frames)
            if len(sizes) > 1:
                some = ", ".join(f"{height}×{width}" for (height, width), _ in sizes.most_common(3))
                raise DataError(
                    f"{split}: the images of {name} have {len(sizes)} sizes (height×width: {some} ...), but MOT "
                    "holds videos, whose frames have one size; convert to coco, voc or yolo instead"
                )
            names = []
            for number, index in enumerate(indices, start=1):
                names.append(f"{number:06d}{dataset.path(index).suffix}")
                self._place(dataset, index, folder / "img1" / names[-1])
            self.files.append(write_mot(folder, names, self._with_identities(frames), self.class_names, rate))
            self.lost["rate"] += rate == _UNKNOWN_RATE and not dataset.sequences
            count += len(names)
        self.images_written[split] = count

    def _choose_names(self) -> dict[Path, str]:
        """A name for each image, of different stems; as many folders before its own name as that needs."""
        paths = list(dict.fromkeys(d.path(index) for d in self.sources.values() for index in range(len(d))))
        names = [path.name for path in paths]
        for depth in range(1, 5):
            names = ["_".join(path.parts[-depth:]) for path in paths]
            if len({_stem(name) for name in names}) == len(paths):
                break
        else:
            names = [f"{number:06d}_{path.name}" for number, path in enumerate(paths, start=1)]
        self.lost["renamed"] += sum(name != path.name for name, path in zip(names, paths, strict=True))
        return dict(zip(paths, names, strict=True))

    def _place(self, dataset: DetectionDataset, index: int, target: Path) -> None:
        """Link or copy an image, or write one that is drawn or becomes smaller."""
        source = dataset.path(index)
        if target.exists() or (self.images == "none" and source.is_file()):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if source in self.sizes or not source.is_file():
            try:
                pixels = dataset.image(index).read()[0]
            except ImageError:  # stays what it is
                if not source.is_file():
                    raise
                self.lost["unreadable"] += 1
            else:
                image = Image.fromarray(pixels)
                if source in self.sizes:
                    image = image.resize(self.sizes[source][::-1], Image.Resampling.BOX)
                    self.lost["shrunk"] += 1
                format = Image.registered_extensions().get(target.suffix.lower(), "JPEG")
                image.save(target, format, quality=95, subsampling=0)
                return
        if self.images == "copy":
            shutil.copyfile(source, target)
        else:
            try:
                target.symlink_to(source.resolve())
            except OSError as error:
                raise DataError(f"{target}: no link can be made here ({error}); copy the images instead") from error

    def _annotations(self, split: str, dataset: DetectionDataset) -> Iterator[Annotation]:
        """The annotations as the format can hold them; what it cannot is counted."""
        for index in range(len(dataset)):
            truth = dataset.annotation(index)
            truth = self._without_ignored(truth) if self.to == "yolo" else self._one_class_each(truth)
            if self.to in ("voc", "yolo"):
                self.lost["areas"] += int((np.abs(truth.areas - box_ops.area(truth.boxes)) > 1).sum())
                truth = self._clipped(truth)
            if self.to == "voc":
                truth = self._in_whole_pixels(truth)
            if self.to != "mot":
                self.lost["identities"] += int((truth.ids >= 0).sum())
            self.seen_classes.update(np.unique(truth.labels).tolist())
            self.boxes_written[split] += len(truth)
            yield truth

    def _without_ignored(self, truth: Annotation) -> Annotation:
        self.lost["ignored"] += int(truth.ignore.sum())
        return _rows(truth, np.flatnonzero(~truth.ignore))

    def _one_class_each(self, truth: Annotation) -> Annotation:
        """Regions of any class become one of each class."""
        anyone = truth.labels < 0
        if not anyone.any():
            return truth
        self.lost["any class"] += int(anyone.sum())
        classes = len(self.class_names)
        rows = np.repeat(np.arange(len(truth)), np.where(anyone, classes, 1))
        copies = _rows(truth, rows)
        labels: Ints = copies.labels.copy()
        labels[anyone[rows]] = np.tile(np.arange(classes), int(anyone.sum()))
        return replace(copies, labels=labels)

    def _clipped(self, truth: Annotation) -> Annotation:
        boxes = box_ops.clip(truth.boxes, (truth.height, truth.width))
        self.lost["clipped"] += int((boxes != truth.boxes).any(axis=1).sum())
        return replace(truth, boxes=boxes)

    def _in_whole_pixels(self, truth: Annotation) -> Annotation:
        """Boxes between whole pixels, at least two wide and high: one pixel is written as no area."""
        limit = np.array([truth.width, truth.height], dtype=np.float32)
        low, high = np.floor(truth.boxes[:, :2] + 0.5), np.floor(truth.boxes[:, 2:] + 0.5)
        thin = high - low < 2
        middle = (truth.boxes[:, :2] + truth.boxes[:, 2:]) / 2
        low = np.where(thin, np.floor(middle - 0.5).clip(0, np.maximum(limit - 2, 0)), low)
        high = np.where(thin, low + 2, high)
        boxes: Floats = np.concatenate([low, high], axis=1).astype(np.float32)
        fitting = (high <= limit).all(axis=1)
        self.lost["rounded"] += int((boxes != truth.boxes).any(axis=1).sum())
        self.lost["widened"] += int((thin.any(axis=1) & fitting).sum())
        self.lost["too thin"] += int((~fitting).sum())
        return _rows(replace(truth, boxes=boxes), np.flatnonzero(fitting))

    def _with_identities(self, frames: Sequence[Annotation]) -> list[Annotation]:
        """Each object without an identity gets one of its own."""
        free = 1 + max((int(frame.ids.max(initial=-1)) for frame in frames), default=-1)
        result = []
        for frame in frames:
            new = (frame.ids < 0) & ~frame.ignore
            ids: Ints = frame.ids.copy()
            ids[new] = free + np.arange(int(new.sum()))
            free += int(new.sum())
            self.lost["new identities"] += int(new.sum())
            result.append(replace(frame, ids=ids))
        return result


def _videos(dataset: DetectionDataset) -> Iterator[tuple[str, range, float]]:
    """Name, samples and frame rate of each sequence: the data set's own, or its folders of images."""
    if sum(map(len, dataset.sequences)) == len(dataset):
        yield from ((video.name, range(video.start, video.stop), video.frame_rate) for video in dataset.sequences)
        return
    done: set[str] = set()
    for folder, group in groupby(range(len(dataset)), lambda index: dataset.path(index).parent):
        indices = list(group)
        name = folder.name or "video"
        name = name if name not in done else f"{name}_{len(done)}"
        done.add(name)
        yield name, range(indices[0], indices[-1] + 1), _UNKNOWN_RATE


def _rows(truth: Annotation, rows: NDArray[Any]) -> Annotation:
    arrays = {name: getattr(truth, name)[rows] for name in ("boxes", "labels", "ids", "ignore", "areas")}
    return replace(truth, **arrays)


def _stem(name: str) -> str:
    return Path(name).stem.lower()


def _losses(job: _Job, datasets: Mapping[str, DetectionDataset]) -> list[str]:
    """A sentence for each thing that the new files do not say."""
    format = {"coco": "COCO", "voc": "VOC", "yolo": "YOLO", "mot": "MOT"}[job.to]
    classes = len(job.class_names)
    sentences = {
        "ignored": f"boxes to ignore left out: {format} has no flag for them, they are background now",
        "any class": f"regions of any class written once for each of the {classes} classes",
        "clipped": "boxes cut at the edges of their images",
        "rounded": "boxes rounded to whole pixels (numbered from 1)",
        "widened": "boxes widened to two pixels, the smallest that are read as having an area",
        "too thin": "boxes left out, in images of one pixel",
        "areas": f"areas other than those of the boxes (of masks) lost: {format} has none",
        "identities": f"identities lost: {format} has none",
        "new identities": "objects without an identity got one of their own",
        "rate": f"sequences of unknown frame rate: {_UNKNOWN_RATE:g} is written",
        "shrunk": "training images stored smaller; those of other splits stay whole",
        "unreadable": "images that cannot be read left as large as they are",
        "renamed": "images renamed after their folders, as their own names occur more than once",
    }
    lines = [f"{job.lost[key]:,} {text}" for key, text in sentences.items() if job.lost[key]]
    if job.to != "coco" and any(isinstance(dataset, COCO) for dataset in datasets.values()):
        lines.append(f"ids of images and categories are not kept: {format} has none")
    missing = [name for label, name in enumerate(job.class_names) if label not in job.seen_classes]
    if job.to == "voc":
        lines.append("the order of the classes is not kept: VOC has no list of them")
        if missing:
            lines.append(f"classes without an object are not kept: {', '.join(missing)}")
    if job.to == "mot":
        lines.append("visibility: 1 is written for all; frames are numbered anew from 1")
    for kind, what in _NOT_READ:
        if any(isinstance(dataset, kind) for dataset in datasets.values()):
            lines.append(f"not read from the source: {what}")
    for split, dataset in datasets.items():
        if dataset.problems:
            lines.append(f"{split}: {len(dataset.problems)} problems of the source; `centernet check` names them")
    return lines
