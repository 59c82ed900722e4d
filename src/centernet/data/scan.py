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
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from PIL import Image

from ..annotations.problems import DataError, Problem
from ..images import ImageError
from .dataset import DetectionDataset
from .near_duplicates import FINGERPRINT, fingerprint
from .sample import Pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK = 64  # images that a process reads before it reports


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
        progress: called with the number of images after each part.

    Raises:
        DataError: a process ended without a word.
    """
    chunks = [range(start, min(start + _CHUNK, len(dataset))) for start in range(0, len(dataset), _CHUNK)]
    parts = [_read(range(0), dataset)]
    with ExitStack() as stack:
        found: Iterator[Scan] = map(partial(_read, dataset=dataset), chunks)
        if num_workers > 0 and len(chunks) > 1:
            context = multiprocessing.get_context("spawn")  # what has threads (OpenCV, torch) can hang in a fork
            pool = ProcessPoolExecutor(min(num_workers, len(chunks)), context, initializer=_start, initargs=(dataset,))
            stack.callback(pool.shutdown, cancel_futures=True)  # after Ctrl-C too, what has not begun is not waited for
            found = pool.map(_read, chunks)
        try:
            for part in found:
                parts.append(part)
                progress(len(part.sizes))
        except BrokenProcessPool as error:
            raise DataError(
                f"{dataset!r}: a process that read images ended without a word, as for want of memory; "
                "try again with fewer workers (0 reads in the main process)"
            ) from error
    sizes, fingerprints, problems = zip(*parts, strict=True)
    return Scan(np.concatenate(sizes), np.concatenate(fingerprints), [entry for part in problems for entry in part])


_opened: DetectionDataset  # in a process that reads


def _start(dataset: DetectionDataset) -> None:
    global _opened
    _opened = dataset
    cv2.setNumThreads(0)  # the processes are the threads
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
    warnings.simplefilter("ignore")  # of damaged EXIF blocks and the like; what matters is a problem


def _read(indices: range, dataset: DetectionDataset | None = None) -> Scan:
    """Read some images of a data set, by default of that of the process."""
    dataset = _opened if dataset is None else dataset
    sizes, fingerprints = np.zeros((len(indices), 2), np.int32), np.zeros((len(indices), FINGERPRINT), np.uint8)
    problems: list[tuple[int, Problem]] = []
    for place, index in enumerate(indices):
        known = len(dataset.problems)
        with suppress(ImageError, DataError):  # noted as a problem; the second comes from strict data sets
            sample = dataset[index]
            fingerprints[place] = fingerprint(sample.image)
            sizes[place] = sample.size_hw
            problems += [(index, problem) for problem in _misnamed(sample.annotation.path)]
        for problem in dataset.problems[known:]:
            problems.append((index, replace(problem, kind="wrong-size") if problem.kind == "size" else problem))
    return Scan(sizes, fingerprints, problems)


_LIKE = {"MPO": "JPEG", "DIB": "BMP"}  # several frames in a JPEG, as telephones write; a BMP without its first header


def _misnamed(path: Path) -> list[Problem]:
    """Report an image whose content is of another format than its suffix says."""
    said = Image.registered_extensions().get(path.suffix.lower())
    try:
        with Image.open(path) as image:
            found = image.format
    except Exception:  # of an image that is drawn, or that only OpenCV knows
        return []
    if said is None or found is None or _LIKE.get(found, found) == _LIKE.get(said, said):
        return []
    text = f"its content is {found}, its name says {said}; read all the same, but other programs may not"
    return [Problem(str(path), "mislabelled-file", text)]
