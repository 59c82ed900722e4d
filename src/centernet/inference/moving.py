"""Frames of videos, animations, cameras and streams: by PyAV where it is installed, else by OpenCV.

What a file is tells its content, not its name.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np

from centernet.files import open_file
from centernet.images import LazyImage
from centernet.images.limits import ADVICE, most_pixels
from centernet.inference import decoding
from centernet.inference.animations import animation, count_frames, is_container
from centernet.inference.frame import Frame, SourceError
from centernet.inference.live import newest
from centernet.inference.shots import INSTALL, Clock, Shot, Video
from centernet.remote import without_password

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts", ".3gp", ".ogv"),
    *(".mjpg", ".mjpeg", ".m2ts", ".asf", ".vob", ".h264", ".264", ".h265", ".hevc", ".ivf", ".y4m", ".mxf"),
)
"""Suffixes, in lower case, by which a file counts as a video where its content does not tell, as it is damaged."""

TIMEOUT = 10.0
"""Seconds after which a stream that cannot be opened, or sends nothing, is given up."""

_JPEG = b"\xff\xd8\xff"
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"v=0\r", b"v=0\n", b"<?xml", b"<MPD", b"[playlist]")
_STILL = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"crx ", b"jp2 ", b"jpx ")  # brands of ISO's container


def import_av() -> Any:
    """Return the module of PyAV, None where it is not installed."""
    try:
        import av  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return None
    return av


def is_video(item: Any) -> bool:
    """Return True for the path of a file with several images: a video, an animation, or a TIFF of several pages."""
    if not isinstance(item, (str, os.PathLike)):
        return False
    try:
        return _is_video(os.fspath(item), os.stat(item).st_mtime_ns)
    except (OSError, ValueError):
        return _has_suffix(item)


@lru_cache(maxsize=1 << 16)
def _is_video(name: str, _: int) -> bool:
    path = Path(name)
    if not path.is_file():
        return False
    if not path.stat().st_size:
        return _has_suffix(path)
    head = _head(path)
    if head.startswith(_JPEG):  # also how a stream of many JPEGs begins
        return path.suffix.lower() in (".mjpg", ".mjpeg")
    if head[4:8] == b"ftyp" and head[8:12] in _STILL:
        return False
    if is_container(head):
        return True
    frames = count_frames(path)
    if frames or head.startswith(_PLAYLISTS) or _has_suffix(path):
        return frames != 1
    av = import_av()
    if av is not None:
        return decoding.holds_video(av, path)
    with _capture(path) as capture:
        return capture.isOpened() and int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) != 1


def _head(path: Path) -> bytes:
    """Return the first bytes of a file, by which its kind is known."""
    with open_file(path) as file:
        return file.read(16)


def _has_suffix(path: str | os.PathLike[str]) -> bool:
    return os.fspath(path).lower().endswith(VIDEO_SUFFIXES)


def stated(path: Any) -> tuple[int | None, float | None]:
    """Return about how many images a video has, for a progress bar, and its frame rate, as far as they are known."""
    if not os.stat(path).st_size:
        return None, None
    head = _head(Path(path))
    if not is_container(head) and (frames := count_frames(Path(path))) > 1:
        return frames, None
    av = import_av()
    if av is not None:
        return decoding.stated_length(av, Path(path))
    with _capture(Path(path)) as capture:
        number, rate = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), float(capture.get(cv2.CAP_PROP_FPS))
    return number if number > 0 else None, rate if 0.01 < rate < 1000 else None


def video_frames(source: Path | str | int, first: int) -> Iterator[Frame]:
    """Read the frames of a video, stream or camera, numbered from `first`, named by their place in it.

    Raises:
        SourceError: it cannot be opened, breaks off or is damaged, after what was read before.
    """
    path = source if isinstance(source, Path) else None
    shown, stem, hint = _describe(source)
    number = -1
    try:
        try:
            video = _open(source)
        except SourceError as error:
            raise SourceError(f"{hint} ({error})" if str(error) else hint) from error
        reopen = partial(_open, source) if isinstance(source, str) else None
        shots = newest(video, reopen, shown) if video.is_live else enumerate(video.shots)
        for number, shot in shots:
            name, index = f"{stem}_{number:06d}", first + number
            yield Frame(shot.image, name, path, index, shot.time, duration=shot.duration, is_part=True)
        if number < 0:
            raise SourceError(f"not one image came; {hint}")
    except SourceError as error:
        text = str(error) if number >= 0 or hint in str(error) else f"{error}; {hint}"
        raise SourceError(f"{shown}: {text}") from error


def _open(source: Path | str | int) -> Video:
    """Open a video, a stream or a camera."""
    if isinstance(source, Path):
        head = _head(source)
        if not is_container(head):  # of which Pillow would ask all that it knows
            if count_frames(source) > 1:
                return Video(animation(source))
            if head.startswith(_PLAYLISTS):
                raise SourceError("it is a list of other files; give those, or the address that the list is from")
    if isinstance(source, int) or (av := import_av()) is None:
        return _open_with_opencv(source)
    return decoding.open_video(av, source, TIMEOUT)


def _open_with_opencv(source: Path | str | int) -> Video:
    is_file = isinstance(source, Path)
    manager = _capture(source)
    capture = manager.__enter__()
    if not capture.isOpened():
        manager.__exit__(None, None, None)
        raise SourceError("")
    width, height = (int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > most_pixels():
        manager.__exit__(None, None, None)
        text = f"it says that its images have {width}×{height} pixels, more than {most_pixels():.0f}"
        raise SourceError(f"{text}; {ADVICE}")
    announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    clock = Clock(0.0, 1 / rate if 0.01 < rate < 1000 else 0.04)

    def shots() -> Iterator[Shot]:
        count, time = 0, 0.0
        try:
            while (read := capture.read())[0]:
                rgb = cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
                stated = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
                count += 1
                time = clock(stated if stated > 0 or count == 1 else None)
                yield Shot(LazyImage.of(rgb), time)
        finally:
            manager.__exit__(None, None, None)
        if is_file and count and max(count, time * rate) < announced - max(2, announced // 50):
            text = f"{source}: {count} images came, its header says {announced}; PyAV can tell whether one is missing"
            warnings.warn(f"{text}: {INSTALL}", stacklevel=4)

    return Video(shots(), is_live=not is_file and announced <= 0)


_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_VIDEOS = "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,asf,flv,ogg,ivf,yuv4mpegpipe,mxf,mjpeg,obu,av1"
_environment = Lock()


def _open_file(path: Path) -> cv2.VideoCapture:
    """Open a file by OpenCV's FFmpeg, so that neither its name nor what is in it leads to other files or addresses."""
    with _environment:
        before = os.environ.get(_OPTIONS)
        os.environ[_OPTIONS] = f"protocol_whitelist;file|format_whitelist;{_VIDEOS}"
        try:
            return cv2.VideoCapture(f"file:{os.path.abspath(path)}", cv2.CAP_FFMPEG)
        finally:
            if before is None:
                del os.environ[_OPTIONS]
            else:
                os.environ[_OPTIONS] = before


