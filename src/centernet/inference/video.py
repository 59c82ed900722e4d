"""Writes a video of annotated frames: H.264 where an encoder is installed, else VP8; browsers play both.

PyAV (the extra `video`) brings H.264. A killed process leaves what can be played: MP4 in fragments, WebM has no index.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from centernet.detections import Detections
from centernet.drawing import Trails, draw
from centernet.images import Preprocessing
from centernet.inference.sources import Frame
from centernet.inference.writers import counted

H264_ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "h264_mf")
OPENCV_ENCODERS = ((".webm", "VP80", "VP8"), (".mp4", "mp4v", "MPEG-4"), (".avi", "MJPG", "MJPEG"))
INSTALL = "pip install 'centernet[video]'"


class _Encoder(NamedTuple):
    path: Path
    codec: str
    write: Callable[[NDArray[np.uint8]], None]
    close: Callable[[], None]


class VideoWriter:
    """Writes the frames with their boxes, and with the trails of identities, as one video.

    The size is that of the first frame; frames of other sizes are fitted into it.

    Args:
        path: of the video without a suffix: ``.mp4`` (H.264) or ``.webm`` (VP8) is added; its folder is made if needed.
        frame_rate: frames per second.
        trail_seconds: how far trails reach back.
    """

    def __init__(self, path: str | os.PathLike[str], *, frame_rate: float = 30.0, trail_seconds: float = 1.0) -> None:
        self.path, self.frame_rate = Path(path), frame_rate
        self._trails = Trails(max(1, round(trail_seconds * frame_rate)))
        self._encoder: _Encoder | None = None
        self._frames = 0

    def __enter__(self) -> VideoWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *error: object) -> None:
        """Finish the file, after an error too."""
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None

    def write(self, frame: Frame, detections: Detections) -> None:
        """Draw and encode a frame; an OSError where no encoder works, or the file cannot be written."""
        drawn = draw(self._trails.draw(frame.image, detections), detections)
        if self._encoder is None:
            height, width = drawn.shape[:2]
            self._odd = height % 2, width % 2  # H.264 takes even sizes
            self._encoder = _open(self.path, (height + height % 2, width + width % 2), self.frame_rate)
            self._codec, self.path = self._encoder.codec, self._encoder.path
            self._fit = Preprocessing((height, width), "letterbox", pad_value=0)
        if drawn.shape[:2] != self._fit.size:
            drawn = self._fit(drawn)
        if any(self._odd):
            drawn = np.pad(drawn, [(0, self._odd[0]), (0, self._odd[1]), (0, 0)], mode="edge")
        self._encoder.write(drawn)
        self._frames += 1

    def summary(self) -> str:
        hint = "" if self._codec == "H.264" else f"; for H.264: {INSTALL}"
        return f"{self.path} ({counted(self._frames, 'frame')}, {self._codec}{hint})"


def _open(path: Path, size: tuple[int, int], frame_rate: float) -> _Encoder:
    """Open the best encoder that there is."""
    try:
        import av  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        pass
    else:
        for name in H264_ENCODERS:
            if name in av.codecs_available:
                return _open_av(av, path.with_name(f"{path.name}.mp4"), name, size, frame_rate)
    for suffix, fourcc, codec in OPENCV_ENCODERS:
        file, code = path.with_name(f"{path.name}{suffix}"), cv2.VideoWriter.fourcc(*fourcc)
        with _without_messages():
            writer = cv2.VideoWriter(str(file), cv2.CAP_FFMPEG, code, frame_rate, size[::-1])
        if writer.isOpened():
            if codec != "VP8":
                text = f"{file}: only an encoder for {codec} was found, which browsers do not play; {INSTALL}"
                warnings.warn(text, stacklevel=3)
            return _Encoder(file, codec, partial(_write_bgr, writer), writer.release)
    raise OSError(
        f"{path}: no video of {size[1]}×{size[0]} can be written, neither by PyAV nor by OpenCV. Check that its folder "
        f"can be written to; {INSTALL}"
    )


def _write_bgr(writer: cv2.VideoWriter, image: NDArray[np.uint8]) -> None:
    writer.write(np.ascontiguousarray(image[..., ::-1]))


def _open_av(av: Any, path: Path, name: str, size: tuple[int, int], frame_rate: float) -> _Encoder:
    """Open H.264 in MP4, a fragment every two seconds; when it is finished the file is a plain MP4 again."""
    hybrid = av.library_versions["libavformat"] >= (61, 7)  # since FFmpeg 7.1
    flags = "hybrid_fragmented" if hybrid else "frag_keyframe+empty_moov+default_base_moof"
    container = av.open(str(path), "w", options={"movflags": flags, "flush_packets": "1"})
    stream = container.add_stream(name, rate=Fraction(frame_rate).limit_denominator(1001))
    stream.height, stream.width = size
    stream.pix_fmt = "yuv420p"  # the one that browsers play
    stream.gop_size = max(1, round(2 * frame_rate))
    if name == "libx264":
        stream.options = {"crf": "23", "preset": "veryfast"}
    numbers = count()

    def write(image: NDArray[np.uint8]) -> None:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts = next(numbers)
        container.mux(stream.encode(frame))

    def close() -> None:
        try:
            container.mux(stream.encode(None))
        finally:
            container.close()

    return _Encoder(path, "H.264", write, close)


@contextlib.contextmanager
def _without_messages() -> Iterator[None]:
    """Keep OpenCV from printing past Python that it doesn't know WebM's tags, and that an encoder isn't there."""
    saved = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
