"""Data sets from one format to another, with a word for everything that the other format cannot hold."""

from __future__ import annotations

import io
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from PIL import Image

from .. import boxes as box_ops
from ..annotations.coco import write_coco
from ..annotations.keypoints import skeleton_of
from ..annotations.mot import write_mot
from ..annotations.problems import NOTE_KINDS, DataError, check_option
from ..annotations.voc import write_voc
from ..annotations.yolo import write_yolo
from ..images import ImageError
from ..images.limits import read_whole
from ..text import file_name
from ..whole import is_empty, whole_folder
from . import COCO, Shards
from .columns import Columns
from .dataset import DetectionDataset
from .fields import has_visibility, scaled
from .sample import Floats, Ints
from .shard_writing import write_shards

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Target: TypeAlias = Literal["coco", "voc", "yolo", "mot", "shards"]
ImageFiles: TypeAlias = Literal["link", "copy", "none"]

_UNKNOWN_RATE = 30.0


@dataclass
class Conversion:
    """Record of what was written: the list, JSON file, data.yaml or gt.txt of each split (of each sequence for MOT),
    images and boxes by split, and what the new files do not say, one sentence each."""

    files: list[Path]
    images: dict[str, int]
    boxes: dict[str, int]
    losses: list[str]


def convert(
    datasets: Mapping[str, DetectionDataset],
    output: str | os.PathLike[str],
    *,
    to: Target,
    images: ImageFiles = "link",
    shrink: int | None = None,
    shard_mb: int = 256,
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
        shard_mb: size that a tar of ``shards`` has at most, unless one sample has more, in megabytes of 10⁶ bytes.

    Shards are a folder of tars for each split, with the files of the images as they are; those of ``train`` in a random
    order, the same each time.

    The folder is there once all is written to it: after an error or an interruption it is as it was.

    Raises:
        DataError: a folder that isn't empty, nothing to convert, data that the format cannot hold at all, or links
            that cannot be made.
    """
    output = Path(output)
    names = tuple(dict.fromkeys(name for dataset in datasets.values() for name in dataset.class_names))
    check_option("to", to in get_args(Target), f"one of {', '.join(get_args(Target))}", repr(to))
    check_option("images", images in get_args(ImageFiles), f"one of {', '.join(get_args(ImageFiles))}", repr(images))
    check_option(
        "shrink",
        shrink is None or (shrink >= 32 and images != "none" and "train" in datasets),
        "a side of at least 32 pixels, a split named train and images that are written",
        f"{shrink}, {', '.join(datasets)} and {images!r}",
    )
    check_option("images", to != "shards" or images != "none", "link or copy, as shards hold the images", repr(images))
    check_option("shard_mb", shard_mb >= 1, "at least 1 megabyte", shard_mb)
    if not datasets:
        raise DataError("nothing to convert: no split was given")
    check_new(output)
    if not names:
        raise DataError("the data have no classes, so there is nothing to convert but images")
    sources = {split: dataset.with_class_names(names) for split, dataset in datasets.items()}
    with whole_folder(output) as folder:
        written = _written(datasets, folder, to, images, names, sources, shrink, shard_mb)
    files = [output / file.relative_to(folder) for file in written.files]
    return replace(written, files=files)


def _written(
    datasets: Mapping[str, DetectionDataset],
    folder: Path,
    to: Target,
    images: ImageFiles,
    names: tuple[str, ...],
    sources: dict[str, DetectionDataset],
    shrink: int | None,
    shard_mb: int,
) -> Conversion:
    """Write data sets to a new folder."""
    job = _Job(folder, to, images, names, sources, shard_mb)
    if shrink is not None:
        sources["train"] = job.shrunk(sources["train"], shrink)
    for dataset in sources.values():
        job.lose_fields(dataset)
    held = {split: job.as_held(dataset.columns) for split, dataset in sources.items()}
    files = [file for split, columns in held.items() for file in job.write(split, columns)]
    counts = {split: len(columns) for split, columns in held.items()}
    boxes = {split: len(columns.labels) for split, columns in held.items()}
    losses = [f"{count:,} {text}" for text, count in job.lost.items() if count]
    present = set(np.concatenate([columns.labels for columns in held.values()]).tolist())
    absent = [name for label, name in enumerate(names) if label not in present]
    return Conversion(list(dict.fromkeys(files)), counts, boxes, losses + _left_behind(datasets, to, absent))


def check_new(output: Path) -> None:
    """Raise a DataError unless a folder is new or empty."""
    if output.exists() and not (output.is_dir() and is_empty(output)):
        advice = "give a new folder, so that nothing is mixed or written over"
        raise DataError(f"{output}: is there and not empty; {advice}")


@dataclass
class _Job:
    """A conversion under way, and counts of what was lost."""

    output: Path
    to: Target
    images: ImageFiles
    class_names: tuple[str, ...]
    sources: Mapping[str, DetectionDataset]
    shard_mb: int
    lost: Counter[str] = field(default_factory=Counter)  # by the sentence that says it
    sizes: dict[Path, tuple[int, int]] = field(default_factory=dict)  # of images that become smaller

    @property
    def format(self) -> str:
        """Name of what holds the boxes, for sentences."""
        return "COCO's JSON" if self.to == "shards" else self.to.upper()

    def lose(self, what: ArrayLike, sentence: str) -> None:
        self.lost[sentence] += int(np.count_nonzero(what))

    def shrunk(self, dataset: DetectionDataset, side: int) -> DetectionDataset:
        """Return the training split as it will be, with images of at most `side` pixels along a side."""
        whole = {path for split, other in self.sources.items() if split != "train" for path in _paths(other)}
        columns, sizes = dataset.columns, dataset.columns.sizes.copy()
        for index in np.flatnonzero(sizes.max(axis=1) > side).tolist():
            if (path := dataset.path(index)) not in whole:
                sizes[index] = (sizes[index] * (side / sizes[index].max())).round().clip(1)
                self.sizes[path] = (int(sizes[index, 0]), int(sizes[index, 1]))
        across = (sizes / columns.sizes)[columns.samples()][:, ::-1]
        boxes, areas = columns.boxes * np.tile(across, 2), columns.areas * across.prod(axis=1)
        smaller = replace(columns, sizes=sizes, boxes=boxes.astype(np.float32), areas=areas.astype(np.float32))
        smaller = replace(smaller, data=scaled(columns.data, dataset.fields, across))
        return DetectionDataset(dataset.class_names, smaller, reader=dataset.reader, **dataset.settings())

    def lose_fields(self, dataset: DetectionDataset) -> None:
        """Count what is known of the boxes beside label and identity that the format cannot hold."""
        format = self.format
        for column in dataset.fields:
            array = dataset.columns.data[column.name]
            if column.skeleton is None or self.to not in ("coco", "yolo", "shards"):
                known = array[..., 2].any(axis=1) if has_visibility(column) else np.ones(len(array), np.bool_)
                self.lose(known, f"objects whose {column.name} are lost: {format} has none")
                continue
            named = skeleton_of(column.skeleton.names, () if self.to == "yolo" else column.skeleton.edges)
            self.lose(named.sigmas != column.skeleton.sigmas, f"lists of keypoint sigmas lost: {format} has none")
            edges = self.to == "yolo" and column.skeleton.edges
            self.lose(bool(edges), f"lists of limbs (edges between keypoints) lost: {format} has none")

    def as_held(self, columns: Columns) -> Columns:
        """Return the boxes as the format can hold them; what it cannot is counted."""
        format, classes = self.format, np.arange(len(self.class_names))
        if self.to == "yolo":
            self.lose(columns.ignore, "boxes to ignore left out: YOLO has no flag for them, they are background now")
            columns = columns.take(np.flatnonzero(~columns.ignore))
        anyone = columns.labels < 0
        self.lose(anyone, f"regions of any class written once for each of the {len(classes)} classes")
        columns = columns.take(np.repeat(np.arange(len(anyone)), np.where(anyone, len(classes), 1)))
        labels: Ints = columns.labels.copy()
        labels[labels < 0] = np.tile(classes, np.count_nonzero(anyone))
        columns = replace(columns, labels=labels)
        if self.to in ("voc", "yolo"):
            other_areas = np.abs(columns.areas - box_ops.area(columns.boxes)) > 1
            limits = np.tile(columns.sizes[columns.samples()][:, ::-1], 2).astype(np.float32)
            boxes = np.clip(columns.boxes, 0, limits)
            self.lose((boxes != columns.boxes).any(axis=1), "boxes cut at the edges of their images")
            columns = replace(columns, boxes=boxes)
            columns = self._in_whole_pixels(columns, limits[:, :2]) if self.to == "voc" else columns
            self.lose(other_areas, f"areas other than those of the boxes (of masks) lost: {format} has none")
        if self.to != "mot":
            self.lose(columns.ids >= 0, f"identities lost: {format} has none")
        return columns

    def _in_whole_pixels(self, columns: Columns, limits: Floats) -> Columns:
        """Boxes between whole pixels, at least two wide and high: one pixel is written as no area."""
        low, high = np.floor(columns.boxes + 0.5).reshape(-1, 2, 2).swapaxes(0, 1)
        thin = high - low < 2
        middle = (columns.boxes[:, :2] + columns.boxes[:, 2:]) / 2
        low = np.where(thin, np.floor(middle - 0.5).clip(0, np.maximum(limits - 2, 0)), low)
        high = np.where(thin, low + 2, high)
        boxes: Floats = np.concatenate([low, high], axis=1).astype(np.float32)
        fitting = (high <= limits).all(axis=1)
        self.lose((boxes != columns.boxes).any(axis=1), "boxes rounded to whole pixels (numbered from 1)")
        widened = thin.any(axis=1) & fitting
        self.lose(widened, "boxes widened to two pixels, the smallest that are read as having an area")
        self.lose(~fitting, "boxes left out, in images of one pixel")
        return replace(columns, boxes=boxes).take(np.flatnonzero(fitting))

    def write(self, split: str, columns: Columns) -> Iterator[Path]:
        """Write one split; yield the list, JSON file or data.yaml, for MOT the gt.txt of each sequence."""
        if self.to == "mot":
            yield from self._write_videos(split, columns)
            return
        dataset = self.sources[split]
        numbers = next(iter(self.sources.values())).category_ids
        if self.to == "shards":
            order = np.arange(len(dataset))
            order = np.random.default_rng(0).permutation(order) if split == "train" else order
            files = ((index, *self._file(dataset, index)) for index in order.tolist())
            options: dict[str, Any] = {"megabytes": self.shard_mb, "category_ids": numbers, "fields": dataset.fields}
            yield write_shards(self.output / file_name(split), split, columns, files, self.class_names, **options)
            return
        folder = self.output / {"coco": "images", "voc": "JPEGImages", "yolo": f"images/{split}"}[self.to]
        folder.mkdir(parents=True, exist_ok=True)
        names = [self.names[path] for path in _paths(dataset)]
        for index, name in enumerate(names):
            self._place(dataset, index, folder / name)
        as_coco = partial(write_coco, category_ids=numbers, fields=dataset.fields)
        as_yolo = partial(write_yolo, fields=dataset.fields)
        writers: dict[str, Callable[..., Path]] = {"coco": as_coco, "voc": write_voc, "yolo": as_yolo}
        yield writers[self.to](
            self.output, split, names, map(columns.annotation, range(len(columns))), self.class_names
        )

    def _write_videos(self, split: str, columns: Columns) -> Iterator[Path]:
        dataset = self.sources[split]
        for name, indices, rate in _videos(dataset):
            name = file_name(name)
            video, folder = columns.select(np.array(indices)), self.output / split / name
            sizes = Counter(map(tuple, video.sizes.tolist()))
            if len(sizes) > 1:
                some = ", ".join(f"{height}×{width}" for (height, width), _ in sizes.most_common(3))
                raise DataError(
                    f"{split}: the images of {name} have {len(sizes)} sizes (height×width: {some} ...), but MOT "
                    "holds videos, whose frames have one size; convert to coco, voc or yolo instead"
                )
            names = [f"{number:06d}{dataset.path(index).suffix}" for number, index in enumerate(indices, start=1)]
            for index, file in zip(indices, names, strict=True):
                self._place(dataset, index, folder / "img1" / file)
            new, ids = (video.ids < 0) & ~video.ignore, video.ids.copy()
            ids[new] = ids.max(initial=-1) + 1 + np.arange(np.count_nonzero(new))
            self.lose(new, "objects without an identity got one of their own")
            unknown = rate == _UNKNOWN_RATE and not dataset.sequences
            self.lose(unknown, f"sequences of unknown frame rate: {_UNKNOWN_RATE:g} is written")
            truths = [replace(video, ids=ids).annotation(frame) for frame in range(len(video))]
            yield write_mot(folder, names, truths, self.class_names, rate)

    @cached_property
    def names(self) -> dict[Path, str]:
        """A name for each image, of different stems; as many folders before its own name as that needs."""
        paths = list(dict.fromkeys(path for dataset in self.sources.values() for path in _paths(dataset)))
        candidates = [["_".join(path.parts[-depth:]) for path in paths] for depth in range(1, 5)]
        candidates.append([f"{number:06d}_{path.name}" for number, path in enumerate(paths, start=1)])
        candidates = [[file_name(name) for name in names] for names in candidates]
        names = next(names for names in candidates if len({Path(name).stem.lower() for name in names}) == len(paths))
        renamed = [name != path.name for name, path in zip(names, paths, strict=True)]
        self.lose(renamed, "images renamed, as their own names occur more than once, or stand in no line of a list")
        return dict(zip(paths, names, strict=True))

    def _place(self, dataset: DetectionDataset, index: int, target: Path) -> None:
        """Link or copy an image, or write one that is no file or becomes smaller."""
        source = dataset.path(index)
        if target.exists() or (self.images == "none" and source.is_file()):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if (content := self._content(dataset, index)) is not None:
            target.write_bytes(content)
            return
        if self.images == "copy":
            shutil.copyfile(source, target)
            return
        try:
            target.symlink_to(source.resolve())
        except OSError as error:
            raise DataError(f"{target}: no link can be made here ({error}); copy the images instead") from error

    def _file(self, dataset: DetectionDataset, index: int) -> tuple[str, Callable[[], bytes]]:
        """Return the name of an image's file, and what reads it."""
        source = dataset.path(index)

        def read() -> bytes:
            content = self._content(dataset, index)
            return read_whole(str(source)) if content is None else content

        return source.name, read

    def _content(self, dataset: DetectionDataset, index: int) -> bytes | None:
        """Return the new file of an image that becomes smaller or is drawn, or that in a tar; None for its own."""
        source = dataset.path(index)
        if source not in self.sizes and (source.is_file() or isinstance(dataset, Shards)):
            return dataset.content(index) if isinstance(dataset, Shards) else None
        try:
            image = Image.fromarray(dataset.image(index).read()[0])
        except ImageError:  # stays what it is
            if not source.is_file():
                raise
            self.lose(True, "images that cannot be read left as large as they are")
            return None
        if source in self.sizes:
            image = image.resize(self.sizes[source][::-1], Image.Resampling.BOX)
            self.lose(True, "training images stored smaller; those of other splits stay whole")
        format, file = Image.registered_extensions().get(source.suffix.lower(), "JPEG"), io.BytesIO()
        image.save(file, format, quality=95, subsampling=0)
        return file.getvalue()


def _paths(dataset: DetectionDataset) -> Iterator[Path]:
    return map(dataset.path, range(len(dataset)))


def _videos(dataset: DetectionDataset) -> Iterator[tuple[str, range, float]]:
    """Name, samples and frame rate of each sequence: the data set's own, or its folders of images."""
    if sum(map(len, dataset.sequences)) == len(dataset):
        yield from ((video.name, range(video.start, video.stop), video.frame_rate) for video in dataset.sequences)
        return
    done: set[str] = set()
    for folder, group in groupby(range(len(dataset)), lambda index: dataset.path(index).parent):
        indices, name = list(group), folder.name or "video"
        name = name if name not in done else f"{name}_{len(done)}"
        done.add(name)
        yield name, range(indices[0], indices[-1] + 1), _UNKNOWN_RATE


def _left_behind(datasets: Mapping[str, DetectionDataset], to: Target, absent: Sequence[str]) -> list[str]:
    """Return a sentence for each thing beside the boxes that the new files do not say."""
    from_coco = any(isinstance(dataset, (COCO, Shards)) for dataset in datasets.values())
    not_read = dict.fromkeys(dataset.not_read for dataset in datasets.values())
    sentences: list[tuple[object, str]] = [
        (
            to not in ("coco", "shards") and from_coco,
            f"ids of images and categories are not kept: {to.upper()} has none",
        ),
        (to == "voc", "the order of the classes is not kept: VOC has no list of them"),
        (to == "voc" and absent, f"classes without an object are not kept: {', '.join(absent)}"),
        (to == "mot", "visibility: 1 is written for all; frames are numbered anew from 1"),
        *((what, f"not read from the source: {what}") for what in not_read),
    ]
    for split, dataset in datasets.items():
        problems = [problem for problem in dataset.problems if problem.kind not in NOTE_KINDS]
        sentences += [(True, f"{split}: {p.message}") for p in dataset.problems if p.kind == "left-out-class"]
        sentences.append((problems, f"{split}: {len(problems)} problems of the source; `centernet check` names them"))
    return [text for lost, text in sentences if lost]
