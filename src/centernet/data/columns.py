"""The contents of a data set as arrays: the boxes of all images one after the other, and the images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..column import Column
from .sample import COLUMNS, Annotation, Bools, Floats, Ints

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Paths:
    """The paths of N files in one buffer, with no Python object for each."""

    root: Path
    names: bytes  # relative to the root, in UTF-8 (bytes that are none are kept)
    ends: Ints  # N + 1: where each name ends, after a 0

    @classmethod
    def of(cls, names: Iterable[str | bytes], root: Path = Path()) -> Paths:
        """Store names that are relative to a folder."""
        encoded = [name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape") for name in names]
        return cls(root, b"".join(encoded), _starts(map(len, encoded)))

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, index: int) -> Path:
        name = self.names[self.ends[index] : self.ends[index + 1]]
        return self.root / name.decode("utf-8", "surrogateescape")

    def select(self, indices: Ints) -> Paths:
        """Return some of the paths, in the order of `indices`."""
        ends = self.ends.tolist()
        return Paths.of((self.names[ends[index] : ends[index + 1]] for index in indices.tolist()), self.root)

    @classmethod
    def joined(cls, parts: Sequence[Paths]) -> Paths:
        """Return the paths of all parts, one after the other."""
        if len({part.root for part in parts}) > 1:
            return cls.of(str(part[index]) for part in parts for index in range(len(part)))
        return cls(parts[0].root, b"".join(part.names for part in parts), _chained([part.ends for part in parts]))


def _starts(counts: Iterable[int]) -> Ints:
    """Return the beginnings of N things whose lengths are given, and the end of the last."""
    return np.cumsum([0, *counts], dtype=np.int64)


def _chained(parts: Sequence[Ints]) -> Ints:
    """Return one list of starts made of several."""
    starts = _starts(part[-1] for part in parts)
    return np.concatenate([[0], *(part[1:] + start for part, start in zip(parts, starts[:-1], strict=True))])


class LabelTable(NamedTuple):
    """One row for each image and class of which the image has a box; boxes of any class (label -1) aren't in it."""

    samples: Ints  # ascending
    labels: Ints  # ascending within an image
    objects: Ints  # how many of the boxes are
    ignored: Ints

    def with_objects(self) -> LabelTable:
        """Return the rows with an object; those of ignored boxes alone are left out."""
        rows = self.objects > 0
        return LabelTable(*(column[rows] for column in self))


_BLOCK = 100_000  # images whose boxes are sorted at once: that takes several times their own memory


@dataclass(frozen=True, eq=False)
class Columns:
    """N images with M boxes, six fields of which and `data` are as in `Annotation`."""

    boxes: Floats  # M×4
    labels: Ints
    ids: Ints
    ignore: Bools
    areas: Floats
    difficulty: NDArray[np.int8]
    offsets: Ints  # N + 1: the boxes of image i are the rows offsets[i] to offsets[i + 1] - 1
    sizes: NDArray[np.int32]  # N×2, (height, width) of each image
    image_ids: Ints
    paths: Paths
    data: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, annotations: Iterable[Annotation], fields: Sequence[Column] = ()) -> Columns:
        """Put single annotations together, of data with these fields."""
        kept = list(annotations)
        arrays: dict[str, Any] = {}
        for name, dtype in zip(COLUMNS, ("f4", "i8", "i8", "?", "f4", "i1"), strict=True):
            first = np.zeros((0, 4) if name == "boxes" else 0, dtype)
            arrays[name] = np.concatenate([first, *(getattr(item, name) for item in kept)]).astype(dtype, copy=False)
        data: dict[str, Any] = {}
        for column in fields:
            first = np.zeros((0, *column.shape), column.dtype)
            data[column.name] = np.concatenate([first, *(item.data[column.name] for item in kept)])
        return cls(
            **arrays,
            data=data,
            offsets=_starts(map(len, kept)),
            sizes=np.array([(item.height, item.width) for item in kept], dtype=np.int32).reshape(-1, 2),
            image_ids=np.array([item.image_id for item in kept], dtype=np.int64),
            paths=Paths.of(str(item.path) for item in kept),
        )

    def __len__(self) -> int:
        return len(self.image_ids)

    def annotation(self, index: int) -> Annotation:
        """Return the annotation of an image: views of the columns."""
        height, width = self.sizes[index].tolist()
        boxes = self._boxes(slice(self.offsets[index], self.offsets[index + 1]))
        return Annotation(self.paths[index], int(self.image_ids[index]), height, width, **boxes)

    def samples(self) -> Ints:
        """Return the image of each box: int64 M."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def objects(self) -> Ints:
        """Return the number of objects of each image, those to ignore left out: int64 N."""
        return np.bincount(self.samples()[~self.ignore], minlength=len(self))

    def select(self, indices: Ints) -> Columns:
        """Return some of the images, in the order of `indices`."""
        counts = np.diff(self.offsets)[indices]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        rows = np.repeat(self.offsets[indices] - offsets[:-1], counts) + np.arange(offsets[-1])
        sizes, image_ids, paths = self.sizes[indices], self.image_ids[indices], self.paths.select(indices)
        return Columns(**self._boxes(rows), offsets=offsets, sizes=sizes, image_ids=image_ids, paths=paths)

    def take(self, rows: Ints) -> Columns:
        """Return the same images with the boxes `rows`, ascending; one that is there twice is doubled."""
        return replace(self, **self._boxes(rows), offsets=np.searchsorted(rows, self.offsets))

    @classmethod
    def joined(cls, parts: Sequence[Columns]) -> Columns:
        """Return the images of all parts, one after the other; their `data` are alike."""
        names = (*COLUMNS, "sizes", "image_ids")
        arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        arrays["data"] = {name: np.concatenate([part.data[name] for part in parts]) for name in parts[0].data}
        paths, offsets = Paths.joined([part.paths for part in parts]), _chained([part.offsets for part in parts])
        return cls(**arrays, offsets=offsets, paths=paths)

    def relabelled(self, new_labels: Ints) -> Columns:
        """Make label i into ``new_labels[i]``; -1 (any class) stays."""
        return replace(self, labels=np.append(new_labels, -1)[self.labels])

    def label_table(self) -> LabelTable:
        """Count which classes are in which images; what sampling and subsets go by."""
        parts = [self._counted(start, min(start + _BLOCK, len(self))) for start in range(0, max(len(self), 1), _BLOCK)]
        return LabelTable(*map(np.concatenate, zip(*parts, strict=True)))

    def _boxes(self, rows: NDArray[Any] | slice) -> dict[str, Any]:
        boxes: dict[str, Any] = {name: getattr(self, name)[rows] for name in COLUMNS}
        return boxes | {"data": {name: array[rows] for name, array in self.data.items()}}

    def _counted(self, start: int, stop: int) -> tuple[Ints, Ints, Ints, Ints]:
        """Return the columns of the label table of the images start .. stop - 1."""
        rows = slice(self.offsets[start], self.offsets[stop])
        samples = np.repeat(np.arange(start, stop), np.diff(self.offsets[start : stop + 1]))
        known = self.labels[rows] >= 0
        labels, ignore = self.labels[rows][known], self.ignore[rows][known]
        classes = int(labels.max(initial=0)) + 1
        keys, places = np.unique(samples[known] * classes + labels, return_inverse=True)
        objects, ignored = (np.bincount(places[flags], minlength=len(keys)) for flags in (~ignore, ignore))
        return keys // classes, keys % classes, objects, ignored
