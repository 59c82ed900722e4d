"""The one class of data sets: columns, what they mean, and a way to the images.

A data set of one's own hands over columns, or defines `__len__` and `annotation`; `centernet.testing.check_dataset`
tells whether it keeps the contract.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from .. import boxes as box_ops
from ..annotations.problems import (
    DataError,
    DataWarning,
    Problem,
    Problems,
    check_class_names,
    describe_problems,
    with_nearest,
)
from ..column import Column
from ..images import ImageError, LazyImage, open_image
from .columns import Columns
from .fields import check_data, clipped_points
from .sample import Annotation, Ints, Pixels, Sample, Shares

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class VideoSequence:
    """A video within a data set: samples ``start`` to ``stop - 1``, in the order of time, at frames per second."""

    name: str
    start: int
    stop: int
    frame_rate: float

    def __len__(self) -> int:
        return self.stop - self.start


class Sources(NamedTuple):
    """The source of each sample (int64 N), and the share of each source in an epoch of training (float64 S, sum 1)."""

    numbers: Ints
    shares: Shares


class DetectionDataset:
    """Images with boxes, by index. Reading or transforming a sample never changes the data set's annotations.

    Args:
        class_names: what each label means.
        columns: all images and boxes; None where a child defines `__len__` and `annotation`, of which they are then
            made when they are needed.
        source: where the columns were read from. Having no image is an error then, and problems are a warning.
        problems: what was found on the way. A `Problems` is shared: what is found later is added to it.
        strict: a defect is an error, not a warning.
        category_ids: the format's own number of each class, for results in that format; None counts from 1.
        num_identities: identities (`Annotation.ids`) are below it; 0 where nothing has one. None counts them.
        amodal: boxes may reach over the edges of their images: they are those of whole objects, and augmentation
            leaves them so.
        sequences: the videos among the samples, for tracking; empty where there are none.
        sources: what the samples are mixed from, if in shares of their own.
        reader: gives the image of a sample by its index; None opens the files.
        clipped: how many boxes reached over the edges of their images and were cut there.
        benchmark: whose figures validation gives too, a key of `centernet.evaluation.EVALUATORS`.
        fields: what is known of each box beside label and identity, such as its keypoints: what the arrays of
            `Annotation.data` are. Those of the kinds ``points`` and ``boxes`` move with the image; points of the shape
            (K, 3) are x, y, visibility (0 not labelled, 1 hidden, 2 visible).

    Attributes:
        problems: every defect found so far, with what was done about it; reading images may add to it.
        not_read: what a format says beside boxes and classes that its reader leaves behind, for messages.
    """

    not_read: ClassVar[str] = ""

    def __init__(
        self,
        class_names: Iterable[str],
        columns: Columns | None = None,
        *,
        source: str | Path | None = None,
        problems: Iterable[Problem] = (),
        strict: bool = False,
        category_ids: Sequence[int] | None = None,
        num_identities: int | None = None,
        amodal: bool = False,
        sequences: Iterable[VideoSequence] = (),
        sources: Sources | None = None,
        reader: Callable[[int], LazyImage] | None = None,
        clipped: int = 0,
        benchmark: str | None = None,
        fields: Sequence[Column] = (),
    ) -> None:
        self.class_names = check_class_names(class_names)
        self.problems = problems if isinstance(problems, Problems) else Problems(problems)
        self.category_ids = None if category_ids is None else tuple(category_ids)
        if num_identities is None:
            num_identities = 0 if columns is None else int(columns.ids.max(initial=-1)) + 1
        self.num_identities, self.sequences, self.sources = num_identities, tuple(sequences), sources
        self.strict, self.amodal, self.clipped, self.benchmark = strict, amodal, clipped, benchmark
        self._reader, self._columns, self.fields = reader, columns, tuple(fields)
        self._text = type(self).__name__ if source is None else f"{type(self).__name__}({source})"
        if columns is not None:
            check_data(columns.data, self.fields, len(columns.labels), self._text)
        if source is not None and len(self) == 0:
            reasons = "\n".join(describe_problems(self.problems, 5)) or "nothing is listed there"
            hint = "Check the path and the split, or put right what is named above"
            raise DataError(f"{source}: no usable image. {reasons}\n{hint}")
        if source is not None and self.problems:
            text = "\n".join([f"{self!r}: {len(self)} images are used", *describe_problems(self.problems, 5)])
            warnings.warn(text, DataWarning, stacklevel=3)

    @property
    def columns(self) -> Columns:
        """All annotations as arrays; not to be written to."""
        if self._columns is None:
            if type(self).__len__ is DetectionDataset.__len__ or type(self).annotation is DetectionDataset.annotation:
                raise TypeError(f"{type(self).__name__}: give it columns, or define both __len__ and annotation")
            self._columns = Columns.of((self.annotation(index) for index in range(len(self))), self.fields)
            check_data(self._columns.data, self.fields, len(self._columns.labels), self._text)
        return self._columns

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.columns)

    def annotation(self, index: int) -> Annotation:
        """Return the stored truth about sample `index`, without reading the image; an IndexError if there is none."""
        self._check(index)
        return self.columns.annotation(index)

    def path(self, index: int) -> Path:
        """Return the file of sample `index`."""
        self._check(index)
        return self.columns.paths[index] if self._columns is not None else self.annotation(index).path

    def image(self, index: int) -> LazyImage:
        """Return the image of sample `index`, decoded when its pixels are asked for (``image(i).read()[0]``).

        A child whose images are no files of their own defines this one: ``return LazyImage.of(pixels)``. Here or when
        it is decoded an ImageError is raised for one that cannot be read.
        """
        return open_image(self.path(index)) if self._reader is None else self._reader(index)

    def __getitem__(self, index: int) -> Sample:
        """Return sample `index`: its image, decoded when asked for, and copies of its boxes in pixels of the image.

        Where the image isn't of the size that the annotation says, the boxes are clipped to the real one; that is a
        problem, noted once, or a DataError if `strict`. An image that cannot be read is noted and an ImageError, of
        damage behind its header when it is decoded.
        """
        return self._with_image(self.annotation(index), partial(self.image, index))

    def _with_image(self, annotation: Annotation, opened: Callable[[], LazyImage]) -> Sample:
        """Return the sample of an annotation and its image, which is opened now; see `__getitem__`."""
        with self._noting_unreadable(annotation.path):
            image = opened()
        if image.size_hw != (annotation.height, annotation.width):
            annotation = self._of_size(annotation, *image.size_hw)

        def decode(scale: float) -> tuple[Pixels, tuple[float, float]]:
            with self._noting_unreadable(annotation.path):
                return image.read(scale)

        return self._sample(LazyImage(image.size_hw, decode), annotation)

    def _sample(self, image: LazyImage | Pixels, annotation: Annotation) -> Sample:
        """Return a sample with copies of the annotation's arrays."""
        arrays = {name: getattr(annotation, name).copy() for name in ("boxes", "labels", "ids", "ignore")}
        data = {name: array.copy() for name, array in annotation.data.items()}
        return Sample(image, **arrays, annotation=annotation, amodal=self.amodal, data=data, fields=self.fields)

    def note(self, problem: Problem) -> None:
        """Add a problem unless it is known; where the data set is strict, a new one is a DataError."""
        if self.problems.add(problem) and self.strict:
            raise DataError(f"{problem} (an error because of strict=True)")

    def with_class_names(self, class_names: Sequence[str]) -> DetectionDataset:
        """Return the same data with other labels: each box keeps the name of its class and gets that name's place.

        A class of this data set that isn't in `class_names` is a DataError.
        """
        names = check_class_names(class_names)
        label_of = {name: label for label, name in enumerate(names)}
        missing = [name for name in self.class_names if name not in label_of]
        if missing:
            text = f"{self!r} has classes that are not in the list of classes: {with_nearest(missing, names)}"
            lists = f"Its classes: {', '.join(self.class_names)}. The list: {', '.join(names) or 'empty'}"
            hint = "Where those boxes are to be left out, give the data set the list as its own class_names"
            raise DataError(f"{text}. {lists}. {hint}")
        if names == self.class_names:
            return self
        if type(self).annotation is DetectionDataset.annotation:
            other = self._copy()
        else:  # annotations made by a child's own rules have the old labels
            other = DetectionDataset(self.class_names, self.columns, **self.settings(), reader=self.reader)
            other._text = repr(self)
        other.class_names = names
        other._columns = self._relabelled(np.array([label_of[n] for n in self.class_names], dtype=np.int64))
        if self.category_ids is not None:  # classes that this data set does not have get numbers above its own
            known = dict(zip(self.class_names, self.category_ids, strict=True))
            free = max(known.values(), default=0)
            other.category_ids = tuple(known.get(name, free + place) for place, name in enumerate(names, start=1))
        return other

    def _copy(self) -> Self:
        other = type(self).__new__(type(self))  # not by pickling, which may begin anew
        other.__dict__.update(self.__dict__)
        return other

    def _relabelled(self, new_labels: Ints) -> Columns | None:
        """Return the columns with ``new_labels[i]`` for label i."""
        return self.columns.relabelled(new_labels)

    def settings(self) -> dict[str, Any]:
        """Return what a data set of the same samples takes over: arguments of the constructor."""
        shared = "problems", "strict", "category_ids", "num_identities", "amodal"
        names = (*shared, "sequences", "sources", "benchmark", "fields")
        return {name: getattr(self, name) for name in names}

    @property
    def reader(self) -> Callable[[int], LazyImage] | None:
        """Reader of the images of a data set made of this one; None: their files."""
        return self._reader if type(self).image is DetectionDataset.image else self.image

    def label_arrays(self) -> tuple[Ints, Ints, Ints]:
        """For each class: objects, ignored boxes, and samples with at least one of either. Three int64 arrays."""
        table, classes = self.columns.label_table(), len(self.class_names)
        weights = (table.objects, table.ignored, np.ones(len(table.labels)))
        objects, ignored, samples = (np.bincount(table.labels, n, minlength=classes).astype(np.int64) for n in weights)
        return objects, ignored, samples

    def most_objects(self) -> int:
        """Return the number of objects of the densest image, those to ignore left out."""
        return int(self.columns.objects().max(initial=0))

    def summary(self) -> str:
        """Return counts by class, and the first problems, as text of a few lines."""
        objects, ignored, samples = self.label_arrays()
        lines = [f"{self!r}: {len(self)} images, {objects.sum()} objects, {ignored.sum()} ignored boxes"]
        width = max(map(len, self.class_names), default=0)
        if len(self.class_names) <= 25:
            for name, *counts in zip(self.class_names, samples, objects, ignored, strict=True):
                lines.append("  {:<{}}  {:>7} images {:>8} objects {:>7} ignored".format(name, width, *counts))
        else:
            text = ", ".join(f"{name} {count}" for name, count in zip(self.class_names, objects, strict=True))
            lines += textwrap.wrap(f"objects: {text}", 100, initial_indent="  ", subsequent_indent="  ")
        return "\n".join([*lines, *describe_problems(self.problems, 5)])

    def __repr__(self) -> str:
        return self._text

    def _check(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {self!r}: expected 0 .. {len(self) - 1}")

    @contextmanager
    def _noting_unreadable(self, path: Path) -> Iterator[None]:
        try:
            yield
        except ImageError as error:
            self.problems.add(Problem(str(path), "unreadable-image", str(error).removeprefix(f"{path}: ")))
            raise

    def _of_size(self, annotation: Annotation, height: int, width: int) -> Annotation:
        """Return the annotation for an image that turned out to have another size."""
        clipped = box_ops.clip(annotation.boxes, (height, width))
        keep = np.all(clipped[:, 2:] > clipped[:, :2], axis=1)
        text = f"the annotation says {annotation.height}×{annotation.width} pixels (height×width), the upright image "
        text += f"has {height}×{width}; boxes {'kept whole' if self.amodal else 'clipped to the image'}"
        text += "" if keep.all() else f", {np.count_nonzero(~keep)} of {len(keep)} boxes left out"
        self.note(Problem(str(annotation.path), "size", text))
        boxes = annotation.boxes if self.amodal else clipped
        selected = annotation.select(keep, height=height, width=width, boxes=boxes[keep])
        return replace(selected, data=clipped_points(selected.data, self.fields, (height, width)))
