"""Data sets made of others: several in one, boxes of still pictures as identities, classes under other names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from .formats.dataset import DetectionDataset
from .formats.reading import with_nearest
from .sample import Annotation, DataError, Ints, Pixels, Problem


class _Wrapper(DetectionDataset):
    """Another data set with changed annotations: same samples, same problems."""

    def __init__(self, dataset: DetectionDataset, class_names: Sequence[str]) -> None:
        super().__init__(class_names, strict=dataset.strict)
        self.dataset = dataset
        self.problems = dataset.problems
        self.amodal = dataset.amodal

    def __len__(self) -> int:
        return len(self.dataset)

    def path(self, index: int) -> Path:
        return self.dataset.path(index)

    def read_image(self, index: int) -> Pixels:
        return self.dataset.read_image(index)

    def remember(self, problem: Problem) -> bool:
        return self.dataset.remember(problem)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dataset!r})"


class DetectionForTracking(_Wrapper):
    """A data set for training a tracker where nobody followed anything: each box is an identity of its own.

    So FairMOT (Zhang et al., 2021, arXiv:2004.01888) learns identities from still pictures: augmented views of the same
    object are to be alike, those of others different. Identities that the data set had are not kept. Boxes to ignore
    have none.

    Args:
        dataset: of any format.
    """

    def __init__(self, dataset: DetectionDataset) -> None:
        super().__init__(dataset, dataset.class_names)
        self.category_ids = dataset.category_ids
        counts = [int((~dataset.annotation(index).ignore).sum()) for index in range(len(dataset))]
        self._starts = np.cumsum([0, *counts], dtype=np.int64)
        self.num_identities = int(self._starts[-1])

    def annotation(self, index: int) -> Annotation:
        annotation = self.dataset.annotation(index)
        ids = np.full(len(annotation), -1, dtype=np.int64)
        ids[~annotation.ignore] = np.arange(self._starts[index], self._starts[index + 1])
        return replace(annotation, ids=ids)

    def label_arrays(self) -> tuple[Ints, Ints, Ints]:
        return self.dataset.label_arrays()

    def with_class_names(self, class_names: Sequence[str]) -> DetectionForTracking:
        return DetectionForTracking(self.dataset.with_class_names(class_names))


class MapClasses(_Wrapper):
    """A data set's boxes of some classes, under other names where wanted; those of all other classes are left out.

    So sets that call the same thing differently (``person``, ``pedestrian``) are brought together. Several classes may
    become one. Regions to ignore for any class stay.

    Args:
        dataset: of any format.
        classes: new names by old ones; the labels are in the order in which the new names come first.

    Raises:
        DataError: a class that the data set doesn't have.
    """

    def __init__(self, dataset: DetectionDataset, classes: Mapping[str, str]) -> None:
        unknown = [name for name in classes if name not in dataset.class_names]
        if unknown or not classes:
            raise DataError(
                f"classes: {with_nearest(unknown, dataset.class_names) or 'nothing'} is not in {dataset!r}, "
                f"whose classes are {', '.join(dataset.class_names)}"
            )
        super().__init__(dataset, tuple(dict.fromkeys(classes.values())))
        label_of = {name: label for label, name in enumerate(self.class_names)}
        new = [label_of.get(classes.get(name, ""), -1) for name in dataset.class_names]
        self._new_labels = np.array([*new, -1], dtype=np.int64)  # its last place is that of -1, any class
        self._identities = np.arange(dataset.num_identities, dtype=np.int64)
        if dataset.num_identities:
            self._number_identities()

    def annotation(self, index: int) -> Annotation:
        annotation = self.dataset.annotation(index)
        labels = self._new_labels[annotation.labels]
        rows = (labels >= 0) | (annotation.labels == -1)
        ids = annotation.ids[rows]
        ids[ids >= 0] = self._identities[ids[ids >= 0]]
        arrays = {name: getattr(annotation, name)[rows] for name in ("boxes", "ignore", "areas")}
        return replace(annotation, labels=labels[rows], ids=ids, **arrays)

    def _relabel(self, new_labels: Ints) -> None:
        labels = self._new_labels.copy()
        labels[labels >= 0] = new_labels[labels[labels >= 0]]
        self._new_labels = labels

    def _number_identities(self) -> None:
        """Identities of the classes that are left, without gaps."""
        kept = np.zeros(self.dataset.num_identities, dtype=np.bool_)
        for index in range(len(self)):
            annotation = self.annotation(index)
            kept[annotation.ids[(annotation.ids >= 0) & ~annotation.ignore]] = True
        self._identities = np.where(kept, np.cumsum(kept) - 1, -1)
        self.num_identities = int(kept.sum())


class Concatenated(DetectionDataset):
    """Several data sets, one after the other, as one.

    Classes are matched by name. Identities of one data set are told apart from those of all others, so that tracking
    data and detection data (as `DetectionForTracking`) train together. Image ids are the indices.

    An object of a class that one of the data sets has and another doesn't annotate is background in the latter.

    Args:
        datasets: at least one.
        class_names: the classes in the order of their labels; None takes those of all data sets, in the order in which
            they come first.

    Raises:
        DataError: no data set, or a class of one of them that isn't in `class_names`.
    """

    def __init__(self, datasets: Sequence[DetectionDataset], *, class_names: Sequence[str] | None = None) -> None:
        if not datasets:
            raise DataError("datasets: expected at least one")
        names = class_names
        if names is None:
            names = tuple(dict.fromkeys(name for dataset in datasets for name in dataset.class_names))
        super().__init__(names, strict=any(dataset.strict for dataset in datasets))
        self.datasets = tuple(dataset.with_class_names(self.class_names) for dataset in datasets)
        self.amodal = any(dataset.amodal for dataset in datasets)
        self.num_identities = sum(dataset.num_identities for dataset in datasets)
        self._starts = np.cumsum([0, *map(len, datasets)])
        self._identities = np.cumsum([0, *(dataset.num_identities for dataset in datasets)])
        for dataset in datasets:
            for problem in dataset.problems:
                self.remember(problem)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def locate(self, index: int) -> tuple[int, int]:
        """Which data set sample `index` is from, and its index there.

        Raises:
            IndexError: `index` is not in 0 .. len - 1.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {self!r}: expected 0 .. {len(self) - 1}")
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        return part, index - int(self._starts[part])

    def annotation(self, index: int) -> Annotation:
        part, place = self.locate(index)
        annotation = self.datasets[part].annotation(place)
        ids = np.where(annotation.ids >= 0, annotation.ids + self._identities[part], -1)
        return replace(annotation, image_id=index, ids=ids)

    def path(self, index: int) -> Path:
        part, place = self.locate(index)
        return self.datasets[part].path(place)

    def read_image(self, index: int) -> Pixels:
        part, place = self.locate(index)
        return self.datasets[part].read_image(place)

    def label_arrays(self) -> tuple[Ints, Ints, Ints]:
        counts = np.array([dataset.label_arrays() for dataset in self.datasets]).sum(axis=0)
        return counts[0], counts[1], counts[2]

    def with_class_names(self, class_names: Sequence[str]) -> Concatenated:
        return Concatenated(self.datasets, class_names=class_names)

    def part_indices(self) -> list[range]:
        """The indices of each data set's samples, for a sampler that draws from them in other shares."""
        return [range(start, stop) for start, stop in pairwise(self._starts.tolist())]

    def __repr__(self) -> str:
        return f"Concatenated({', '.join(map(repr, self.datasets))})"
