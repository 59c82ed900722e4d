"""The contract of a data set, and the columnar storage that the file formats share.

A data set of one's own is a class with `__len__` and `annotation`; `centernet.testing.check_dataset` tells whether it
keeps the contract.
"""

from __future__ import annotations

import copy
import textwrap
import warnings
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ... import boxes as box_ops
from ...images import ImageError, LazyImage, open_image, read_image
from ..sample import Annotation, DataError, DataWarning, Ints, Pixels, Problem, Sample, Shares, UnreadSample
from .label_table import LabelTable
from .reading import Rows, check_class_names, describe_problems, with_nearest

if TYPE_CHECKING:
    from .sequences import VideoSequence


class DetectionDataset(ABC):
    """Pictures with boxes, by index. Reading or transforming a sample never changes the data set's annotations.

    Attributes:
        class_names: what each label means.
        problems: every defect found so far, with what was done about it; reading pictures may add to it.
        category_ids: the format's own number of each class, for results in that format; None counts from 1.
        num_identities: identities (`Annotation.ids`) are below it; 0 where nothing has one. A data set with identities
            of its own sets this.
        amodal: boxes may reach over the edges of their pictures: they are those of whole objects, and augmentation
            leaves them so.
        sequences: the videos among its samples, for tracking; empty where there are none.
        strict: a defect is an error, not a warning.
    """

    def __init__(self, class_names: Iterable[str], *, strict: bool = False) -> None:
        self.class_names = check_class_names(class_names)
        self.problems: list[Problem] = []
        self.category_ids: tuple[int, ...] | None = None
        self.num_identities = 0
        self.amodal = False
        self.sequences: tuple[VideoSequence, ...] = ()
        self.strict = strict
        self._noted: set[Problem] = set()

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def annotation(self, index: int) -> Annotation:
        """The stored truth about sample `index`, without reading the picture.

        Raises:
            IndexError: `index` is not in 0 .. len - 1.
        """

    def path(self, index: int) -> Path:
        """The file of sample `index`."""
        return self.annotation(index).path

    def read_image(self, index: int) -> Pixels:
        """The picture of sample `index`: uint8 H×W×3, RGB, upright.

        Raises:
            ImageError: it cannot be read.
        """
        return read_image(self.path(index))

    def open_image(self, index: int) -> LazyImage:
        """The picture of sample `index`, to be decoded when its pixels are asked for.

        A data set with a `read_image` of its own need not have this too; its pictures are then read at once.

        Raises:
            ImageError: it cannot be read. That may show as late as when it is decoded.
        """
        if type(self).read_image is not DetectionDataset.read_image:
            return LazyImage.of(self.read_image(index))
        return open_image(self.path(index))

    def __getitem__(self, index: int) -> Sample:
        """Sample `index`: its picture, and copies of its boxes in the pixels of the picture.

        Where the picture isn't of the size that the annotation says, the boxes are clipped to the real one; that is a
        problem, noted once.

        Raises:
            ImageError: the picture cannot be read; noted as a problem.
            DataError: a problem, if `strict`.
        """
        sample = self._unread(index)
        _ = sample.image  # decoded here, so that an error comes now
        return sample

    def open(self, index: int) -> Sample:
        """Sample `index`, whose picture is decoded when its pixels are asked for: what training reads.

        Raises:
            ImageError: as for indexing; of damage behind the picture's header as late as when it is decoded.
            DataError: as for indexing.
        """
        if type(self).__getitem__ is not DetectionDataset.__getitem__:
            return self[index]  # a data set that makes its samples in a way of its own
        return self._unread(index)

    def note(self, problem: Problem) -> None:
        """Add a problem unless it is known.

        Raises:
            DataError: the data set is strict.
        """
        if self.remember(problem) and self.strict:
            raise DataError(f"{problem} (an error because of strict=True)")

    def with_class_names(self, class_names: Sequence[str]) -> DetectionDataset:
        """The same data with other labels: each box keeps the name of its class and gets that name's place in the list.

        Raises:
            DataError: a class of this data set isn't in `class_names`.
        """
        names = check_class_names(class_names)
        missing = [name for name in self.class_names if name not in names]
        if missing:
            raise DataError(
                f"{self!r} has classes that are not in the list of classes: {with_nearest(missing, names)}. "
                f"Its classes: {', '.join(self.class_names)}. The list: {', '.join(names) or 'empty'}. "
                "Where those boxes are to be left out, give the data set the list as its own class_names"
            )
        if names == self.class_names:
            return self
        other = copy.copy(self)
        other.class_names = names
        if self.category_ids is not None:
            # Classes that this data set does not have get numbers above its own.
            known = dict(zip(self.class_names, self.category_ids, strict=True))
            free = max(known.values(), default=0)
            other.category_ids = tuple(known.get(name, free + place) for place, name in enumerate(names, start=1))
        other._relabel(np.array([names.index(name) for name in self.class_names], dtype=np.int64))
        return other

    def _relabel(self, new_labels: Ints) -> None:
        """Make label i of this copy into ``new_labels[i]``."""
        raise DataError(
            f"{type(self).__name__} cannot change the order of its classes ({', '.join(self.class_names)}): "
            "give it the class names in the order that the model has"
        )

    def label_arrays(self) -> tuple[Ints, Ints, Ints]:
        """For each class: objects, ignored boxes, and samples with at least one of either. Three int64 arrays."""
        table, classes = self.label_table(), len(self.class_names)
        objects, ignored = (
            np.bincount(table.labels, counts, minlength=classes).astype(np.int64)
            for counts in (table.objects, table.ignored)
        )
        return objects, ignored, np.bincount(table.labels, minlength=classes).astype(np.int64)

    def label_table(self) -> LabelTable:
        """Which classes are in which samples; what sampling and subsets go by."""
        counts, labels, ignore = array("q"), array("q"), array("b")  # no object for each of perhaps a million pictures
        for index in range(len(self)):
            annotation = self.annotation(index)
            labels.frombytes(annotation.labels.tobytes())
            ignore.frombytes(annotation.ignore.tobytes())
            counts.append(len(annotation))
        samples = np.repeat(np.arange(len(self)), np.array(counts, dtype=np.int64))
        return LabelTable.of_boxes(samples, np.array(labels, dtype=np.int64), np.array(ignore, dtype=np.bool_))

    def sources(self) -> tuple[Ints, Shares] | None:
        """What the samples are mixed from; None where they are not, or in no shares of their own.

        Returns:
            int64 N, the source of each sample; float64 S, the share of each source in an epoch of training, of sum 1.
        """
        return None

    def summary(self, *, examples: int = 5) -> str:
        """Counts by class, and the first problems, as text of a few lines."""
        objects, ignored, samples = self.label_arrays()
        lines = [f"{self!r}: {len(self)} pictures, {objects.sum()} objects, {ignored.sum()} ignored boxes"]
        width = max([len(name) for name in self.class_names], default=0)
        if len(self.class_names) <= 25:
            for name, *counts in zip(self.class_names, samples, objects, ignored, strict=True):
                lines.append("  {:<{}}  {:>7} pictures {:>8} objects {:>7} ignored".format(name, width, *counts))
        else:
            text = ", ".join(f"{name} {count}" for name, count in zip(self.class_names, objects, strict=True))
            lines += textwrap.wrap(f"objects: {text}", 100, initial_indent="  ", subsequent_indent="  ")
        return "\n".join([*lines, *describe_problems(self.problems, examples)])

    def __repr__(self) -> str:
        return type(self).__name__

    def remember(self, problem: Problem) -> bool:
        """Add a problem unless it is known; whether it is new."""
        new = problem not in self._noted
        if new:
            self._noted.add(problem)
            self.problems.append(problem)
        return new

    def _unread(self, index: int) -> UnreadSample:
        annotation = self.annotation(index)
        with self._noting_unreadable(annotation.path):
            picture = self.open_image(index)
        height, width = picture.size_hw
        if (height, width) != (annotation.height, annotation.width):
            annotation = self._of_size(annotation, height, width)
        decode = partial(self._decode, picture, annotation.path)
        return UnreadSample(LazyImage(picture.size_hw, decode), annotation, amodal=self.amodal)

    def _decode(self, picture: LazyImage, path: Path, scale: float) -> tuple[Pixels, tuple[float, float]]:
        with self._noting_unreadable(path):
            return picture.read(scale)

    @contextmanager
    def _noting_unreadable(self, path: Path) -> Iterator[None]:
        try:
            yield
        except ImageError as error:
            self.remember(Problem(str(path), "unreadable-image", str(error).removeprefix(f"{path}: ")))
            raise

    def _of_size(self, annotation: Annotation, height: int, width: int) -> Annotation:
        """The annotation for a picture that turned out to have another size."""
        stated, found = f"{annotation.height}×{annotation.width}", f"{height}×{width}"
        clipped = box_ops.clip(annotation.boxes, (height, width))
        keep = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
        lost = f", {np.count_nonzero(~keep)} of {len(keep)} boxes left out" if not keep.all() else ""
        done = "boxes kept whole" if self.amodal else "boxes clipped to the picture"
        text = f"the annotation says {stated} pixels (height×width), the upright picture has {found}; {done}{lost}"
        self.note(Problem(str(annotation.path), "size", text))
        return replace(
            annotation,
            height=height,
            width=width,
            boxes=annotation.boxes[keep] if self.amodal else clipped[keep],
            **{name: getattr(annotation, name)[keep] for name in ("labels", "ids", "ignore", "areas")},
        )


