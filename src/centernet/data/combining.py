"""Data sets made of others: parts, several in one, boxes of still images as identities, classes under other names.

Arguments that don't fit the data set are a DataError.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ..annotations.image_names import Endings
from ..annotations.problems import DataError, Problems, opening, with_nearest
from ..annotations.text import text_lines
from ..images import LazyImage
from .columns import Columns
from .dataset import DetectionDataset, Sources, VideoSequence
from .fields import agreed, filled
from .sample import Ints


class Subset(DetectionDataset):
    """Some samples of another data set, in any order.

    Args:
        dataset: where from.
        indices: of the samples, at least one. One that the data set doesn't have is an IndexError.
    """

    def __init__(self, dataset: DetectionDataset, indices: Sequence[int] | Ints) -> None:
        self.indices = np.asarray(indices, dtype=np.int64)
        wrong = self.indices[(self.indices < 0) | (self.indices >= len(dataset))]
        if len(wrong):
            raise IndexError(f"sample {wrong[0]} of {dataset!r}: expected 0 .. {len(dataset) - 1}")
        if len(indices) == 0:
            raise DataError(f"a subset of {dataset!r} without any sample; give at least one index")
        settings = dataset.settings() | {"sequences": ()}
        if dataset.sources is not None:
            settings["sources"] = dataset.sources._replace(numbers=dataset.sources.numbers[self.indices])
        reader = None if dataset.reader is None else partial(_read_chosen, dataset.reader, self.indices)
        super().__init__(dataset.class_names, dataset.columns.select(self.indices), reader=reader, **settings)
        self._text = f"{len(self)} samples of {dataset!r}"


class RandomSubset(Subset):
    """A random part of a data set, with each class in about the share that it has in the whole.

    A function of the data set and the seed alone. Smaller parts are within larger ones of the same seed. Every image
    belongs to one group, that of the rarest class of its objects or that without objects, and each group gives
    its share (of the smallest groups by chance one image more or less).

    Args:
        dataset: of any format.
        fraction: of its images, above 0 and up to 1; give this or `count`.
        count: of images, from 1 to all.
        seed: another seed gives another part.
        rest: the images that the subset with these settings leaves out, as for validation where a data set has no
            split of its own.
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
        number = count if count is not None else max(1, round(total * (fraction or 0)))
        wrong = None
        if (fraction is None) == (count is None):
            wrong = f": give either fraction or count, got {fraction} and {count}"
        elif fraction is not None and not 0 < fraction <= 1:
            wrong = f".fraction: expected a number above 0 and up to 1, got {fraction}"
        elif not 1 <= number <= total:
            wrong = f".count: expected 1 .. {total}, the images of {dataset!r}, got {count}"
        elif seed < 0:
            wrong = f".seed: expected at least 0, got {seed}"
        elif rest and number == total:
            wrong = f".rest: the {number} images are all of {dataset!r}, nothing is left"
        if wrong is not None:
            raise DataError(f"RandomSubset{wrong}")
        order = _stratified_order(dataset, np.random.default_rng([seed, total]))
        super().__init__(dataset, np.sort(order[number:] if rest else order[:number]))


class ChosenImages(Subset):
    """The images of another data set that a text file names, in the data set's order.

    Args:
        dataset: of any format.
        images: the file, one image a line: its path inside the folder that holds all, or the end of its path. A line
            that fits no image of the data set, or several, is a DataError.
    """

    def __init__(self, dataset: DetectionDataset, images: str | os.PathLike[str]) -> None:
        path = Path(images)
        with opening(path, "images"):
            lines = text_lines(path)
        names = image_names(dataset)
        by_name: dict[str, list[int]] = {}
        for index, name in enumerate(names):
            by_name.setdefault(name, []).append(index)
        by_end = Endings(f"/{dataset.path(index).as_posix()}" for index in range(len(dataset)))
        chosen = []
        for place, line in enumerate(lines, start=1):
            fitting = (by_name.get(line) or by_end.find(line)) if line.strip() else []
            if line.strip() and len({names[index] for index in fitting}) != 1:
                text = f"{len(fitting)} images end so" if fitting else "no image ends so"
                raise DataError(f"{path}: line {place}, {line}: {text} in {dataset!r}; is the list one of other data?")
            chosen += fitting
        if not chosen:
            raise DataError(f"{path}: no image is named in it; give one a line")
        super().__init__(dataset, np.unique(chosen))


