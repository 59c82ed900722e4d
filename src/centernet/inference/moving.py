"""Frames of videos, cameras and streams."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np

from centernet.inference.frame import Frame, SourceError

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts", ".3gp", ".ogv"),
    *(".mjpg", ".mjpeg"),
)
"""Suffixes, in lower case, by which a file counts as a video."""

TIMEOUT = 10.0
"""Seconds after which a stream that cannot be opened, or sends nothing, is given up."""


def is_video(item: Any) -> bool:
    """Return True for the path of a video."""
    return isinstance(item, (str, os.PathLike)) and str(item).lower().endswith(VIDEO_SUFFIXES)


def stated(path: Any) -> tuple[int, float | None]:
    """Return the number of frames that a video file states, 0 for none, and its frame rate, where that is sensible."""
    capture = cv2.VideoCapture(str(path))
    number, rate = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), float(capture.get(cv2.CAP_PROP_FPS))
    capture.release()
    return max(0, number), rate if 0.01 < rate < 1000 else None


def video_frames(source: Path | str | int, first: int) -> Iterator[Frame]:
    """Read the frames of a video, stream or camera, numbered from `first`, named by their place in it."""
    path = source if isinstance(source, Path) else None
    shown, stem, hint = _describe(source)
    with _capture(source) as capture:
        if not capture.isOpened():
            raise SourceError(f"{shown}: {hint}")
        announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        number = 0
        while (read := capture.read())[0]:
            rgb = cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
            yield Frame(rgb, f"{stem}_{number:06d}", path, first + number, is_part=True)
            number += 1
    problem = "" if path or announced > 0 else f"no more images came after {number}; those before are kept"
    # Containers state a duration rather than a count: a few frames less is the rule, not a loss.
    if number < announced - max(2, announced // 50):
        problem = f"the video breaks off after {number} of {announced} frames; those before it are kept"
    if number == 0:
        problem = f"not one image came; {hint}"
    if problem:
        raise SourceError(f"{shown}: {problem}")


def _describe(source: Path | str | int) -> tuple[str, str, str]:
    """Return what a video is called in messages, the stem of its frames' names, and what to do if it gives nothing."""
    if isinstance(source, Path):
        if not source.is_file():
            problem = "not a file" if source.exists() else "no such file or folder; check the path"
            raise SourceError(f"{source}: {problem}")
        hint = "OpenCV cannot open this video, or read its frames; play it to see whether it is whole, or convert it"
        return str(source), source.stem, hint
    if isinstance(source, int):
        hint = "there is no such camera, or another program has it; cameras are numbered from 0"
        return f"camera {source}", f"camera_{source}", hint
    shown = without_password(source)
    hint = f"the stream cannot be opened, or sent nothing for {TIMEOUT:.0f} s; check address, network and password"
    return shown, PurePosixPath(urlsplit(source).path).stem or "stream", hint


def without_password(address: str) -> str:
    """Return an address without user, password and query, to be shown."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


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
            capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
    finally:
        logging.setLogLevel(level)
    try:
        yield capture
    finally:
        capture.release()
