"""Writes a video of annotated frames: H.264 where an encoder is installed, else VP8; browsers play both.

PyAV (the extra `video`) brings H.264, the times of frames as they are, and the sound of the source. A killed process
leaves what can be played: MP4 in fragments, WebM has no index.
"""

from __future__ import annotations

import contextlib
import errno
import os
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from centernet.detections import Detections
from centernet.drawing import Trails, draw
from centernet.images import Preprocessing
from centernet.inference.decoding import HD
from centernet.inference.frame import Frame
from centernet.inference.guard import Inputs
from centernet.inference.moving import import_av
from centernet.inference.shots import INSTALL, Clock
from centernet.inference.sound import Sound
from centernet.inference.writers import counted
from centernet.whole import explaining, is_full

H264_ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "h264_mf")
OPENCV_ENCODERS = ((".webm", "VP80", "VP8"), (".mp4", "mp4v", "MPEG-4"), (".avi", "MJPG", "MJPEG"))
TIMESCALE = 90_000  # ticks a second at least, as in MPEG
LONGEST_STILL = 600.0  # seconds for which OpenCV's encoders repeat an image; a longer pause is cut to it


class _Encoder(Protocol):
    path: Path
    codec: str

    def write(self, image: NDArray[np.uint8], time: float) -> None:
        """Add an image that is shown from a time on, in seconds."""

    def close(self, end: float) -> None:
        """Finish the file; the last image is shown until this time."""

    def abandon(self) -> None:
        """Give up a file without frames."""