def _describe(source: Path | str | int) -> tuple[str, str, str]:
    """Return what a video is called in messages, the stem of its frames' names, and what to do if it gives nothing."""
    if isinstance(source, Path):
        if not source.is_file():
            problem = "not a file" if source.exists() else "no such file or folder; check the path"
            raise SourceError(f"{source}: {problem}")
        if not source.stat().st_size:
            raise SourceError(f"{source}: the file is empty (0 bytes); copy or download it again")
        how = "PyAV" if import_av() is not None else f"OpenCV (PyAV opens more: {INSTALL})"
        hint = f"{how} cannot open this video, or read its frames; play it to see whether it is whole, or convert it"
        return str(source), source.stem, hint
    if isinstance(source, int):
        hint = "there is no such camera, or another program has it; cameras are numbered from 0"
        return f"camera {source}", f"camera_{source}", hint
    shown = without_password(source)
    hint = f"the stream cannot be opened, or sent nothing for {TIMEOUT:.0f} s; check address, network and password"
    return shown, PurePosixPath(urlsplit(source).path).stem or "stream", hint


@contextmanager
def _capture(source: Path | str | int) -> Iterator[cv2.VideoCapture]:
    """Open OpenCV's reader, and close it at the end. It prints nothing: our errors say what it cannot open."""
    logging: Any = getattr(cv2.utils, "logging", cv2)  # where OpenCV 4.9 has these functions
    level = logging.getLogLevel()
    logging.setLogLevel(getattr(logging, "LOG_LEVEL_SILENT", 0))
    try:
        if isinstance(source, str):
            keys = cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC
            limits = [value for key in keys for value in (key, int(TIMEOUT * 1000))]
            capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)
        else:
            capture = cv2.VideoCapture(source) if isinstance(source, int) else _open_file(source)
    finally:
        logging.setLogLevel(level)
    try:
        yield capture
    finally:
        capture.release()
