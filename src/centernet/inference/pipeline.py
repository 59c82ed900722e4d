"""Reading ahead: the next images are read and warped in other threads while the network works on those before."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2

from centernet.images import ImageError
from centernet.inference.sources import Frame

T = TypeVar("T")


def read_ahead(
    readers: Iterator[Callable[[], Frame]], prepare: Callable[[Frame], T], *, depth: int, workers: int | None = None
) -> Iterator[Future[T]]:
    """Prepare the frames of a source beforehand, and give the results in its order.

    One thread goes through the source, whose errors come after everything before them; others read its files and
    prepare them. OpenCV, Pillow and the runtimes let other threads run while they work.

    Args:
        readers: those of a `Source`; closed at the end, also at an early one.
        prepare: called with each frame, in any thread.
        depth: at most so many frames are held.
        workers: threads that read and prepare; None for one for each core, up to eight.

    Yields:
        The result of each frame as a future, which raises the frame's own error.
    """
    taking = ThreadPoolExecutor(1, "centernet-source")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    working = ThreadPoolExecutor(workers or min(8, cores), "centernet-read")

    def take() -> Future[T] | None:
        read = next(readers, None)
        return None if read is None else working.submit(_prepared, read, prepare)

    flight: deque[Future[Future[T] | None]] = deque()
    try:
        flight.extend(taking.submit(take) for _ in range(depth))
        while (result := flight.popleft().result()) is not None:
            flight.append(taking.submit(take))
            yield result
    finally:
        taking.shutdown(wait=True, cancel_futures=True)
        working.shutdown(wait=True, cancel_futures=True)
        if hasattr(readers, "close"):
            readers.close()


def read_here(readers: Iterator[Callable[[], Frame]], prepare: Callable[[Frame], T]) -> Iterator[Future[T]]:
    """Do the same without threads, for a single image, and for a camera, of which only the newest is wanted."""
    for read in readers:
        result: Future[T] = Future()
        try:
            result.set_result(_prepared(read, prepare))
        except Exception as error:  # kept in its place, as threads keep it
            result.set_exception(error)
        yield result


def _prepared(read: Callable[[], Frame], prepare: Callable[[Frame], T]) -> T:
    """Read and prepare a frame; what OpenCV or the memory cannot take of it is an ImageError that names it."""
    frame = read()
    try:
        return prepare(frame)
    except (cv2.error, MemoryError) as error:
        height, width = frame.size_hw
        text = f"an image of {width}×{height} that cannot be worked on ({str(error).strip() or 'too little memory'})"
        raise ImageError(f"{frame.location}: {text}; reduce it, or cut it into parts") from error
