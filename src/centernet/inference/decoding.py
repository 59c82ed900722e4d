"""Decoding of videos and streams by PyAV.

No count, rate or suffix of a file is believed: images are those that the decoder gives, with their own times, upright,
in the colours that the file states, or players assume.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from centernet.images import LazyImage
from centernet.images.limits import ADVICE, most_pixels
from centernet.inference.frame import SourceError
from centernet.inference.shots import Clock, Shot, Video, turned

HD = 720
"""Lines from which on players take BT.709's matrix where a file states none, below BT.601's."""

_MAX_INT = 2**63 - 1
_PLAYLISTS = ("hls", "concat", "dash", "sdp", "imf", "webvtt")  # files of which the images are in others
_IMAGES = ("image2", "tty", "apng", "gif", "svg", "ico", "brender_pix")  # formats that are no videos to us, or text
_FULL_RANGE = ("yuvj", "gray")
_MATRICES = {1: "ITU709", 5: "ITU601", 6: "ITU601", 7: "ITU709", 9: "BT2020", 10: "BT2020"}  # ITU-T H.273, table 4
_NO_BT2020 = {"BT2020": "ITU709"}  # in PyAV before 15
_TOLD_LATER = 8  # images may come out after that of a damaged packet, as decoders put them in order
_MEASURED = 250  # packets that tell the frame rate


def open_video(av: Any, source: Path | str, timeout: float) -> Video:
    """Open a video file, or a stream by its address.

    Raises:
        SourceError: it cannot be opened, or has no video; the message lacks the name.
    """
    with ExitStack() as stack:
        container = stack.enter_context(_opened(av, source, timeout))
        stream = _video_stream(container, source)
        stream.codec_context.options = {"max_pixels": str(int(min(most_pixels(), _MAX_INT)))}
        is_live = not isinstance(source, Path) and container.duration is None
        stream.thread_type = "SLICE" if is_live else "AUTO"  # threads by frames hold several back
        return Video(_shots(av, container, stream, source, stack.pop_all()), is_live)


def holds_video(av: Any, path: Path) -> bool:
    """Return True if a file holds a video, by its content."""
    try:
        with _opened(av, path) as container:
            _video_stream(container, path)
            return True
    except SourceError:
        return False


def stated_length(av: Any, path: Path) -> tuple[int | None, float | None]:
    """Return about how many images a video file has, and its frame rate, by the times of the first ones."""
    try:
        with _opened(av, path) as container:
            stream = _video_stream(container, path)
            times, count = _first_times(av, container, stream)
            length = count if count < _MEASURED else None
            seconds = stream.duration * stream.time_base if stream.duration else (container.duration or 0) / 1e6
            if length is None and len(times) > 1 and times[-1] > times[0]:
                length = round(float(seconds) * (len(times) - 1) / (times[-1] - times[0]))
            rate = _usual_rate(times) or float(stream.average_rate or 0)
            return length or None, rate or None
    except SourceError:
        return None, None


@contextmanager
def opened_file(av: Any, path: Path) -> Iterator[Any]:
    """Open a file so that neither its name nor what is in it leads to other files or addresses."""
    with path.open("rb", buffering=0) as file:
        form = "mjpeg" if file.read(3) == b"\xff\xd8\xff" else None  # else many JPEGs would be an image
        file.seek(0)
        # A name such as clip%03d.png would be one of many files, and one with a colon an address without `file:`.
        name = f"/dev/fd/{file.fileno()}" if "%" in str(path) and os.path.isdir("/dev/fd") else str(path)
        options = {"protocol_whitelist": "file"}  # not `options`: PyAV before 17 crashes on streams that are found late
        with av.open(f"file:{name}", container_options=options, format=form) as container:
            yield container


@contextmanager
def _opened(av: Any, source: Path | str, timeout: float = 0) -> Iterator[Any]:
    with ExitStack() as stack:
        try:
            if isinstance(source, Path):
                container = stack.enter_context(opened_file(av, source))
            else:
                options = {"rtsp_transport": "tcp"}
                container = stack.enter_context(av.open(source, container_options=options, timeout=timeout))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SourceError(getattr(error, "strerror", None) or str(error)) from error
        yield container


def _video_stream(container: Any, source: Path | str) -> Any:
    """Return the stream of images that a player would show."""
    name, is_file = container.format.name, isinstance(source, Path)
    if is_file and name in _PLAYLISTS:
        raise SourceError("a list of other files, not a video; give those, or the address that the list is from")
    if is_file and (name in _IMAGES or name.endswith("_pipe")):
        raise SourceError("an image or a text, not a video")
    streams = [s for s in container.streams.video if not _is_cover(s) and s.codec_context is not None]
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise SourceError(f"there is no video in it that this FFmpeg decodes (it holds {kinds})")
    stream = max(streams, key=lambda s: s.width * s.height)
    if stream.width * stream.height > most_pixels():
        size = f"{stream.width}×{stream.height} pixels"
        raise SourceError(f"it says that its images have {size}, more than {most_pixels():.0f}; {ADVICE}")
    return stream


def _is_cover(stream: Any) -> bool:
    """Return True for the still image that goes with music."""
    flags = getattr(stream, "disposition", None)  # since PyAV 15
    return bool(getattr(flags, "value", 0) & 0x400)


def _first_times(av: Any, container: Any, stream: Any) -> tuple[list[float], int]:
    """Return the times of the first images that are shown, in order, and how many those are, without decoding them."""
    times, count = [], 0
    try:
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                count += 1
                times += [float(packet.pts * packet.time_base)] if packet.pts is not None else []
            if count == _MEASURED:
                break
    except av.FFmpegError:
        pass
    return sorted(times), count


def _usual_rate(times: list[float]) -> float | None:
    steps = [b - a for a, b in pairwise(times) if b > a]
    if not steps:
        return None
    usual = statistics.median(steps)
    return 1 / statistics.fmean(step for step in steps if 0.5 * usual <= step <= 1.5 * usual)  # as times are rounded


def _shots(av: Any, container: Any, stream: Any, source: Path | str, opened: ExitStack) -> Iterator[Shot]:
    """Decode image after image; packets that cannot be decoded are passed over, and said at the end."""
    rate = stream.average_rate or getattr(stream, "guessed_rate", None) or 25
    clock = Clock((container.start_time or 0) / 1e6, float(1 / rate))
    turns: dict[int, NDArray[np.int32] | None] = {}
    count = failures = 0
    damaged_at, reason = -_TOLD_LATER - 1, ""
    try:
        with opened:
            for packet in container.demux(stream):
                try:
                    images = packet.decode()
                except av.FFmpegError as error:
                    if count:  # before the first one a recording that begins between key frames is the rule
                        failures, damaged_at = failures + 1, count
                    reason = str(error.strerror)
                    continue
                for image in images:
                    count += 1
                    damaged_at = count if image.is_corrupt or packet.is_corrupt else damaged_at
                    time = clock(None if image.pts is None else float(image.pts * image.time_base))
                    duration = getattr(image, "duration", None)
                    duration = float(duration * image.time_base) if duration else None
                    yield Shot(_lazy(image, turns), time, duration)
            breaks_off = count - damaged_at <= _TOLD_LATER or _reaches_beyond(stream, source)
    except av.FFmpegError as error:
        breaks_off, reason = True, str(error.strerror)
    if breaks_off and count:
        raise SourceError(f"the video breaks off after {count} frames; those before it are kept")
    if failures:
        text = f"{failures} of its packets could not be decoded ({reason}); the {count} other frames are kept"
        raise SourceError(f"the video is damaged: {text}")
    if not count and reason:
        raise SourceError(f"not one image could be decoded ({reason})")


def _reaches_beyond(stream: Any, source: Path | str) -> bool:
    """Return True if a file ends before what its own structure says where images are."""
    if not isinstance(source, Path):
        return False
    size = os.path.getsize(source)
    entries = getattr(stream, "index_entries", None) or ()
    if any(entry.pos + entry.size > size for entry in entries):
        return True
    with source.open("rb") as file:
        head = file.read(4096)
    return _matroska_end(head) > size


def _matroska_end(head: bytes) -> int:
    """Return where the segment of a Matroska or WebM file ends, 0 where that is not stated (RFC 8794, RFC 9559)."""
    place = 0
    for expected in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):
        if head[place : place + 4] != expected or place + 5 > len(head):
            return 0
        length = 9 - head[place + 4].bit_length()
        if length > 8:
            return 0
        marked = int.from_bytes(head[place + 4 : place + 4 + length], "big")
        size = marked - (1 << 7 * length)
        if size == (1 << 7 * length) - 1:  # all ones: not known
            return 0
        place += 4 + length + (size if expected[0] == 0x1A else 0)
    return place + size


def _lazy(image: Any, turns: dict[int, NDArray[np.int32] | None]) -> LazyImage:
    """Return an image that is converted when it is asked for; `turns` holds the matrices of a video by their angles.

    An image that was asked for its side data holds itself until Python looks for circles: hundreds would pile up.
    """
    angle = image.rotation
    if angle not in turns:
        matrix = image.side_data.get("DISPLAYMATRIX")
        turns[angle] = None if matrix is None else np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)
    turn = turns[angle]
    size_hw = image.height, image.width
    if turn is not None and abs(turn[0, 1]) > abs(turn[0, 0]):
        size_hw = image.width, image.height
    return LazyImage(size_hw, partial(_pixels, image, turn))


def _pixels(image: Any, turn: NDArray[np.int32] | None, scale: float) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    pixels: NDArray[np.uint8] = to_rgb(image)
    return pixels if turn is None else turned(pixels, turn), (1.0, 1.0)


def to_rgb(image: Any) -> NDArray[np.uint8]:
    """Convert a decoded image to RGB, by the matrix and the range that it states."""
    form = image.format
    if form.is_rgb or "pal8" in form.name:
        return np.asarray(image.to_ndarray(format="rgb24"))
    matrix = _MATRICES.get(int(image.colorspace), "ITU709" if image.height >= HD else "ITU601")
    full = int(image.color_range) == 2 or (int(image.color_range) == 0 and form.name.startswith(_FULL_RANGE))
    if not hasattr(import_module("av.video.reformatter").Colorspace, matrix):
        matrix = _NO_BT2020[matrix]
    # PyAV before 15 sets nothing where both sides are equal. RGB has no matrix, so that its name does not matter.
    return np.asarray(
        image.reformat(
            format="rgb24", src_colorspace=matrix, dst_colorspace="ITU601" if matrix != "ITU601" else "ITU709",
            src_color_range="JPEG" if full else "MPEG", dst_color_range="JPEG",
        ).to_ndarray()
    )  # fmt: skip
