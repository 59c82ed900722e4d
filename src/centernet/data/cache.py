"""Pictures that are decoded once, and reduced to what training looks at, kept in memory or on disk."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..images import LazyImage, Preprocessing
from .dataset import DetectionDataset
from .picture_store import Kept, PictureStore, SharedFile, SharedMemory, check_disk, file_name
from .sample import DataError, DataWarning, Pixels
from .transforms import Transform

_WORTHWHILE = 0.75  # pictures are kept reduced only where that makes their sides at least this much shorter
_NO_STAMP = 0, 0


@dataclass(frozen=True)
class Needs:
    """How large pictures are needed.

    Attributes:
        transform: that they are read for.
        inputs: all that it is called with.
    """

    transform: Transform
    inputs: tuple[Preprocessing, ...]

    def scale(self, image_hw: tuple[int, int]) -> float:
        """How many pixels are looked at, at most, for one of a picture along a side; 1 where it is wanted whole."""
        return min(1.0, max(self.transform.largest_scale(image_hw, preprocessing) for preprocessing in self.inputs))


class Cached(DetectionDataset):
    """A data set whose pictures are decoded once, as far as they fit into a budget; the others are read each time.

    They are kept as large as `needs` says: those that are never looked at in full, reduced (so that a photograph takes
    the room of its part in the input), all others in their own size. Pictures beyond the budget are reduced in the same
    way, so what a sample looks like does not depend on whether it is kept. A sample's `image` is always whole.

    In memory (`folder` None): one anonymous mapping that processes forked later share, so that what one of them
    decodes, all have. A budget larger than the data costs nothing. A pickled copy begins anew.

    On disk: a file in `folder`, mapped into memory, that all processes and all later runs share. It belongs to the list
    of files and to how large they are needed, and a picture in it to the time of change and size of its file. Pictures
    that aren't files are not kept.

    Samples are made from `columns` and `image` of the data set.

    Args:
        dataset: where from.
        gib: budget in GiB of 2³⁰ bytes.
        needs: how large pictures are needed; None keeps all in their own size.
        folder: for files of kept pictures; made if it isn't there.

    Raises:
        DataError: the budget isn't above 0, or the system does not grant it.
    """

    def __init__(
        self,
        dataset: DetectionDataset,
        gib: float,
        *,
        needs: Needs | None = None,
        folder: Path | None = None,
    ) -> None:
        super().__init__(dataset.class_names, dataset.columns, **dataset.settings())
        if not (gib > 0 and math.isfinite(gib)):
            raise DataError(f"data.cache_gib: expected a number above 0, got {gib}")
        self.dataset = dataset
        self.gib = gib
        self.needs = needs
        self.folder = folder
        self.capacity = max(1, int(gib * 2**30))
        self._store = self._open_store()

    @property
    def used(self) -> int:
        """Bytes of pictures that are kept."""
        return self._store.used

    def estimate(self, *, samples: int = 500) -> int:
        """About how many bytes all pictures take, by the sizes that some annotations say."""
        places = np.unique(np.linspace(0, len(self) - 1, min(samples, len(self))).astype(int))
        areas = []
        for annotation in (self.dataset.annotation(int(place)) for place in places):
            height, width = self._kept_size((annotation.height, annotation.width))
            areas.append(height * width)
        return int(3 * np.mean(areas) * len(self))

    def warn_if_small(self) -> None:
        """Say so where the budget holds a part of the pictures only."""
        wanted = self.estimate()
        if wanted > self.capacity:
            warnings.warn(
                f"data.cache_gib: all {len(self)} pictures of {self!r} take about {wanted / 2**30:.2g} GiB; with "
                f"{self.gib:g} GiB {self.capacity / wanted:.0%} of them are kept, and the others read each time",
                DataWarning,
                stacklevel=2,
            )

    def image(self, index: int) -> LazyImage:
        stamp = _NO_STAMP if self.folder is None else _stamp(self.path(index))
        if stamp is None:
            return self.dataset.image(index)
        kept = self._store.get(index, stamp)
        if kept is not None:
            return LazyImage(kept.size_hw, partial(self._read_kept, index, kept))
        picture = self.dataset.image(index)
        return LazyImage(picture.size_hw, partial(self._read_and_keep, index, stamp, picture))

    def with_class_names(self, class_names: Sequence[str]) -> DetectionDataset:
        other = super().with_class_names(class_names)  # with the same memory
        if isinstance(other, Cached):
            other.dataset = self.dataset.with_class_names(class_names)
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Cached, needs=self.needs, folder=self.folder), (self.dataset, self.gib)

    def __repr__(self) -> str:
        return repr(self.dataset)

    def _open_store(self) -> PictureStore:
        if self.folder is None:
            return SharedMemory(len(self), self.capacity)
        paths = [os.path.abspath(self.path(index)) for index in range(len(self))]
        if not any(map(os.path.isfile, paths[:100])):
            raise DataError(
                f"data.cache: disk knows pictures by their files, but {self!r} has none such as {paths[0]}; "
                "set data.cache to memory"
            )
        sides = ((1000, 1000), (600, 1000), (1000, 600), (3000, 4000))
        settings = str([round(self.needs.scale(size), 6) for size in sides] if self.needs is not None else 1)
        path = self.folder / file_name("pictures", paths, settings)
        check_disk(path, min(self.capacity, self.estimate()))
        return SharedFile(path, len(self), self.capacity)

    def _kept_size(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """(height, width) in which a picture is kept."""
        scale = 1.0 if self.needs is None else self.needs.scale(size_hw)
        if scale > _WORTHWHILE:
            return size_hw
        return math.ceil(size_hw[0] * scale), math.ceil(size_hw[1] * scale)

    def _read_and_keep(
        self, index: int, stamp: tuple[int, int], picture: LazyImage, scale: float
    ) -> tuple[Pixels, tuple[float, float]]:
        height, width = self._kept_size(picture.size_hw)
        enough = max(height / picture.size_hw[0], width / picture.size_hw[1])
        if enough < 1 and scale > enough:  # somebody wants more than training does: all of it
            return picture.read(scale)
        pixels, scales = picture.read(enough)
        covered = round(pixels.shape[0] / scales[1]), round(pixels.shape[1] / scales[0])
        if max(height, width) < max(pixels.shape[:2]):
            resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
            pixels = resized.astype(np.uint8, copy=False)
        kept = Kept(pixels, picture.size_hw, covered)
        self._store.put(index, stamp, kept)
        return pixels, _scales(kept)

    def _read_kept(self, index: int, kept: Kept, scale: float) -> tuple[Pixels, tuple[float, float]]:
        scales = _scales(kept)
        if min(scales) < min(1.0, scale) * (1 - 1e-6) and kept.pixels.shape[:2] != kept.size_hw:
            return self.dataset.image(index).read(scale)
        return kept.pixels, scales


def cache_folder() -> Path:
    """Where pictures are kept unless something else is asked for."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "centernet"


def _scales(kept: Kept) -> tuple[float, float]:
    return kept.pixels.shape[1] / kept.covered_hw[1], kept.pixels.shape[0] / kept.covered_hw[0]


def _stamp(path: Path) -> tuple[int, int] | None:
    """Time of change in nanoseconds and size of a file; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