class StoredDataset(DetectionDataset):
    """A data set whose annotations were read once and lie in a few big arrays (no Python object for each picture).

    Args:
        root: the folder that the names of the pictures are relative to.
        rows: everything that was read; emptied of its names.
        class_names: what each label means.
        problems: what was found on the way; already an error where `strict`.
        source: where the list of samples came from, for messages.
        strict: see DetectionDataset.

    Raises:
        DataError: no sample.
    """

    def __init__(
        self,
        root: Path,
        rows: Rows,
        class_names: Iterable[str],
        *,
        problems: Sequence[Problem] = (),
        source: str | Path,
        strict: bool = False,
    ) -> None:
        super().__init__(class_names, strict=strict)
        self.root = root
        self.source = str(source)
        self.clipped = rows.clipped
        self.amodal = rows.amodal
        self._names = b"".join(rows.names)
        self._name_ends = np.cumsum([0, *map(len, rows.names)], dtype=np.int64)
        self._image_ids = np.array(rows.image_ids, dtype=np.int64)
        self._sizes = np.array(rows.sizes, dtype=np.int32).reshape(-1, 2)
        self._ends = np.concatenate([[0], np.array(rows.ends, dtype=np.int64)])
        self._boxes = np.array(rows.boxes, dtype=np.float32).reshape(-1, 4)
        self._labels = np.array(rows.labels, dtype=np.int64)
        self._ids = np.array(rows.ids, dtype=np.int64)
        self._ignore = np.array(rows.ignore, dtype=np.bool_)
        self._areas = np.array(rows.areas, dtype=np.float32)
        self.num_identities = int(self._ids.max(initial=-1)) + 1
        for problem in problems:
            self.remember(problem)
        if len(self) == 0:
            reasons = "\n".join(describe_problems(self.problems, 5)) or "nothing is listed there"
            raise DataError(
                f"{source}: no usable picture. {reasons}\n"
                "Check the path and the split, or put right what is named above"
            )
        if self.problems:
            text = "\n".join([f"{self!r}: {len(self)} pictures are used", *describe_problems(self.problems, 5)])
            warnings.warn(text, DataWarning, stacklevel=3)

    def __len__(self) -> int:
        return len(self._image_ids)

    def annotation(self, index: int) -> Annotation:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {self!r}: expected 0 .. {len(self) - 1}")
        rows = slice(self._ends[index], self._ends[index + 1])
        return Annotation(
            path=self.path(index),
            image_id=int(self._image_ids[index]),
            height=int(self._sizes[index, 0]),
            width=int(self._sizes[index, 1]),
            boxes=self._boxes[rows],
            labels=self._labels[rows],
            ids=self._ids[rows],
            ignore=self._ignore[rows],
            areas=self._areas[rows],
        )

    def path(self, index: int) -> Path:
        name = self._names[self._name_ends[index] : self._name_ends[index + 1]]
        return self.root / name.decode("utf-8", "surrogateescape")

    def label_table(self) -> LabelTable:
        samples = np.repeat(np.arange(len(self)), np.diff(self._ends))
        return LabelTable.of_boxes(samples, self._labels, self._ignore)

    def _relabel(self, new_labels: Ints) -> None:
        known = self._labels >= 0
        labels = self._labels.copy()  # other copies of this data set keep theirs
        labels[known] = new_labels[labels[known]]
        self._labels = labels

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source})"


