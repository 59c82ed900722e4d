"""The sound of a source video, for the video that is written of it: copied where MP4 and browsers take it, else AAC."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from centernet.inference.decoding import opened_file

COPIED = ("aac", "opus", "flac")
TAIL = 0.5  # seconds by which sound may outlast the images, as files end


class Sound:
    """Adds the sound of a source to a container, packet by packet as its images are written.

    Args:
        av: PyAV's module.
        path: of the source.
        container: that is written, before its header is.
        start: seconds from the source's beginning at which the first image is shown.
    """

    def __init__(self, av: Any, path: Path, container: Any, start: float) -> None:
        self._av, self._path, self._container = av, path, container
        self._source: Any = None
        self._opened = ExitStack()
        self._packets: Iterator[tuple[float, list[Any]]] = iter(())
        self._next: tuple[float, list[Any]] | None = None
        try:
            self._source = self._opened.enter_context(opened_file(av, path))
            stream = next((s for s in self._source.streams.audio if s.codec_context is not None), None)
            if stream is None:
                return self._end()
            self._start = start + (self._source.start_time or 0) / 1e6
            name = stream.codec_context.name
            # AAC of MPEG-TS has no header of its own, which MP4 wants before the first packet.
            self._copied = name.startswith("mp3") or (name in COPIED and bool(stream.codec_context.extradata))
            if self._copied:
                self._output = container.add_stream_from_template(stream)
            else:
                self._output = container.add_stream("aac", rate=min(stream.codec_context.sample_rate, 48000))
                self._output.codec_context.layout = "mono" if stream.codec_context.channels == 1 else "stereo"
        except (av.FFmpegError, OSError, ValueError) as error:
            return self._fail(error)
        self._packets = self._timed(stream)
        self._next = next(self._packets, None)

    def write_until(self, seconds: float) -> None:
        """Write what is heard before a time of the output."""
        while self._source is not None and self._next is not None and self._next[0] < seconds:
            for packet in self._next[1]:
                self._container.mux(packet)
            self._next = next(self._packets, None)

    def close(self, seconds: float) -> None:
        """Write what is heard until the images end at a time, and close the source."""
        self.write_until(seconds + TAIL)
        if self._source is not None and not self._copied:
            for packet in self._output.encode(None):
                self._container.mux(packet)
        self._end()

    def _timed(self, stream: Any) -> Iterator[tuple[float, list[Any]]]:
        """Yield packets for the output with the time of each; their times count from the first image."""
        av = self._av
        try:
            for packet in self._source.demux(stream):
                if packet.pts is None or not packet.size:
                    continue
                base = packet.time_base
                time = float(packet.pts * base) - self._start
                if time < 0:  # before the first image, or what encoders put in front: fragments have no list of edits
                    continue
                if self._copied:
                    packet.pts -= round(self._start / float(base))
                    packet.dts = packet.pts
                    packet.stream = self._output
                    yield time, [packet]
                else:
                    yield time, self._encoded(packet)
        except (av.FFmpegError, ValueError) as error:
            self._fail(error)

    def _encoded(self, packet: Any) -> list[Any]:
        frames = packet.decode()
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= round(self._start / float(frame.time_base))
        return [made for frame in frames for made in self._output.encode(frame) if made.pts >= 0]

    def _fail(self, error: Exception) -> None:
        warnings.warn(f"{self._path}: its sound cannot be kept ({error}); the video goes on without it", stacklevel=5)
        self._end()

    def _end(self) -> None:
        self._next, self._packets = None, iter(())
        self._source = None
        self._opened.close()