class VideoWriter:
    """Writes the frames with their boxes, and with the trails of identities, as one video.

    The size is that of the first frame; frames of other sizes are fitted into it. Frames are shown when they are in
    their source, by their `time`; those without one follow one another at the frame rate.

    Args:
        path: of the video without a suffix: ``.mp4`` (H.264) or ``.webm`` (VP8) is added; its folder is made if needed.
        frame_rate: frames per second, where frames have no times; where they have, the usual number.
        trail_seconds: how far trails reach back.
        audio: keep the sound of the video that the first frame is from, which needs PyAV.
        drawing: options of `centernet.drawing.draw`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        frame_rate: float = 30.0,
        trail_seconds: float = 1.0,
        audio: bool = True,
        **drawing: Any,
    ) -> None:
        self.path, self.frame_rate, self.audio, self.drawing = Path(path), frame_rate, audio, drawing
        self._trails = Trails(max(1, round(trail_seconds * frame_rate)))
        self._encoder: _Encoder | None = None
        self._frames = 0
        self._time, self._step = 0.0, 1 / frame_rate  # seconds, of the last frame
        self._duration: float | None = None
        self._clock = Clock(0.0, self._step)

    def protect(self, inputs: Inputs) -> None:
        """Raise a ValueError where the file, of whichever format it becomes, is one of the inputs."""
        inputs.check(*(self.path.with_name(f"{self.path.name}{suffix}") for suffix, _, _ in OPENCV_ENCODERS))

    def __enter__(self) -> VideoWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *error: object) -> None:
        """Finish the file, after an error too."""
        if self._encoder is not None:
            self._encoder.close(self._time + (self._duration or self._step))
            self._encoder = None

    def write(self, frame: Frame, detections: Detections) -> None:
        """Draw and encode a frame; an OSError where no encoder works, or the file cannot be written.

        An image that the encoder refuses, as one that is too long for H.264, is a ValueError; others may follow.
        """
        drawn = draw(self._trails.draw(frame.image, detections), detections, **self.drawing)
        if self._encoder is None:
            self.protect(Inputs([frame.path]))
            self._begin(frame, drawn.shape[:2])
        assert self._encoder is not None
        if drawn.shape[:2] != self._fit.size:
            drawn = self._fit(drawn)
        if any(self._odd):
            drawn = np.pad(drawn, [(0, self._odd[0]), (0, self._odd[1]), (0, 0)], mode="edge")
        before, self._time, self._duration = self._time, self._clock(frame.time), frame.duration
        self._step = self._time - before if self._frames else self._step
        try:
            self._encoder.write(drawn, self._time)
        except OSError:
            raise
        except Exception as error:  # FFmpeg's
            if not self._frames:  # the encoder is only open for this size
                self._encoder.abandon()
                self._encoder, self.path = None, self.path.with_suffix("")
            height, width = drawn.shape[:2]
            raise ValueError(f"an image of {width}×{height} cannot be encoded as {self._codec} ({error})") from error
        self._frames += 1

    def summary(self) -> str:
        hint = "" if self._codec == "H.264" else f"; for H.264, exact times and the source's sound: {INSTALL}"
        return f"{self.path} ({counted(self._frames, 'frame')}, {self._codec}{hint})"

    def _begin(self, frame: Frame, size_hw: tuple[int, int]) -> None:
        """Open the best encoder that there is for frames like the first one."""
        height, width = size_hw
        self._odd = height % 2, width % 2  # H.264 takes even sizes
        size = height + height % 2, width + width % 2
        self._fit = Preprocessing((height, width), "letterbox", pad_value=0)
        self._clock = Clock(frame.time or 0.0, self._step)
        av = import_av()
        codec = next((name for name in H264_ENCODERS if name in av.codecs_available), None) if av else None
        if codec is not None:
            encoder: _Encoder = _AvEncoder(av, self.path, codec, size, self.frame_rate)
            if self.audio and frame.path is not None and not frame.is_file:
                encoder.add_sound(frame.path, frame.time or 0.0)  # type: ignore[attr-defined]
        else:
            encoder = _OpenCvEncoder(self.path, size, self.frame_rate)
        self._encoder, self._codec, self.path = encoder, encoder.codec, encoder.path


class _OpenCvEncoder:
    """Encodes at a constant rate: images are repeated or left out so that they are shown at their times."""

    def __init__(self, path: Path, size: tuple[int, int], frame_rate: float) -> None:
        self._rate, self._written = frame_rate, 0
        self._last: NDArray[np.uint8] | None = None
        for suffix, fourcc, codec in OPENCV_ENCODERS:
            file, code = path.with_name(f"{path.name}{suffix}"), cv2.VideoWriter.fourcc(*fourcc)
            with _without_messages():
                self._writer = cv2.VideoWriter(str(file), cv2.CAP_FFMPEG, code, frame_rate, size[::-1])
            if self._writer.isOpened():
                self.path, self.codec = file, codec
                break
        else:
            raise OSError(
                f"{path}: no video of {size[1]}×{size[0]} can be written, neither by PyAV nor by OpenCV. Check that "
                f"its folder can be written to; {INSTALL}"
            )
        if self.codec != "VP8":
            text = f"{file}: only an encoder for {codec} was found, which browsers do not play; {INSTALL}"
            warnings.warn(text, stacklevel=4)

    def write(self, image: NDArray[np.uint8], time: float) -> None:
        late = time * self._rate - self._written
        if late > LONGEST_STILL * self._rate:
            text = f"{self.path}: a pause of {late / self._rate:.0f} s is cut to {LONGEST_STILL:.0f} s; {INSTALL}"
            warnings.warn(text, stacklevel=4)
            late = LONGEST_STILL * self._rate
        self._repeat(late)
        if late > -0.75:  # else there is no room for it
            self._put(image)

    def close(self, end: float) -> None:
        self._repeat(min(end * self._rate - self._written, LONGEST_STILL * self._rate))
        self._writer.release()
        with explaining(self.path):  # OpenCV does not say what it could not write
            if not self.path.is_file() or not self.path.stat().st_size or is_full(self.path.parent):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def abandon(self) -> None:
        """Give up a file without frames."""
        self._writer.release()
        self.path.unlink(missing_ok=True)

    def _repeat(self, late: float) -> None:
        for _ in range(round(late) if late > 0.75 and self._last is not None else 0):
            self._put(self._last)

    def _put(self, image: NDArray[np.uint8] | None) -> None:
        assert image is not None
        self._last = image
        self._writer.write(np.ascontiguousarray(image[..., ::-1]))
        self._written += 1


class _AvEncoder:
    """Encodes H.264 in MP4, a fragment every two seconds; when it is finished the file is a plain MP4 again."""

    codec = "H.264"

    def __init__(self, av: Any, path: Path, name: str, size: tuple[int, int], frame_rate: float) -> None:
        self.path = path.with_name(f"{path.name}.mp4")
        hybrid = av.library_versions["libavformat"] >= (61, 7)  # since FFmpeg 7.1
        flags = "hybrid_fragmented" if hybrid else "frag_keyframe+empty_moov+default_base_moof"
        self._av = av
        self._sound: Sound | None = None
        self._container = av.open(f"file:{self.path}", "w", options={"movflags": flags, "flush_packets": "1"})
        rate = Fraction(frame_rate).limit_denominator(1001)
        self._scale = rate.numerator * -(-TIMESCALE // rate.numerator)  # so that frames last whole ticks
        stream = self._container.add_stream(name, rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"  # the one that browsers play
        stream.gop_size = max(1, round(2 * frame_rate))
        stream.codec_context.max_b_frames = 0  # else all times begin later, as fragments have no list of edits
        stream.time_base = stream.codec_context.time_base = Fraction(1, self._scale)
        if name == "libx264":
            stream.options = {"crf": "23", "preset": "veryfast"}
        # RGB is BT.709's but for the transfer, which players take for the same; the matrix is the one of the size.
        self._matrix = "ITU709" if size[0] >= HD else "ITU601"
        context = stream.codec_context
        context.colorspace, context.color_range = (1 if size[0] >= HD else 6), 1
        context.color_primaries = context.color_trc = 1
        self._stream, self._last = stream, -1
        self._lasts: dict[int, int] = {}  # ticks for which images are shown, by when they begin

    def add_sound(self, path: Path, start: float) -> None:
        """Add the sound of the source, from a time of it on; nothing where it has none."""
        self._sound = Sound(self._av, path, self._container, start)

    def write(self, image: NDArray[np.uint8], time: float) -> None:
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame = frame.reformat(
            format="yuv420p", src_colorspace=self._matrix, dst_colorspace=self._matrix, src_color_range="JPEG",
            dst_color_range="MPEG",
        )  # fmt: skip
        frame.pts, frame.time_base = max(round(time * self._scale), self._last + 1), Fraction(1, self._scale)
        self._lasts[self._last], self._last = frame.pts - self._last, frame.pts
        self._mux(self._stream.encode(frame))
        if self._sound is not None:
            self._sound.write_until(time)

    def close(self, end: float) -> None:
        self._lasts[self._last] = max(1, round(end * self._scale) - self._last)
        try:
            self._mux(self._stream.encode(None))
            if self._sound is not None:
                self._sound.close(end)
        finally:
            self._container.close()

    def abandon(self) -> None:
        """Give up a file without frames."""
        with contextlib.suppress(Exception):
            self._container.close()
        self.path.unlink(missing_ok=True)

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self._lasts.pop(packet.pts, None) or packet.duration or 0
            self._container.mux(packet)


@contextlib.contextmanager
def _without_messages() -> Iterator[None]:
    """Keep OpenCV from printing past Python that it doesn't know WebM's tags, and that an encoder isn't there."""
    try:
        saved = os.dup(2)
    except OSError:  # a service without standard error
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