def image_names(dataset: DetectionDataset) -> list[str]:
    """Return a name for each image that tells it from the others: its path inside the folder that holds them all."""
    paths = [dataset.path(index) for index in range(len(dataset))]
    root = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(root).as_posix() for path in paths]


class DetectionForTracking(DetectionDataset):
    """A data set whose boxes, but for those to ignore, are each an identity of its own.

    So FairMOT (Zhang et al., 2021, arXiv:2004.01888) learns identities from still images: augmented views of the same
    object are to be alike, those of others different.
    """

    def __init__(self, dataset: DetectionDataset) -> None:
        objects = ~dataset.columns.ignore
        columns = replace(dataset.columns, ids=np.where(objects, np.cumsum(objects) - 1, -1))
        settings = dataset.settings() | {"sequences": (), "num_identities": int(objects.sum())}
        super().__init__(dataset.class_names, columns, reader=dataset.reader, **settings)
        self._text = f"DetectionForTracking({dataset!r})"


class MapClasses(DetectionDataset):
    """A data set's boxes of some classes, under other names where wanted; those of all other classes are left out.

    Several classes may become one. Regions to ignore for any class stay. Identities are numbered without gaps.

    Args:
        dataset: of any format.
        classes: new names by old ones; the labels are in the order in which the new names come first.
    """

    def __init__(self, dataset: DetectionDataset, classes: Mapping[str, str]) -> None:
        known = frozenset(dataset.class_names)
        unknown = [name for name in classes if name not in known]
        if unknown or not classes:
            text = f"{with_nearest(unknown, dataset.class_names) or 'nothing'} is not in {dataset!r}"
            raise DataError(f"classes: {text}, whose classes are {', '.join(dataset.class_names)}")
        names = list(dict.fromkeys(classes.values()))
        label_of = {name: label for label, name in enumerate(names)}
        new = [label_of[classes[name]] if name in classes else -1 for name in dataset.class_names]
        columns = dataset.columns.relabelled(np.array(new, dtype=np.int64))
        columns = columns.take(np.flatnonzero((columns.labels >= 0) | (dataset.columns.labels == -1)))
        left = np.zeros(dataset.num_identities + 1, dtype=np.bool_)
        left[columns.ids[(columns.ids >= 0) & ~columns.ignore]] = True
        numbers = np.where(left, np.cumsum(left) - 1, -1)  # its last place is that of -1, no identity
        settings = dataset.settings() | {"category_ids": None, "num_identities": int(left.sum())}
        if any(name != new for name, new in classes.items()):
            settings["benchmark"] = None  # its rules go by the names of the classes
        super().__init__(names, replace(columns, ids=numbers[columns.ids]), reader=dataset.reader, **settings)
        self._text = f"MapClasses({dataset!r})"


