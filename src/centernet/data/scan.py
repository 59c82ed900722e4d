"""The image pass of an audit: every image of a data set is decoded once, by several processes."""

from __future__ import annotations

import multiprocessing
import signal
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import cv2
import numpy as np
from PIL import Image

from ..annotations.problems import DataError, Problem
from ..ending import end_with_parent
from ..images import ImageError
from ..images.depth import unstated_range
from ..images.kinds import left_unread
from ..images.limits import open_listed
from .dataset import DetectionDataset
from .near_duplicates import FINGERPRINT, fingerprint
from .sample import Pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK = 64  # images that a process reads before it reports

_Read: TypeAlias = "tuple[tuple[int, int], Pixels, list[Problem]]"
"""Size, fingerprint and problems of an image."""


class Scan(NamedTuple):
    """The images of N samples; sizes and fingerprints are 0 where one cannot be read."""

    sizes: NDArray[np.int32]  # N×2, the real (height, width)
    fingerprints: Pixels  # N×320
    problems: list[tuple[int, Problem]]  # number of the sample, and what is wrong with its file


def scan(dataset: DetectionDataset, *, num_workers: int = 0, progress: Callable[[int], None]) -> Scan:
    """Read every image of a data set.

    Args:
        dataset: of any format. What is found in its images is not added to its own problems where processes read.
        num_workers: processes that read; 0 reads in this one.
        progress: called with 1 after each image.

    Raises:
        DataError: a process ended without a word.
    """
    count = len(dataset)
    result = Scan(np.zeros((count, 2), np.int32), np.zeros((count, FINGERPRINT), np.uint8), [])
    with ExitStack() as stack:
        found: Iterator[_Read] = map(partial(_read, dataset=dataset), range(count))
        if num_workers > 0 and count > _CHUNK:
            context = multiprocessing.get_context("spawn")  # what has threads (OpenCV, torch) can hang in a fork
            workers = min(num_workers, -(-count // _CHUNK))
            pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(dataset,))
            stack.callback(pool.shutdown, cancel_futures=True)  # after Ctrl-C too, what has not begun is not waited for
            found = pool.map(_read, range(count), chunksize=_CHUNK)
        try:
            for index, (size, mark, problems) in enumerate(found):
                result.sizes[index], result.fingerprints[index] = size, mark
                result.problems.extend((index, problem) for problem in problems)
                progress(1)
        except BrokenProcessPool as error:
            raise DataError(
                f"{dataset!r}: a process that read images ended without a word, as for want of memory; "
                "try again with fewer workers (0 reads in the main process)"
            ) from error
    return result


_opened: DetectionDataset  # in a process that reads


def _start(dataset: DetectionDataset) -> None:
    global _opened
    _opened = dataset
    cv2.setNumThreads(0)  # the processes are the threads
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
    end_with_parent()
    warnings.simplefilter("ignore")  # of damaged EXIF blocks and the like; what matters is a problem


def _read(index: int, dataset: DetectionDataset | None = None) -> _Read:
    """Read an image of a data set, by default of that of the process."""
    dataset = _opened if dataset is None else dataset
    known, problems = len(dataset.problems), list[Problem]()
    size, mark = (0, 0), np.zeros(FINGERPRINT, np.uint8)
    with suppress(ImageError, DataError):  # noted as a problem; the second comes from strict data sets
        sample = dataset[index]
        path = sample.annotation.path
        mark, size, problems = fingerprint(sample.image), sample.size_hw, _oddities(path)
        if text := unstated_range(str(path)):
            problems.append(Problem(str(path), "value-range", text))
    noted = dataset.problems[known:]
    return size, mark, problems + [replace(p, kind="wrong-size") if p.kind == "size" else p for p in noted]


_LIKE = {"MPO": "JPEG", "DIB": "BMP"}  # several frames in a JPEG, as telephones write; a BMP without its first header


def _oddities(path: Path) -> list[Problem]:
    """Report an image whose content is of another format than its suffix says, or of which a part is not read."""
    said = Image.registered_extensions().get(path.suffix.lower())
    try:
        with open_listed(path) as image:
            found, problems = image.format, [Problem(str(path), "left-unread", text) for text in left_unread(image)]
    except Exception:  # of an image that is drawn, or that only OpenCV knows
        return []
    if said is not None and found is not None and _LIKE.get(found, found) != _LIKE.get(said, said):
        text = f"its content is {found}, its name says {said}; read all the same, but other programs may not"
        problems.append(Problem(str(path), "mislabelled-file", text))
    return problems
