"""Where pictures come from: one generator of frames for files, arrays, lists, folders, globs and videos.

A frame is read when it is asked for and forgotten with it: memory doesn't grow with the source.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

from centernet.images import ImageError, check_image, list_images, read_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

Item: TypeAlias = "str | os.PathLike[str] | NDArray[np.uint8]"
Source: TypeAlias = "Item | Sequence[Item]"

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts", ".3gp", ".ogv"),
    *(".mjpg", ".mjpeg"),
)
"""Suffixes, in lower case, by which a file counts as a video."""


class SourceError(ValueError):
    """A source of pictures that cannot be used, or breaks off; the message names it and what to do."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source.

    Attributes:
        image: uint8 H×W×3, RGB, upright.
        name: what to call it: the path inside a folder, the path as it was given in a list or found by a pattern, the
            name of a single file; ``clip_000012`` for frame 12 of ``clip.mp4``, ``image_000012`` for an array.
        path: the file that it was read from (a video's frames share one), or None for an array.
        index: its place in the source, from 0; unreadable pictures that were left out count.
    """

    image: NDArray[np.uint8]
    name: str
    path: Path | None
    index: int


def frames(source: Source, *, on_error: Callable[[ImageError], None] | None = None) -> Iterator[Frame]:
    """The pictures of a source, one after the other.

    Args:
        source: the path of a picture, of a folder (its pictures sorted by name, without subfolders) or of a video; a
            pattern such as ``shots/**/*.jpg`` (matches sorted by path); a uint8 H×W×3 RGB array; or a list of paths of
            pictures or videos and of arrays.
        on_error: called with the error of each picture that cannot be read, which is then left out; without it the
            error is raised.

    Yields:
        Frames with upright RGB pictures in their own size.

    Raises:
        SourceError: nothing there, or a video that cannot be opened. A video that breaks off gives its readable frames
            first, then this.
        ImageError: a picture that cannot be read (see `on_error`), or a folder without pictures.
    """
    index = 0
    for item, name in _items(source):
        if isinstance(item, Path) and is_video(item):
            for frame in _video(item, index):
                yield frame
                index = frame.index + 1
            continue
        try:
            if isinstance(item, Path):
                image = read_image(item)
            else:
                check_image(item)
                image = item
        except ImageError as error:
            if on_error is None:
                raise
            on_error(error)
        else:
            yield Frame(image, name, item if isinstance(item, Path) else None, index)
        index += 1


def count(source: Source) -> int | None:
    """How many frames `frames` will give, where that is known beforehand; a video's own count may be off."""
    total = 0
    for item, _ in _items(source):
        if isinstance(item, Path) and is_video(item):
            capture = cv2.VideoCapture(str(item))
            announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            capture.release()
            if announced <= 0:
                return None
            total += announced
        else:
            total += 1
    return total


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a file counts as a video, by its suffix."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def is_single(source: Source) -> bool:
    """Whether a source is one picture: an array, or the path of a file that is no video."""
    if isinstance(source, np.ndarray):
        return True
    if not isinstance(source, (str, os.PathLike)):
        return False
    return not (Path(source).is_dir() or is_video(source) or _is_pattern(source))


def _items(source: Source) -> Iterator[tuple[Path | NDArray[np.uint8], str]]:
    """Paths of files and arrays, each with its name."""
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if path.is_dir():
            for file in list_images(path):
                yield file, file.relative_to(path).as_posix()
        elif _is_pattern(source):
            matches = sorted(name for name in glob.glob(str(source), recursive=True) if Path(name).is_file())
            if not matches:
                raise SourceError(f"{source}: no file has such a name; check the pattern, and quote it in a shell")
            for name in matches:
                yield Path(name), Path(name).as_posix()
        else:
            yield _file(path), path.name
    elif isinstance(source, np.ndarray):
        yield source, "image_000000"
    elif isinstance(source, Sequence):
        for i, item in enumerate(source):
            if isinstance(item, (str, os.PathLike)):
                path = Path(item)
                if path.is_dir():
                    raise SourceError(f"{path}: a folder within a list; give the folder alone, or its files")
                yield path, path.as_posix()
            else:
                yield item, f"image_{i:06d}"
    else:
        raise SourceError(
            f"expected a path, a uint8 array H×W×3 or a list of them as the source of pictures, "
            f"got {type(source).__name__}"
        )


def _file(path: Path) -> Path:
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder; check the path")
    return path


def _is_pattern(source: str | os.PathLike[str]) -> bool:
    return glob.has_magic(str(source)) and not Path(source).exists()


def _video(path: Path, first: int) -> Iterator[Frame]:
    """The frames of a video file, numbered within the source from `first`, named by their place in the video."""
    if not _file(path).is_file():
        raise SourceError(f"{path}: not a file")
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise SourceError(
                f"{path}: OpenCV cannot open this video; play it to see whether it is whole, or convert it"
            )
        announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        number = 0
        while True:
            there, image = capture.read()
            if not there:
                break
            rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
            yield Frame(rgb, f"{path.stem}_{number:06d}", path, first + number)
            number += 1
    finally:
        capture.release()
    if number == 0:
        raise SourceError(f"{path}: no frame of this video can be read; play it to see whether it is whole")
    # Containers state a duration rather than a count: a few frames less is the rule, not a loss.
    if number < announced - max(2, announced // 50):
        raise SourceError(
            f"{path}: the video breaks off after {number} of {announced} frames; those before it are kept"
        )
