"""Which classes are in which samples of a data set, as a few arrays: what counting, sampling and subsets work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..sample import Bools, Ints


@dataclass(frozen=True, eq=False)
class LabelTable:
    """One row for each sample and class of which the sample has a box; boxes of any class (label -1) aren't in it.

    Attributes:
        samples: int64 P, ascending.
        labels: int64 P, ascending within a sample.
        objects: int64 P, boxes that are objects.
        ignored: int64 P, boxes to ignore.
    """

    samples: Ints
    labels: Ints
    objects: Ints
    ignored: Ints

    @classmethod
    def of_boxes(cls, samples: Ints, labels: Ints, ignore: Bools) -> LabelTable:
        """Count single boxes.

        Args:
            samples: int64 N, the sample of each box, ascending.
            labels: int64 N.
            ignore: bool N.
        """
        return _counted(samples, labels, ~ignore, ignore)

    @classmethod
    def joined(cls, tables: Sequence[LabelTable], starts: Sequence[int]) -> LabelTable:
        """Tables of several data sets in one, whose samples begin at `starts`."""
        return cls(
            np.concatenate([table.samples + start for table, start in zip(tables, starts, strict=True)]),
            np.concatenate([table.labels for table in tables]),
            np.concatenate([table.objects for table in tables]),
            np.concatenate([table.ignored for table in tables]),
        )

    def select(self, indices: Ints) -> LabelTable:
        """The table of the samples `indices`, numbered in their order."""
        first = np.searchsorted(self.samples, indices, side="left")
        counts = np.searchsorted(self.samples, indices, side="right") - first
        rows = np.repeat(first - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        numbers = np.repeat(np.arange(len(indices), dtype=np.int64), counts)
        return LabelTable(numbers, self.labels[rows], self.objects[rows], self.ignored[rows])

    def relabelled(self, new_labels: Ints) -> LabelTable:
        """Label i made into ``new_labels[i]``; several may become one, those that become -1 are left out."""
        return _counted(self.samples, new_labels[self.labels], self.objects, self.ignored)

    def with_objects(self) -> LabelTable:
        """The rows with an object; those of ignored boxes alone are left out."""
        rows = self.objects > 0
        return LabelTable(self.samples[rows], self.labels[rows], self.objects[rows], self.ignored[rows])


_BLOCK = 500_000  # entries that are sorted at once: that takes several times their own memory


def _counted(samples: Ints, labels: Ints, objects: Ints | Bools, ignored: Ints | Bools) -> LabelTable:
    """The table of entries that may have the same sample and class several times; those of label -1 are left out.

    The samples are ascending.
    """
    if len(samples) > _BLOCK:
        middle = int(np.searchsorted(samples, samples[len(samples) // 2]))  # between two samples
        if middle > 0:
            halves = (slice(None, middle), slice(middle, None))
            parts = [_counted(samples[rows], labels[rows], objects[rows], ignored[rows]) for rows in halves]
            return LabelTable.joined(parts, [0, 0])
    known = labels >= 0
    samples, labels = samples[known], labels[known]
    classes = int(labels.max(initial=0)) + 1
    keys, rows = np.unique(samples * classes + labels, return_inverse=True)
    # Sums of whole numbers in float64: exact up to 2**53.
    sums = (np.bincount(rows, counts[known], minlength=len(keys)).astype(np.int64) for counts in (objects, ignored))
    return LabelTable(keys // classes, keys % classes, *sums)
