"""A data set read through once, in parallel: figures of its boxes, and what is wrong with its files."""

from __future__ import annotations

import multiprocessing
import signal
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from ..images import ImageError, Preprocessing
from .dataset import DetectionDataset
from .near_duplicates import THUMBNAIL, Fingerprints, fingerprint
from .sample import Annotation, DataError, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELLS = (1, 2, 4, 8, 16, 32)
"""Between the bins of `Tally.cells`: the shorter side of a box in cells of the output grid."""

_CHUNK = 64  # samples that a process reads before it reports


class Tally:
    """Figures of some samples of a data set with C classes. Those of two parts can be added.

    Attributes:
        images: number of samples.
        empty: samples without an object.
        objects: int64 C.
        ignored: int64 C + 1, boxes to ignore; the last are those of any class.
        images_with: int64 C, samples with at least one object of the class.
        cells: int64 C×7, objects by the shorter side of their boxes in cells of the output grid, see `CELLS`.
        sharing: objects whose centre cell another object of their image has too.
        hidden: of them, those that the other object's class leaves no peak of their own.
        tiny: objects with both sides below 1.5 pixels of the image.
        most_objects: of a sample, and which sample that is.
        sizes: how many images there are of each (height, width).
        first_of: the first three samples with an object of each class, and the object's place in the annotation.
    """

    def __init__(self, num_classes: int) -> None:
        self.images = self.empty = self.sharing = self.hidden = self.tiny = 0
        self.objects, self.images_with = (np.zeros(num_classes, dtype=np.int64) for _ in range(2))
        self.ignored = np.zeros(num_classes + 1, dtype=np.int64)
        self.cells = np.zeros((num_classes, len(CELLS) + 1), dtype=np.int64)
        self.most_objects = 0, -1
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.first_of: list[list[tuple[int, int]]] = [[] for _ in range(num_classes)]

    def add(self, other: Tally) -> None:
        """Take in the figures of another part."""
        for name in ("images", "empty", "objects", "ignored", "images_with", "cells", "sharing", "hidden", "tiny"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.most_objects = max(self.most_objects, other.most_objects, key=lambda most: most[0])
        self.sizes.update(other.sizes)
        for mine, theirs in zip(self.first_of, other.first_of, strict=True):
            mine += theirs[: 3 - len(mine)]

    def count(self, index: int, annotation: Annotation, preprocessing: Preprocessing, stride: int) -> None:
        """Take in one sample, as evaluation would show it to a network.

        Args:
            index: of the sample.
            annotation: of the image's real size.
            preprocessing: of the network's input.
            stride: input pixels a cell of the output grid.
        """
        size_hw = annotation.height, annotation.width
        self.images += 1
        self.sizes[size_hw] += 1
        np.add.at(self.ignored, annotation.labels[annotation.ignore], 1)  # -1, any class, is the last
        rows = np.flatnonzero(~annotation.ignore)
        if not len(rows):
            self.empty += 1
            return
        labels, boxes = annotation.labels[rows], annotation.boxes[rows]
        classes, places, counts = np.unique(labels, return_index=True, return_counts=True)
        self.objects[classes] += counts
        self.images_with[classes] += 1
        self.most_objects = max(self.most_objects, (len(rows), index), key=lambda most: most[0])
        self.tiny += int(((boxes[:, 2:] - boxes[:, :2]) < 1.5).all(axis=1).sum())
        for label, place in zip(classes.tolist(), rows[places].tolist(), strict=True):
            if len(self.first_of[label]) < 3:
                self.first_of[label].append((index, place))
        cells = preprocessing.to_input(boxes, size_hw) / stride
        shorter = (cells[:, 2:] - cells[:, :2]).min(axis=1)
        np.add.at(self.cells, (labels, np.searchsorted(CELLS, shorter, side="right")), 1)
        height, width = (-(-side // stride) for side in preprocessing.output_size(size_hw))
        centres = ((cells[:, :2] + cells[:, 2:]) / 2).astype(np.int64).clip(0, [width - 1, height - 1])
        cell = centres[:, 1] * width + centres[:, 0]
        _, group, sharers = np.unique(cell, return_inverse=True, return_counts=True)
        self.sharing += int((sharers[group] > 1).sum())
        self.hidden += len(rows) - len(np.unique(cell * len(self.objects) + labels))


@dataclass
class Part:
    """What reading some samples brought.

    Attributes:
        tally: of those that could be read.
        problems: number of the sample, and what is wrong with it.
        fingerprints: of the images; none where images weren't read.
    """

    tally: Tally
    problems: list[tuple[int, Problem]] = field(default_factory=list)
    fingerprints: list[tuple[int, int, NDArray[np.uint8]]] = field(default_factory=list)


@dataclass
class Scan:
    """What reading a whole data set brought; see `Part`."""

    tally: Tally
    problems: list[tuple[int, Problem]]
    fingerprints: Fingerprints


def scan(
    dataset: DetectionDataset,
    *,
    preprocessing: Preprocessing,
    stride: int,
    read_images: bool = True,
    num_workers: int = 0,
    progress: Callable[[int], None] = lambda count: None,
) -> Scan:
    """Read every sample of a data set.

    Args:
        dataset: of any format. What is found in its images is not added to its own problems where processes read.
        preprocessing: of the network's input.
        stride: input pixels a cell of the output grid.
        read_images: False looks at the annotations alone.
        num_workers: processes that read; 0 reads in this one.
        progress: called with the number of samples after each part.

    Raises:
        DataError: a process ended without a word.
    """
    job = _Job(dataset, preprocessing, stride, read_images)
    total = Tally(len(dataset.class_names))
    problems: list[tuple[int, Problem]] = []
    samples: list[int] = []
    hashes: list[int] = []
    thumbnails: list[NDArray[np.uint8]] = []
    for part, count in _parts(job, len(dataset), num_workers):
        total.add(part.tally)
        problems += part.problems
        for index, bits, thumbnail in part.fingerprints:
            samples.append(index)
            hashes.append(bits)
            thumbnails.append(thumbnail)
        progress(count)
    return Scan(
        total,
        problems,
        Fingerprints(
            np.array(hashes, dtype=np.uint64),
            np.array(thumbnails, dtype=np.uint8).reshape(-1, THUMBNAIL * THUMBNAIL),
            np.array(samples, dtype=np.int64),
        ),
    )


@dataclass
class _Job:
    dataset: DetectionDataset
    preprocessing: Preprocessing
    stride: int
    read_images: bool

    def read(self, indices: Iterable[int]) -> Part:
        part = Part(Tally(len(self.dataset.class_names)))
        for index in indices:
            annotation = self._read_image(index, part) if self.read_images else self.dataset.annotation(index)
            if annotation is None:
                continue
            part.tally.count(index, annotation, self.preprocessing, self.stride)
            part.problems += [(index, problem) for problem in _repeated_boxes(annotation, self.dataset.class_names)]
        return part

    def _read_image(self, index: int, part: Part) -> Annotation | None:
        """The annotation, cut to the image's real size; None of an unreadable one."""
        known = len(self.dataset.problems)
        sample = None
        with suppress(ImageError, DataError):  # noted as a problem; the second comes from strict data sets
            opened = self.dataset[index]
            _ = opened.image  # decoded here
            sample = opened
        for problem in self.dataset.problems[known:]:
            kind = "wrong-size" if problem.kind == "size" else problem.kind
            part.problems.append((index, Problem(problem.path, kind, problem.message)))
        if sample is None:
            return None
        part.fingerprints.append((index, *fingerprint(sample.image)))
        problem_of_name = _misnamed(sample.annotation.path)
        if problem_of_name is not None:
            part.problems.append((index, problem_of_name))
        return sample.annotation


_job: _Job  # of a process that reads


def _start(job: _Job) -> None:
    global _job
    _job = job
    cv2.setNumThreads(0)  # the processes are the threads
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
    warnings.simplefilter("ignore")  # of damaged EXIF blocks and the like; what matters is a problem


def _read(indices: range) -> Part:
    return _job.read(indices)


def _parts(job: _Job, count: int, num_workers: int) -> Iterator[tuple[Part, int]]:
    chunks = [range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
    if num_workers == 0 or len(chunks) == 1:
        yield from ((job.read(chunk), len(chunk)) for chunk in chunks)
        return
    context = multiprocessing.get_context("spawn")  # what has threads (OpenCV, torch) can hang in a fork
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(min(num_workers, len(chunks)), context, initializer=_start, initargs=(job,))
    waiting: deque[Future[Part]] = deque()
    try:
        for place, chunk in enumerate(chunks):  # in order, and only a little ahead of what is taken
            while place + len(waiting) < min(place + 4 * num_workers, len(chunks)):
                waiting.append(pool.submit(_read, chunks[place + len(waiting)]))
            yield waiting.popleft().result(), len(chunk)
        pool.shutdown()
    except BrokenProcessPool as error:
        raise DataError(
            f"{job.dataset!r}: a process that read images ended without a word, as for want of memory; "
            "try again with fewer workers (0 reads in the main process)"
        ) from error
    except BaseException:  # Ctrl-C: what is left is not waited for
        for child in multiprocessing.active_children():
            if child not in others:
                child.terminate()
        pool.shutdown(wait=False)
        raise


_LIKE = {"MPO": "JPEG", "DIB": "BMP"}  # several frames in a JPEG, as telephones write; a BMP without its first header


def _misnamed(path: Path) -> Problem | None:
    """An image whose content is of another format than its suffix says."""
    said = Image.registered_extensions().get(path.suffix.lower())
    if said is None or not path.is_file():
        return None
    try:
        with Image.open(path) as image:
            found = image.format or said
    except Exception:  # an image that only OpenCV knows
        return None
    if _LIKE.get(found, found) == _LIKE.get(said, said):
        return None
    text = f"its content is {found}, its name says {said}; read all the same, but other programs may not"
    return Problem(str(path), "mislabelled-file", text)


def _repeated_boxes(annotation: Annotation, class_names: Sequence[str]) -> list[Problem]:
    """Objects with the same box, to the pixel; not of those that are hardly larger than one."""
    sides = annotation.boxes[:, 2:] - annotation.boxes[:, :2]
    rows = np.flatnonzero(~annotation.ignore & (sides >= 1.5).all(axis=1))
    if len(rows) < 2:
        return []
    _, group, counts = np.unique(annotation.boxes[rows].round(), axis=0, return_inverse=True, return_counts=True)
    problems = []
    for number in np.flatnonzero(counts > 1):
        same = rows[np.flatnonzero(group.reshape(-1) == number)]
        x1, y1, x2, y2 = annotation.boxes[same[0]].tolist()
        names = [class_names[label] for label in annotation.labels[same]]
        where = f"[{x1:g}, {y1:g}, {x2:g}, {y2:g}] (x1 y1 x2 y2)"
        path = str(annotation.path)
        for name, times in Counter(names).items():
            if times > 1:
                text = f"{times} objects {name!r} with the same box {where}; each counts in evaluation"
                problems.append(Problem(path, "duplicate-box", text))
        if len(set(names)) > 1:
            text = f"the same box {where} is {' and '.join(repr(name) for name in dict.fromkeys(names))}"
            problems.append(Problem(path, "ambiguous-box", text))
    return problems
