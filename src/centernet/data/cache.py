"""Decoded pictures kept in memory that all reading processes share."""

from __future__ import annotations

import math
import mmap
import multiprocessing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .formats.dataset import DetectionDataset
from .sample import Annotation, DataError, Ints, Pixels, Problem

_ABSENT, _PENDING = -1, -2  # in place of an offset


class Cached(DetectionDataset):
    """A data set whose pictures are decoded once and then copied from memory, as far as they fit.

    The memory is one anonymous mapping that processes forked later share: what one of them decodes, all have. The
    system gives a page when it is first written, so a budget larger than the data costs nothing. Pictures are kept as
    they were read, in their own size; those beyond the budget are read each time.

    A pickled copy begins anew, with memory of its own. Samples are made by DetectionDataset's own `__getitem__` from
    `annotation` and `read_image` of the data set.

    Args:
        dataset: where from.
        gib: budget in GiB of 2³⁰ bytes.

    Raises:
        DataError: the budget isn't above 0, or the system does not grant it.
    """

    def __init__(self, dataset: DetectionDataset, gib: float) -> None:
        super().__init__(dataset.class_names, strict=dataset.strict)
        if not (gib > 0 and math.isfinite(gib)):
            raise DataError(f"data.cache_gib: expected a number above 0, got {gib}")
        self.dataset = dataset
        self.problems = dataset.problems
        self.category_ids = dataset.category_ids
        self.num_identities = dataset.num_identities
        self.amodal = dataset.amodal
        self.gib = gib
        self.capacity = max(1, int(gib * 2**30))
        # For each sample: offset of its pixels, height, width; before them the number of bytes in use.
        table = _shared_memory(8 * (1 + 3 * len(dataset)), gib)
        numbers = np.frombuffer(table, dtype=np.int64)
        self._used, self._places = numbers[:1], numbers[1:].reshape(-1, 3)
        self._places[:, 0] = _ABSENT
        self._pixels = np.frombuffer(_shared_memory(self.capacity, gib), dtype=np.uint8)
        self._lock = multiprocessing.Lock()

    @property
    def used(self) -> int:
        """Bytes of pictures that are kept."""
        return int(self._used[0])

    def __len__(self) -> int:
        return len(self.dataset)

    def annotation(self, index: int) -> Annotation:
        return self.dataset.annotation(index)

    def path(self, index: int) -> Path:
        return self.dataset.path(index)

    def read_image(self, index: int) -> Pixels:
        with self._lock:
            start, height, width = self._places[index].tolist()
        if start >= 0:
            return self._pixels[start : start + height * width * 3].reshape(height, width, 3).copy()
        image = self.dataset.read_image(index)
        if start == _ABSENT:
            self._keep(index, image)
        return image

    def remember(self, problem: Problem) -> bool:
        return self.dataset.remember(problem)

    def with_class_names(self, class_names: Sequence[str]) -> Cached:
        other = Cached.__new__(Cached)
        other.__dict__.update(self.__dict__)  # with the same memory
        other.dataset = self.dataset.with_class_names(class_names)
        other.class_names, other.category_ids = other.dataset.class_names, other.dataset.category_ids
        other.problems = other.dataset.problems
        return other

    def label_arrays(self) -> tuple[Ints, Ints, Ints]:
        return self.dataset.label_arrays()

    def __reduce__(self) -> tuple[Any, ...]:
        return Cached, (self.dataset, self.gib)

    def __repr__(self) -> str:
        return repr(self.dataset)

    def _keep(self, index: int, image: Pixels) -> None:
        with self._lock:  # room is taken here, and filled while others go on
            start = int(self._used[0])
            if self._places[index, 0] != _ABSENT or start + image.size > self.capacity:
                return
            self._used[0] = start + image.size
            self._places[index, 0] = _PENDING
        self._pixels[start : start + image.size] = image.reshape(-1)
        with self._lock:
            self._places[index] = start, image.shape[0], image.shape[1]


def _shared_memory(size: int, gib: float) -> mmap.mmap:
    try:
        return mmap.mmap(-1, size)
    except (OSError, OverflowError, ValueError) as error:
        raise DataError(
            f"data.cache_gib: the system grants no {gib:g} GiB of shared memory ({error}); give less"
        ) from error
