"""Images that are decoded once, and reduced to what training looks at, kept in memory that all workers share."""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
import warnings
import weakref
from collections.abc import Sequence
from functools import partial
from multiprocessing.context import get_spawning_popen
from multiprocessing.heap import Arena
from typing import Any, NamedTuple

import cv2
import numpy as np

from ..annotations.problems import DataError, DataWarning, check_option
from ..images import LazyImage, Preprocessing
from .dataset import DetectionDataset
from .sample import Ints, Pixels
from .transforms import Transform

_WORTHWHILE = 0.75  # images are kept reduced only where that makes their sides at least this much shorter


class Cached(DetectionDataset):
    """A data set whose images are decoded once, as far as they fit into a budget; the others are read each time.

    Those that `transform` never looks at in full are kept reduced (so that a photograph takes the room of its part in
    the input), all others in their own size. Images beyond the budget are reduced in the same way, so what a sample
    looks like does not depend on whether it is kept. A sample's `image` is always whole.

    Processes that are started with it, forked or spawned, share the memory: what one of them decodes, all have. A
    budget larger than the data costs nothing. A copy that is pickled for something else begins anew.

    Args:
        dataset: where from.
        gib: budget in GiB of 2³⁰ bytes.
        transform: the one that images are kept for; None keeps all in their own size.
        inputs: all that the transform is called with.

    Raises:
        DataError: the budget isn't above 0, or the system does not grant it.
    """

    def __init__(
        self,
        dataset: DetectionDataset,
        gib: float,
        *,
        transform: Transform | None = None,
        inputs: Sequence[Preprocessing] = (),
    ) -> None:
        super().__init__(dataset.class_names, dataset.columns, **dataset.settings())
        check_option("data.cache_gib", 0 < gib < math.inf, "a number above 0", gib)
        self.dataset, self.gib, self.transform, self.inputs = dataset, gib, transform, inputs
        self._store = _SharedImages(len(self), gib)

    @property
    def used(self) -> int:
        """Bytes of images that are kept."""
        return self._store.used

    def warn_if_small(self) -> None:
        """Warn where the budget holds a part of the images only."""
        sizes, counts = np.unique(self.columns.sizes, axis=0, return_counts=True)
        kept = [self._kept_size((height, width)) for height, width in sizes.tolist()]
        wanted = int(3 * np.array(kept, dtype=np.int64).prod(axis=1) @ counts)
        if wanted > self._store.room.size:
            share = self._store.room.size / wanted
            warnings.warn(
                f"data.cache_gib: all {len(self)} images of {self!r} take about {wanted / 2**30:.2g} GiB; with "
                f"{self.gib:g} GiB {share:.0%} of them are kept, and the others read each time",
                DataWarning,
                stacklevel=2,
            )

    def image(self, index: int) -> LazyImage:
        kept = self._store.get(index)
        if kept is not None:
            return LazyImage(kept.size_hw, partial(self._read_kept, index, kept))
        image = self.dataset.image(index)
        return LazyImage(image.size_hw, partial(self._read_and_keep, index, image))

    def __getstate__(self) -> dict[str, Any]:
        shared = get_spawning_popen() is not None  # pickled for a process that is being started
        return {name: value for name, value in vars(self).items() if shared or name != "_store"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if "_store" not in state:
            self._store = _SharedImages(len(self), self.gib)

    def __repr__(self) -> str:
        return repr(self.dataset)

    def _kept_size(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """Return (height, width) in which an image is kept."""
        if self.transform is None:
            return size_hw
        scale = max(self.transform.largest_scale(size_hw, preprocessing) for preprocessing in self.inputs)
        if scale > _WORTHWHILE:
            return size_hw
        return math.ceil(size_hw[0] * scale), math.ceil(size_hw[1] * scale)

    def _read_and_keep(self, index: int, image: LazyImage, scale: float) -> tuple[Pixels, tuple[float, float]]:
        height, width = self._kept_size(image.size_hw)
        enough = max(height / image.size_hw[0], width / image.size_hw[1])
        if enough < 1 and scale > enough:  # somebody wants more than training does: all of it
            return image.read(scale)
        pixels, scales = image.read(enough)
        covered = round(pixels.shape[0] / scales[1]), round(pixels.shape[1] / scales[0])
        if max(height, width) < max(pixels.shape[:2]):
            pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        kept = _Kept(pixels, image.size_hw, covered)
        self._store.put(index, kept)
        return pixels, kept.scales

    def _read_kept(self, index: int, kept: _Kept, scale: float) -> tuple[Pixels, tuple[float, float]]:
        if min(kept.scales) < min(1.0, scale) * (1 - 1e-6) and kept.pixels.shape[:2] != kept.size_hw:
            return self.dataset.image(index).read(scale)
        return kept.pixels, kept.scales


class _Kept(NamedTuple):
    """An image that is kept, perhaps reduced."""

    pixels: Pixels  # uint8 h×w×3
    size_hw: tuple[int, int]  # of the image
    covered_hw: tuple[int, int]  # of that: all, or slightly more where its sides are no multiple of the reduction

    @property
    def scales(self) -> tuple[float, float]:
        return self.pixels.shape[1] / self.covered_hw[1], self.pixels.shape[0] / self.covered_hw[0]


class _SharedImages:
    """Images by index in memory that several processes share: those forked later, and those spawned with it."""

    # A table, with a row for each image (place of the pixels, -1 where there are none, and the numbers of `_Kept`) and
    # one for the room in use, is followed by that room, which is given away from its beginning. A process takes room
    # under a lock, fills it while others go on, and enters the image last, so what is in the table is whole.

    def __init__(self, count: int, gib: float) -> None:
        self.lock = multiprocessing.get_context("spawn").Lock()  # forked processes can share it too
        self.count = count
        try:
            self.memory = _shared_memory(8 * 7 * (count + 1) + max(1, int(gib * 2**30)))
        except (OSError, OverflowError, ValueError) as error:
            raise DataError(
                f"data.cache_gib: the system grants no {gib:g} GiB of shared memory ({error}); give less"
            ) from error
        self.table[:-1, 0] = -1

    @property
    def table(self) -> Ints:
        return np.frombuffer(self.memory.buffer, np.int64, 7 * (self.count + 1)).reshape(-1, 7)

    @property
    def room(self) -> Pixels:
        return np.frombuffer(self.memory.buffer, np.uint8, offset=8 * 7 * (self.count + 1))

    @property
    def used(self) -> int:
        return int(self.table[-1, 0])

    def get(self, index: int) -> _Kept | None:
        """Return an image, if it is kept."""
        with self.lock:
            place, height, width, *sizes = self.table[index].tolist()
        if place < 0:
            return None
        pixels = self.room[place : place + height * width * 3].reshape(height, width, 3)
        pixels.flags.writeable = False
        return _Kept(pixels, (sizes[0], sizes[1]), (sizes[2], sizes[3]))

    def put(self, index: int, kept: _Kept) -> None:
        """Keep an image, if there is room and nobody else has."""
        table, room, size = self.table, self.room, kept.pixels.size
        with self.lock:
            start = self.used
            if table[index, 0] >= 0 or start + size > room.size:
                return
            table[-1, 0] = start + size
        room[start : start + size] = kept.pixels.reshape(-1)
        with self.lock:
            table[index] = start, *kept.pixels.shape[:2], *kept.size_hw, *kept.covered_hw


def _shared_memory(size: int) -> Arena:
    """Return memory that other processes can be given; it ends with the last of them, and no file is left behind."""
    if sys.platform != "linux":
        return Arena(size)
    file = os.memfd_create("centernet")  # /dev/shm, which containers often limit to 64 MB, ends who goes beyond
    os.truncate(file, size)
    memory = Arena(size, file)
    weakref.finalize(memory, os.close, file)
    return memory
