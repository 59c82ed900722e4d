"""Data sets made of others: several in one, boxes of still pictures as identities, classes under other names."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..images import LazyImage
from .formats.dataset import DetectionDataset, Subset
from .formats.label_table import LabelTable
from .formats.reading import with_nearest
from .formats.sequences import VideoSequence
from .sample import Annotation, DataError, Ints, Pixels, Problem, Shares


class _Wrapper(DetectionDataset):
    """Another data set with changed annotations: same samples, same problems."""

    def __init__(self, dataset: DetectionDataset, class_names: Sequence[str]) -> None:
        super().__init__(class_names, strict=dataset.strict)
        self.dataset = dataset
        self.problems = dataset.problems
        self.amodal = dataset.amodal
        self.sequences = dataset.sequences

    def __len__(self) -> int:
        return len(self.dataset)

    def path(self, index: int) -> Path:
        return self.dataset.path(index)

    def read_image(self, index: int) -> Pixels:
        return self.dataset.read_image(index)

    def open_image(self, index: int) -> LazyImage:
        return self.dataset.open_image(index)

    def remember(self, problem: Problem) -> bool:
        return self.dataset.remember(problem)

    def label_table(self) -> LabelTable:
        return self.dataset.label_table()

    def sources(self) -> tuple[Ints, Shares] | None:
        return self.dataset.sources()

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
        self.sequences = ()  # nobody was followed through them
        self.category_ids = dataset.category_ids
        table = dataset.label_table()
        self._starts = np.zeros(len(dataset) + 1, dtype=np.int64)
        self._starts[1:] = np.bincount(table.samples, table.objects, minlength=len(dataset)).cumsum()
        self.num_identities = int(self._starts[-1])

    def annotation(self, index: int) -> Annotation:
        annotation = self.dataset.annotation(index)
        ids = np.full(len(annotation), -1, dtype=np.int64)
        ids[~annotation.ignore] = np.arange(self._starts[index], self._starts[index + 1])
        return replace(annotation, ids=ids)

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

    def label_table(self) -> LabelTable:
        return self.dataset.label_table().relabelled(self._new_labels)

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
        weights: how much of an epoch of training each data set is to have, one number each in any unit (``[3, 1]``
            shows the first three times as often as the second, however many pictures they have; 0 leaves it out of
            training); None takes every picture once. `sources` passes them on to the sampler.

    Raises:
        DataError: no data set, a class of one of them that isn't in `class_names`, or `weights` that don't fit.
    """

    def __init__(
        self,
        datasets: Sequence[DetectionDataset],
        *,
        class_names: Sequence[str] | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        if not datasets:
            raise DataError("datasets: expected at least one")
        if weights is not None:
            _check_weights(weights, len(datasets))
        names = class_names
        if names is None:
            names = tuple(dict.fromkeys(name for dataset in datasets for name in dataset.class_names))
        super().__init__(names, strict=any(dataset.strict for dataset in datasets))
        self.datasets = tuple(dataset.with_class_names(self.class_names) for dataset in datasets)
        self.amodal = any(dataset.amodal for dataset in datasets)
        self.num_identities = sum(dataset.num_identities for dataset in datasets)
        self.weights = None if weights is None else tuple(map(float, weights))
        self._starts = np.cumsum([0, *map(len, datasets)])
        self._identities = np.cumsum([0, *(dataset.num_identities for dataset in datasets)])
        self.sequences = _joined([dataset.sequences for dataset in self.datasets], self._starts[:-1].tolist())
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

    def open_image(self, index: int) -> LazyImage:
        part, place = self.locate(index)
        return self.datasets[part].open_image(place)

    def label_table(self) -> LabelTable:
        return LabelTable.joined([dataset.label_table() for dataset in self.datasets], self._starts[:-1].tolist())

    def sources(self) -> tuple[Ints, Shares] | None:
        of_parts = [dataset.sources() for dataset in self.datasets]
        if self.weights is None and all(sources is None for sources in of_parts):
            return None
        weights = np.array([len(d) for d in self.datasets] if self.weights is None else self.weights, dtype=np.float64)
        numbers, shares = [], []
        count = 0
        for dataset, sources, weight in zip(self.datasets, of_parts, weights / weights.sum(), strict=True):
            number, share = sources or (np.zeros(len(dataset), dtype=np.int64), np.ones(1))
            numbers.append(number + count)
            shares.append(share * weight)
            count += len(share)
        return np.concatenate(numbers), np.concatenate(shares)

    def with_class_names(self, class_names: Sequence[str]) -> Concatenated:
        return Concatenated(self.datasets, class_names=class_names, weights=self.weights)

    def part_indices(self) -> list[range]:
        """The indices of each data set's samples."""
        return [range(start, stop) for start, stop in pairwise(self._starts.tolist())]

    def __repr__(self) -> str:
        return f"Concatenated({', '.join(map(repr, self.datasets))})"


class RandomSubset(Subset):
    """A random part of a data set, with each class in about the share that it has in the whole.

    A function of the data set and the seed alone. Smaller parts are within larger ones of the same seed. Every picture
    belongs to one group, that of the rarest class of its objects or that without objects, and each group gives
    its share (of the smallest groups by chance one picture more or less).

    Args:
        dataset: of any format.
        fraction: of its pictures, above 0 and up to 1; give this or `count`.
        count: of pictures, from 1 to all.
        seed: another seed gives another part.
        rest: the pictures that the subset with these settings leaves out, as for validation where a data set has no
            split of its own.

    Raises:
        DataError: not one of `fraction` and `count`, one out of range, or a `rest` without a picture.
    """

    def __init__(
        self,
        dataset: DetectionDataset,
        *,
        fraction: float | None = None,
        count: int | None = None,
        seed: int = 0,
        rest: bool = False,
    ) -> None:
        total = len(dataset)
        if (fraction is None) == (count is None):
            raise DataError(f"RandomSubset: give either fraction or count, got {fraction} and {count}")
        if fraction is not None and not 0 < fraction <= 1:
            raise DataError(f"RandomSubset.fraction: expected a number above 0 and up to 1, got {fraction}")
        if count is not None and not 1 <= count <= total:
            raise DataError(f"RandomSubset.count: expected 1 .. {total}, the pictures of {dataset!r}, got {count}")
        if seed < 0:
            raise DataError(f"RandomSubset.seed: expected at least 0, got {seed}")
        number = count if count is not None else max(1, round(total * (fraction or 0)))
        if rest and number == total:
            raise DataError(f"RandomSubset.rest: the {number} pictures are all of {dataset!r}, nothing is left")
        order = _stratified_order(dataset, np.random.default_rng([seed, total]))
        super().__init__(dataset, np.sort(order[number:] if rest else order[:number]))


def _stratified_order(dataset: DetectionDataset, rng: np.random.Generator) -> Ints:
    """The indices in an order whose every beginning has about the same share of each group of pictures."""
    table = dataset.label_table().with_objects()
    classes = len(dataset.class_names)
    by_frequency = np.argsort(np.argsort(np.bincount(table.labels, minlength=classes), kind="stable"), kind="stable")
    groups = np.full(len(dataset), classes, dtype=np.int64)  # without objects
    np.minimum.at(groups, table.samples, by_frequency[table.labels])
    order = rng.permutation(len(dataset))
    order = order[np.argsort(groups[order], kind="stable")]  # group after group, each in random order
    sizes = np.bincount(groups, minlength=classes + 1)
    within = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    place = (within + np.repeat(rng.random(classes + 1), sizes)) / np.repeat(sizes, sizes)
    return order[np.argsort(place, kind="stable")]


def _joined(parts: Sequence[tuple[VideoSequence, ...]], starts: Sequence[int]) -> tuple[VideoSequence, ...]:
    """The videos of all data sets, moved to their places; a name that was there before gets a number."""
    joined: list[VideoSequence] = []
    counts: Counter[str] = Counter()
    for sequences, start in zip(parts, starts, strict=True):
        for video in sequences:
            counts[video.name] += 1
            name = video.name if counts[video.name] == 1 else f"{video.name} ({counts[video.name]})"
            joined.append(replace(video, name=name, start=video.start + start, stop=video.stop + start))
    return tuple(joined)


def _check_weights(weights: Sequence[float], count: int) -> None:
    right = len(weights) == count and all(math.isfinite(weight) and weight >= 0 for weight in weights)
    if not (right and any(weights)):
        raise DataError(
            f"weights: expected one number of at least 0 for each of the {count} data sets, not all of them 0, "
            f"got {list(weights)}"
        )
