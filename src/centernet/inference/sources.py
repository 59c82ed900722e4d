"""Where pictures come from: one generator of frames for files, arrays, lists, folders, globs, videos and cameras.

A frame is read when it is asked for and forgotten with it: memory doesn't grow with the source.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import cv2
import numpy as np

from centernet.images import ImageError, LazyImage, check_image, list_images, open_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

Item: TypeAlias = "str | os.PathLike[str] | NDArray[np.uint8]"
Source: TypeAlias = "Item | Sequence[Item] | int"

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts", ".3gp", ".ogv"),
    *(".mjpg", ".mjpeg"),
)
"""Suffixes, in lower case, by which a file counts as a video."""

TIMEOUT = 10.0
"""Seconds after which a stream that cannot be opened, or sends nothing, is given up."""

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


class SourceError(ValueError):
    """A source of pictures that cannot be used, or breaks off; the message names it and what to do."""


class Frame:
    """One picture of a source.

    Args:
        image: uint8 H×W×3, RGB, upright; or a `LazyImage` that is decoded when somebody asks for `image`.
        name: what to call it: the path inside a folder, the path as it was given in a list or found by a pattern, the
            name of a single file; ``clip_000012`` for frame 12 of ``clip.mp4``, ``image_000012`` for an array,
            ``camera_0_000012`` for a camera.
        path: the file that it was read from (a video's frames share one), or None for an array, a camera and a stream.
        index: its place in the source, from 0; unreadable pictures that were left out count.
    """

    def __init__(self, image: NDArray[np.uint8] | LazyImage, name: str, path: Path | None, index: int) -> None:
        self.picture = image if isinstance(image, LazyImage) else LazyImage.of(image)
        self.name = name
        self.path = path
        self.index = index

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) of the picture, without decoding it."""
        return self.picture.size_hw

    @cached_property
    def image(self) -> NDArray[np.uint8]:
        """uint8 H×W×3, RGB, upright, in its own size.

        Raises:
            ImageError: the file is damaged behind its header.
        """
        return self.picture.read()[0]


def frames(source: Source, *, on_error: Callable[[ImageError], None] | None = None) -> Iterator[Frame]:
    """The pictures of a source, one after the other.

    Args:
        source: the path of a picture, of a folder (its pictures sorted by name, without subfolders) or of a video; a
            pattern such as ``shots/**/*.jpg`` (matches sorted by path); a uint8 H×W×3 RGB array; a list of paths of
            pictures or videos and of arrays; the number of a camera; or the address of a stream
            (``rtsp://…``, ``http://…``), as FFmpeg reads it.
        on_error: called with the error of each picture that cannot be read, which is then left out; without it the
            error is raised.

    Yields:
        Frames with upright RGB pictures in their own size.

    Raises:
        SourceError: nothing there, or a video, camera or stream that cannot be opened. One that breaks off gives its
            readable frames first, then this; so do a camera and a stream without a length when they end.
        ImageError: a picture that cannot be read (see `on_error`), or a folder without pictures.
    """
    for read in readers(source):
        try:
            frame = read()
            _ = frame.image  # decoded here, so that damage is told in its place
        except ImageError as error:
            if on_error is None:
                raise
            on_error(error)
        else:
            yield frame


def readers(source: Source) -> Iterator[Callable[[], Frame]]:
    """What opens each frame of a source, in order: several may be called at once, in any thread.

    The frames of a video, a camera or a stream are read while this is iterated, those of files when they are called
    for; a file's pixels are decoded when `Frame.image` is.

    Raises:
        SourceError, ImageError: as `frames` does; from the calls, those of single pictures.
    """
    index = 0
    for item, name in _items(source):
        if isinstance(item, (int, str)) or (isinstance(item, Path) and is_video(item)):
            for frame in _video(item, index):
                yield partial(_there, frame)
                index = frame.index + 1
        else:
            yield partial(_read, item, name, index)
            index += 1


def count(source: Source) -> int | None:
    """How many frames `frames` will give, where that is known beforehand; a video's own count may be off."""
    total = 0
    for item, _ in _items(source):
        if isinstance(item, (int, str)):
            return None
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


def is_live(source: Source) -> bool:
    """Whether pictures come in their own time: the number of a camera, or the address of a stream."""
    return _is_camera(source) or (isinstance(source, str) and _ADDRESS.match(source) is not None)


def is_single(source: Source) -> bool:
    """Whether a source is one picture: an array, or the path of a file that is no video."""
    if isinstance(source, np.ndarray):
        return True
    if not isinstance(source, (str, os.PathLike)) or is_live(source):
        return False
    return not (Path(source).is_dir() or is_video(source) or _is_pattern(source))


def _is_camera(source: Any) -> bool:
    return isinstance(source, (int, np.integer)) and not isinstance(source, bool)


def _items(source: Source) -> Iterator[tuple[Path | NDArray[np.uint8] | str | int, str]]:
    """Paths of files, arrays, addresses of streams and numbers of cameras, each with its name."""
    if isinstance(source, (int, np.integer)) and _is_camera(source):
        yield int(source), ""
    elif isinstance(source, str) and is_live(source):
        yield source, ""
    elif isinstance(source, (str, os.PathLike)):
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
                if is_live(str(item)):
                    raise SourceError(f"{_without_password(str(item))}: a stream within a list; give it alone")
                path = Path(item)
                if path.is_dir():
                    raise SourceError(f"{path}: a folder within a list; give the folder alone, or its files")
                yield path, path.as_posix()
            else:
                yield item, f"image_{i:06d}"
    else:
        raise SourceError(
            f"expected a path, a uint8 array H×W×3, a list of them, the number of a camera or the address of a stream "
            f"as the source of pictures, got {type(source).__name__}"
        )


def _file(path: Path) -> Path:
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder; check the path")
    return path


def _is_pattern(source: str | os.PathLike[str]) -> bool:
    return glob.has_magic(str(source)) and not Path(source).exists()


def _there(frame: Frame) -> Frame:
    return frame


def _read(item: Path | NDArray[np.uint8], name: str, index: int) -> Frame:
    """The frame of a file or an array."""
    if isinstance(item, Path):
        return Frame(open_image(item), name, item, index)
    try:
        check_image(item)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    return Frame(item, name, None, index)


def _video(source: Path | str | int, first: int) -> Iterator[Frame]:
    """The frames of a video, stream or camera, numbered from `first`, named by their place in it."""
    live = not isinstance(source, Path)
    path = source if isinstance(source, Path) else None
    shown, stem, hint = _describe(source)
    with _capture(source) as capture:
        if not capture.isOpened():
            raise SourceError(f"{shown}: {hint}")
        announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        number = 0
        while True:
            there, image = capture.read()
            if not there:
                break
            rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
            yield Frame(rgb, f"{stem}_{number:06d}", path, first + number)
            number += 1
    if number == 0:
        raise SourceError(f"{shown}: not one picture came; {hint}")
    # Containers state a duration rather than a count: a few frames less is the rule, not a loss.
    if number < announced - max(2, announced // 50):
        raise SourceError(
            f"{shown}: the video breaks off after {number} of {announced} frames; those before it are kept"
        )
    if live and announced <= 0:
        raise SourceError(f"{shown}: no more pictures came after {number}; those before are kept")


def _describe(source: Path | str | int) -> tuple[str, str, str]:
    """What a video is called in messages, the stem of its frames' names, and what to do where it gives nothing."""
    if isinstance(source, Path):
        if not _file(source).is_file():
            raise SourceError(f"{source}: not a file")
        hint = "OpenCV cannot open this video, or read its frames; play it to see whether it is whole, or convert it"
        return str(source), source.stem, hint
    if isinstance(source, int):
        hint = "there is no such camera, or another program has it; cameras are numbered from 0"
        return f"camera {source}", f"camera_{source}", hint
    shown = _without_password(source)
    hint = f"the stream cannot be opened, or sent nothing for {TIMEOUT:.0f} s; check address, network and password"
    return shown, PurePosixPath(urlsplit(source).path).stem or "stream", hint


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


@contextmanager
def _capture(source: Path | str | int) -> Iterator[cv2.VideoCapture]:
    """OpenCV's reader, closed at the end; what it prints where it cannot open something is said by our error."""
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        if isinstance(source, str):
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(TIMEOUT * 1000)]
            limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(TIMEOUT * 1000)]
            capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)
        else:
            capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
    finally:
        logging.setLogLevel(level)
    try:
        yield capture
    finally:
        capture.release()