class Concatenated(DetectionDataset):
    """Several data sets, one after the other, as one. Classes are matched by name, identities told apart.

    Image ids are the indices. An object of a class that a data set doesn't annotate is background there. Keypoints are
    the same ones in all data sets that have some; those of the others are not labelled.

    Args:
        datasets: at least one.
        class_names: the classes in the order of their labels; None takes those of all data sets, in the order in which
            they come first.
        weights: how much of an epoch of training each data set is to have, one number each in any unit (``[3, 1]``
            shows the first three times as often as the second, however many images they have; 0 leaves it out of
            training); None takes every image once.
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
        given = [1.0] if weights is None else list(weights)
        right = weights is None or len(given) == len(datasets)
        if not (right and all(math.isfinite(weight) and weight >= 0 for weight in given) and any(given)):
            text = f"one number of at least 0 for each of the {len(datasets)} data sets, not all of them 0"
            raise DataError(f"weights: expected {text}, got {given}")
        known = dict.fromkeys(name for dataset in datasets for name in dataset.class_names)
        names = tuple(known) if class_names is None else class_names
        parts = [dataset.with_class_names(names) for dataset in datasets]
        self._starts = np.cumsum([0, *map(len, parts)])
        fields = agreed([(repr(part), part.fields) for part in parts])
        own = [part.columns for part in parts]
        columns = Columns.joined([replace(c, data=filled(c.data, fields, len(c.labels))) for c in own])
        identities = np.cumsum([0, *(part.num_identities for part in parts)])
        offsets = np.repeat(identities[:-1], [len(part.columns.ids) for part in parts])
        ids = np.where(columns.ids >= 0, columns.ids + offsets, -1)
        columns = replace(columns, ids=ids, image_ids=np.arange(len(columns), dtype=np.int64))
        benchmarks = {part.benchmark for part in parts}
        super().__init__(
            names,
            columns,
            problems=Problems(problem for dataset in datasets for problem in dataset.problems),
            strict=any(dataset.strict for dataset in datasets),
            num_identities=int(identities[-1]),
            amodal=any(dataset.amodal for dataset in datasets),
            sequences=_joined(parts, self._starts[:-1].tolist()),
            sources=_mixed(parts, weights),
            benchmark=benchmarks.pop() if len(benchmarks) == 1 else None,
            fields=fields,
            reader=partial(_read_part, parts, self._starts) if any(part.reader for part in parts) else None,
        )
        self._text = f"Concatenated({', '.join(map(repr, parts))})"

    def locate(self, index: int) -> tuple[int, int]:
        """Return which data set sample `index` is from, and its index there; an IndexError if there is none."""
        self._check(index)
        return _located(self._starts, index)


def _read_chosen(reader: Callable[[int], LazyImage], indices: Ints, index: int) -> LazyImage:
    return reader(int(indices[index]))


def _read_part(parts: Sequence[DetectionDataset], starts: Ints, index: int) -> LazyImage:
    part, place = _located(starts, index)
    return parts[part].image(place)


def _located(starts: Ints, index: int) -> tuple[int, int]:
    part = int(np.searchsorted(starts, index, side="right")) - 1
    return part, index - int(starts[part])


def _mixed(parts: Sequence[DetectionDataset], weights: Sequence[float] | None) -> Sources | None:
    """Return the sources of all parts, each with its share of that of its part."""
    if weights is None and all(part.sources is None for part in parts):
        return None
    whole = np.array([len(part) for part in parts] if weights is None else weights, dtype=np.float64)
    sources = [part.sources or Sources(np.zeros(len(part), dtype=np.int64), np.ones(1)) for part in parts]
    starts = np.cumsum([0, *(len(source.shares) for source in sources)])
    numbers = [source.numbers + start for source, start in zip(sources, starts[:-1], strict=True)]
    shares = [source.shares * weight for source, weight in zip(sources, whole / whole.sum(), strict=True)]
    return Sources(np.concatenate(numbers), np.concatenate(shares))


def _joined(parts: Sequence[DetectionDataset], starts: Sequence[int]) -> Iterator[VideoSequence]:
    """Return the videos of all data sets, moved to their places; a name that was there before gets a number."""
    counts: Counter[str] = Counter()
    for part, start in zip(parts, starts, strict=True):
        for video in part.sequences:
            counts[video.name] += 1
            name = video.name if counts[video.name] == 1 else f"{video.name} ({counts[video.name]})"
            yield replace(video, name=name, start=video.start + start, stop=video.stop + start)


def _stratified_order(dataset: DetectionDataset, rng: np.random.Generator) -> Ints:
    """Return the indices in an order whose every beginning has about the same share of each group of images."""
    table = dataset.columns.label_table().with_objects()
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
