"""A data set read through once, in parallel: figures of its boxes, and what is wrong with its files."""

from __future__ import annotations

import multiprocessing
import signal
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from ..annotations.problems import DataError, Problem
from ..images import ImageError, Preprocessing
from .columns import Columns
from .dataset import DetectionDataset
from .near_duplicates import THUMBNAIL, Fingerprints, fingerprint
from .sample import Annotation, Ints

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELLS = (1, 2, 4, 8, 16, 32)
"""Between the bins of `Tally.cells`: the shorter side of a box in cells of the output grid."""

_CHUNK = 64  # samples that a process reads before it reports
_EXAMPLES = 3


@dataclass(frozen=True)
class Tally:
    """Figures of a data set with C classes.

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
        most_objects: of a sample.
        sizes: how many images there are of each (height, width).
        first_of: the first three samples with an object of each class, and the object's place in the annotation.
    """

    images: int
    empty: int
    objects: Ints
    ignored: Ints
    images_with: Ints
    cells: Ints
    sharing: int
    hidden: int
    tiny: int
    most_objects: int
    sizes: Counter[tuple[int, int]]
    first_of: list[list[tuple[int, int]]]


def tally(columns: Columns, samples: Ints, num_classes: int, preprocessing: Preprocessing, stride: int) -> Tally:
    """Count what a network is shown in evaluation.

    Args:
        columns: of the images' real sizes.
        samples: int64 N, their numbers in the data set.
        num_classes: C.
        preprocessing: of the network's input.
        stride: input pixels a cell of the output grid.
    """
    rows = np.flatnonzero(~columns.ignore)
    of, labels, boxes = columns.samples()[rows], columns.labels[rows], columns.boxes[rows]
    in_image = np.bincount(of, minlength=len(columns))
    sizes, size_of = np.unique(columns.sizes, axis=0, return_inverse=True)
    in_cells, grid = np.empty_like(boxes), np.empty((len(rows), 2), dtype=np.int64)
    by_size = size_of.reshape(-1)[of]
    order = np.argsort(by_size, kind="stable")
    ends = np.searchsorted(by_size[order], np.arange(1, len(sizes)))
    for same, (height, width) in zip(np.split(order, ends), sizes.tolist(), strict=True):
        in_cells[same] = preprocessing.to_input(boxes[same], (height, width)) / stride
        grid[same] = [-(-side // stride) for side in preprocessing.output_size((height, width))]
    cells = np.zeros((num_classes, len(CELLS) + 1), dtype=np.int64)
    shorter = (in_cells[:, 2:] - in_cells[:, :2]).min(axis=1)
    np.add.at(cells, (labels, np.searchsorted(CELLS, shorter, side="right")), 1)
    x, y = ((in_cells[:, :2] + in_cells[:, 2:]) / 2).astype(np.int64).clip(0, grid[:, ::-1] - 1).T
    longest = int(grid.max(initial=1))
    centre = (of * longest + y) * longest + x
    _, group, sharers = np.unique(centre, return_inverse=True, return_counts=True)
    pairs, first = np.unique(labels * len(columns) + of, return_index=True)  # classes in images
    of_class, ends = pairs // max(1, len(columns)), np.arange(num_classes + 1)
    starts = np.searchsorted(of_class, ends)
    places = rows[first] - columns.offsets[of[first]]
    examples = list(zip(samples[of[first]].tolist(), places.tolist(), strict=True))
    return Tally(
        images=len(columns),
        empty=int((in_image == 0).sum()),
        objects=np.bincount(labels, minlength=num_classes),
        ignored=np.bincount(columns.labels[columns.ignore] % (num_classes + 1), minlength=num_classes + 1),
        images_with=np.diff(starts),
        cells=cells,
        sharing=int((sharers[group] > 1).sum()),
        hidden=len(rows) - len(np.unique(centre * num_classes + labels)),
        tiny=int(((boxes[:, 2:] - boxes[:, :2]) < 1.5).all(axis=1).sum()),
        most_objects=int(in_image.max(initial=0)),
        sizes=Counter((height, width) for height, width in columns.sizes.tolist()),
        first_of=[examples[start : min(start + _EXAMPLES, stop)] for start, stop in pairwise(starts)],
    )


@dataclass
class Scan:
    """The result of reading a data set.

    Attributes:
        tally: of the samples that could be read.
        problems: number of the sample, and what is wrong with it.
        fingerprints: of the images; none where images weren't read.
    """

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
    columns, samples = dataset.columns, np.arange(len(dataset))
    found = _Part()
    for part, count in _parts(dataset, num_workers) if read_images else ():
        found.problems += part.problems
        found.fingerprints += part.fingerprints
        found.changed |= part.changed
        progress(count)
    if found.changed:
        same = np.setdiff1d(samples, list(found.changed))
        others = {index: truth for index, truth in found.changed.items() if truth is not None}
        samples = np.concatenate([same, np.array(list(others), dtype=np.int64)])
        order = np.argsort(samples)
        columns = Columns.joined([columns.select(same), Columns.of(others.values())]).select(order)
        samples = samples[order]
    numbers, hashes, thumbnails = zip(*found.fingerprints, strict=True) if found.fingerprints else ((), (), ())
    repeated = _repeated_boxes(columns, samples, dataset.class_names)
    return Scan(
        tally(columns, samples, len(dataset.class_names), preprocessing, stride),
        sorted([*found.problems, *repeated], key=lambda entry: entry[0]),
        Fingerprints(
            np.array(hashes, dtype=np.uint64),
            np.array(thumbnails, dtype=np.uint8).reshape(-1, THUMBNAIL * THUMBNAIL),
            np.array(numbers, dtype=np.int64),
        ),
    )


@dataclass
class _Part:
    """The result of reading some images: problems and fingerprints by sample, and the annotations of images of another
    size than stated (None for those that cannot be read)."""

    problems: list[tuple[int, Problem]] = field(default_factory=list)
    fingerprints: list[tuple[int, int, NDArray[np.uint8]]] = field(default_factory=list)
    changed: dict[int, Annotation | None] = field(default_factory=dict)


def _read_images(dataset: DetectionDataset, indices: range) -> _Part:
    part = _Part()
    for index in indices:
        known = len(dataset.problems)
        try:
            sample = dataset[index]
            part.fingerprints.append((index, *fingerprint(sample.image)))
            if len(dataset.problems) > known:
                part.changed[index] = sample.annotation
            part.problems += [(index, problem) for problem in _misnamed(sample.annotation.path)]
        except (ImageError, DataError):  # noted as a problem; the second comes from strict data sets
            part.changed[index] = None
        for problem in dataset.problems[known:]:
            kind = "wrong-size" if problem.kind == "size" else problem.kind
            part.problems.append((index, Problem(problem.path, kind, problem.message)))
    return part


_dataset: DetectionDataset  # of a process that reads


def _start(dataset: DetectionDataset) -> None:
    global _dataset
    _dataset = dataset
    cv2.setNumThreads(0)  # the processes are the threads
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
    warnings.simplefilter("ignore")  # of damaged EXIF blocks and the like; what matters is a problem


def _read(indices: range) -> _Part:
    return _read_images(_dataset, indices)


def _parts(dataset: DetectionDataset, num_workers: int) -> Iterator[tuple[_Part, int]]:
    count = len(dataset)
    chunks = [range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
    if num_workers == 0 or len(chunks) == 1:
        yield from ((_read_images(dataset, chunk), len(chunk)) for chunk in chunks)
        return
    context = multiprocessing.get_context("spawn")  # what has threads (OpenCV, torch) can hang in a fork
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(min(num_workers, len(chunks)), context, initializer=_start, initargs=(dataset,))
    waiting: deque[Future[_Part]] = deque()
    try:
        for place, chunk in enumerate(chunks):  # in order, and only a little ahead of what is taken
            while place + len(waiting) < min(place + 4 * num_workers, len(chunks)):
                waiting.append(pool.submit(_read, chunks[place + len(waiting)]))
            yield waiting.popleft().result(), len(chunk)
        pool.shutdown()
    except BrokenProcessPool as error:
        raise DataError(
            f"{dataset!r}: a process that read images ended without a word, as for want of memory; "
            "try again with fewer workers (0 reads in the main process)"
        ) from error
    except BaseException:  # Ctrl-C: what is left is not waited for
        for child in multiprocessing.active_children():
            if child not in others:
                child.terminate()
        pool.shutdown(wait=False)
        raise


_LIKE = {"MPO": "JPEG", "DIB": "BMP"}  # several frames in a JPEG, as telephones write; a BMP without its first header


def _misnamed(path: Path) -> list[Problem]:
    """Report an image whose content is of another format than its suffix says."""
    said = Image.registered_extensions().get(path.suffix.lower())
    if said is None or not path.is_file():
        return []
    try:
        with Image.open(path) as image:
            found = image.format or said
    except Exception:  # an image that only OpenCV knows
        return []
    if _LIKE.get(found, found) == _LIKE.get(said, said):
        return []
    text = f"its content is {found}, its name says {said}; read all the same, but other programs may not"
    return [Problem(str(path), "mislabelled-file", text)]


def _repeated_boxes(columns: Columns, samples: Ints, class_names: Sequence[str]) -> Iterator[tuple[int, Problem]]:
    """Report objects with the same box, to the pixel; not those that are hardly larger than one."""
    sides = columns.boxes[:, 2:] - columns.boxes[:, :2]
    rows = np.flatnonzero(~columns.ignore & (sides >= 1.5).all(axis=1))
    of, rounded = columns.samples()[rows], columns.boxes[rows].round()
    order = np.lexsort((*rounded.T[::-1], of))
    new = np.append(True, (np.diff(of[order]) != 0) | (np.diff(rounded[order], axis=0) != 0).any(axis=1))
    starts = np.flatnonzero(np.append(new[: len(rows)], True))
    for place in np.flatnonzero(np.diff(starts) > 1):
        same = rows[order[starts[place] : starts[place + 1]]]
        x1, y1, x2, y2 = columns.boxes[same[0]].tolist()
        where = f"[{x1:g}, {y1:g}, {x2:g}, {y2:g}] (x1 y1 x2 y2)"
        image = of[order[starts[place]]]
        path, sample = str(columns.paths[image]), int(samples[image])
        names = [class_names[label] for label in columns.labels[same]]
        for name, times in Counter(names).items():
            if times > 1:
                text = f"{times} objects {name!r} with the same box {where}; each counts in evaluation"
                yield sample, Problem(path, "duplicate-box", text)
        if len(set(names)) > 1:
            text = f"the same box {where} is {' and '.join(repr(name) for name in dict.fromkeys(names))}"
            yield sample, Problem(path, "ambiguous-box", text)