class Subset(DetectionDataset):
    """Some samples of another data set, in any order.

    Args:
        dataset: where from.
        indices: of the samples.

    Raises:
        DataError: no index.
        IndexError: an index that the data set doesn't have.
    """

    def __init__(self, dataset: DetectionDataset, indices: Sequence[int] | Ints) -> None:
        super().__init__(dataset.class_names, strict=dataset.strict)
        self.indices = np.asarray(indices, dtype=np.int64)
        wrong = self.indices[(self.indices < 0) | (self.indices >= len(dataset))]
        if len(wrong):
            raise IndexError(f"sample {wrong[0]} of {dataset!r}: expected 0 .. {len(dataset) - 1}")
        if len(indices) == 0:
            raise DataError(f"a subset of {dataset!r} without any sample; give at least one index")
        self.dataset = dataset
        self.problems = dataset.problems
        self.category_ids = dataset.category_ids
        self.num_identities = dataset.num_identities
        self.amodal = dataset.amodal

    def __len__(self) -> int:
        return len(self.indices)

    def annotation(self, index: int) -> Annotation:
        return self.dataset.annotation(self._in_dataset(index))

    def path(self, index: int) -> Path:
        return self.dataset.path(self._in_dataset(index))

    def read_image(self, index: int) -> Pixels:
        return self.dataset.read_image(self._in_dataset(index))

    def open_image(self, index: int) -> LazyImage:
        return self.dataset.open_image(self._in_dataset(index))

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[self._in_dataset(index)]

    def open(self, index: int) -> Sample:
        return self.dataset.open(self._in_dataset(index))

    def remember(self, problem: Problem) -> bool:
        return self.dataset.remember(problem)

    def label_table(self) -> LabelTable:
        return self.dataset.label_table().select(self.indices)

    def sources(self) -> tuple[Ints, Shares] | None:
        sources = self.dataset.sources()
        return None if sources is None else (sources[0][self.indices], sources[1])

    def with_class_names(self, class_names: Sequence[str]) -> Subset:
        return Subset(self.dataset.with_class_names(class_names), self.indices)

    def __repr__(self) -> str:
        return f"{len(self)} samples of {self.dataset!r}"

    def _in_dataset(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {self!r}: expected 0 .. {len(self) - 1}")
        return int(self.indices[index])
