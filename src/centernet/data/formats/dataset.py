"""The contract of a data set, and the columnar storage that the file formats share.

A data set of one's own is a class with `__len__` and `annotation`; `centernet.testing.check_dataset` tells whether it
keeps the contract.
"""

from __future__ import annotations

import copy
import textwrap
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ... import boxes as box_ops
from ...images import ImageError, read_image
from ..sample import Annotation, DataError, DataWarning, Ints, Pixels, Problem, Sample
from .reading import Rows, check_class_names, describe_problems, with_nearest


class DetectionDataset(ABC):
    """Pictures with boxes, by index. Reading or transforming a sample never changes the data set's annotations.

    Attributes:
        class_names: what each label means.
        problems: every defect found so far, with what was done about it; reading pictures may add to it.
        category_ids: the format's own number of each class, for results in that format; None counts from 1.
        num_identities: identities (`Annotation.ids`) are below it; 0 where nothing has one. A data set with identities
            of its own sets this.
        amodal: boxes may reach over the edges of their pictures: they are those of whole objects.
        strict: a defect is an error, not a warning.
    """

    def __init__(self, class_names: Iterable[str], *, strict: bool = False) -> None:
        self.class_names = check_class_names(class_names)
        self.problems: list[Problem] = []
        self.category_ids: tuple[int, ...] | None = None
        self.num_identities = 0
        self.amodal = False
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

    def __getitem__(self, index: int) -> Sample:
        """Sample `index`: its picture, and copies of its boxes in the pixels of the picture.

        Where the picture isn't of the size that the annotation says, the boxes are clipped to the real one; that is a
        problem, noted once.

        Raises:
            ImageError: the picture cannot be read; noted as a problem.
            DataError: a problem, if `strict`.
        """
        annotation = self.annotation(index)
        try:
            image = self.read_image(index)
        except ImageError as error:
            path = str(annotation.path)
            self.remember(Problem(path, "unreadable-image", str(error).removeprefix(f"{path}: ")))
            raise
        if image.shape[:2] != (annotation.height, annotation.width):
            annotation = self._of_size(annotation, image.shape[0], image.shape[1])
        return Sample(
            image=image,
            boxes=annotation.boxes.copy(),
            labels=annotation.labels.copy(),
            ids=annotation.ids.copy(),
            ignore=annotation.ignore.copy(),
            annotation=annotation,
        )

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
        objects, ignored, samples = (np.zeros(len(self.class_names), dtype=np.int64) for _ in range(3))
        for index in range(len(self)):
            annotation = self.annotation(index)
            known = annotation.labels >= 0
            np.add.at(objects, annotation.labels[known & ~annotation.ignore], 1)
            np.add.at(ignored, annotation.labels[known & annotation.ignore], 1)
            samples[np.unique(annotation.labels[known])] += 1
        return objects, ignored, samples

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

    def label_arrays(self) -> tuple[Ints, Ints, Ints]:
        classes, known = len(self.class_names), self._labels >= 0
        pictures = np.repeat(np.arange(len(self)), np.diff(self._ends))
        pairs = np.unique(np.stack([pictures[known], self._labels[known]]), axis=1)
        return (
            np.bincount(self._labels[known & ~self._ignore], minlength=classes).astype(np.int64),
            np.bincount(self._labels[known & self._ignore], minlength=classes).astype(np.int64),
            np.bincount(pairs[1], minlength=classes).astype(np.int64),
        )

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

    def __init__(self, dataset: DetectionDataset, indices: Sequence[int]) -> None:
        super().__init__(dataset.class_names, strict=dataset.strict)
        wrong = [index for index in indices if not 0 <= index < len(dataset)]
        if wrong:
            raise IndexError(f"sample {wrong[0]} of {dataset!r}: expected 0 .. {len(dataset) - 1}")
        if len(indices) == 0:
            raise DataError(f"a subset of {dataset!r} without any sample; give at least one index")
        self.dataset = dataset
        self.indices = np.asarray(indices, dtype=np.int64)
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

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[self._in_dataset(index)]

    def remember(self, problem: Problem) -> bool:
        return self.dataset.remember(problem)

    def with_class_names(self, class_names: Sequence[str]) -> Subset:
        return Subset(self.dataset.with_class_names(class_names), self.indices.tolist())

    def __repr__(self) -> str:
        return f"{len(self)} samples of {self.dataset!r}"

    def _in_dataset(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {self!r}: expected 0 .. {len(self) - 1}")
        return int(self.indices[index])
