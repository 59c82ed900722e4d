"""Frame sources: image files, arrays, lists, folders, patterns, videos, cameras and streams behind one generator.

A frame is read when it is asked for and forgotten with it: memory doesn't grow with the source.
"""

from __future__ import annotations

import glob
import os
import re
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from centernet.annotations.mot import SequenceInfo
from centernet.annotations.problems import Reports
from centernet.images import ImageError, check_image, list_images, open_image
from centernet.inference.frame import Frame as Frame, SourceError as SourceError
from centernet.inference.moving import is_video, stated, video_frames, without_password

Item: TypeAlias = "str | os.PathLike[str] | NDArray[np.uint8]"
SourceLike: TypeAlias = "Source | Item | Sequence[Item] | int"
ErrorHandler: TypeAlias = Callable[[ImageError], None]
SourceKind: TypeAlias = Literal["image", "list", "folder", "pattern", "video", "camera", "stream"]

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


@dataclass(frozen=True, eq=False)
class Source:
    """A source of frames, as `open_source` found it.

    Its items are paths of images and videos, arrays, the address of a stream or the number of a camera. With `every`
    one frame of so many is read, the first of each; numbers and times of frames stay the source's.
    """

    kind: SourceKind  # `image` is a single one, by its path or as an array
    items: Sequence[Item | int]
    folder: Path | None = None  # of the frames, for the kind `folder`
    every: int = 1
    rate: float | None = None  # frames per second of videos, whatever they state

    @property
    def live(self) -> bool:
        """True where images come in their own time: from a camera or a stream."""
        return self.kind in ("camera", "stream")

    @property
    def is_moving(self) -> bool:
        """True where an item gives several frames: a video, camera or stream."""
        return self.live or any(map(self._moves, self.items))

    @cached_property
    def length(self) -> int | None:
        """Number of frames, where it is known beforehand; that of a video is what its duration suggests."""
        if self.live:
            return None
        counts = [stated(item)[0] if self._moves(item) else 1 for item in self.items]
        known = [count for count in counts if count is not None]
        return -(-sum(known) // self.every) if len(known) == len(counts) else None

    @cached_property
    def frame_rate(self) -> float | None:
        """Frames per second of a video file, or that the seqinfo.ini of a folder states; None for other sources."""
        if self.rate is not None:
            return self.rate
        if self.sequence is not None:
            return self.sequence.frame_rate
        return stated(self.items[0])[1] if self.kind == "video" else None

    @cached_property
    def sequence(self) -> SequenceInfo | None:
        """The seqinfo.ini of MOTChallenge that stands beside a folder of frames, or above it."""
        if self.folder is None:
            return None
        return next(filter(None, map(read_sequence_info, (self.folder, self.folder.parent))), None)

    @property
    def parts(self) -> list[Source]:
        """Return the stretches of time of a source: each video alone, and the images between videos together."""
        parts: list[Source] = []
        for moving, items in groupby(self.items, self._moves):
            if moving:
                parts += [Source("video", [item], every=self.every, rate=self.rate) for item in items]
            else:
                parts.append(replace(self, items=list(items)))
        return parts if len(parts) > 1 else [self]

    def readers(self) -> Iterator[Callable[[], Frame]]:
        """Iterate over functions that open each frame, in order: several may be called at once, in any thread.

        The frames of a video, a camera or a stream are read while this is iterated, those of files when they are called
        for; a file's pixels are decoded when `Frame.image` is. Errors are those of `frames`.
        """
        with closing(self._all_readers()) as readers:
            yield from islice(readers, 0, None, self.every)

    def _all_readers(self) -> Generator[Callable[[], Frame]]:
        index = 0
        for number, item in enumerate(self.items):
            if self.live or self._moves(item):
                video: Any = item if self.live else Path(item)  # type: ignore[arg-type]
                start = index
                for frame in video_frames(video, index):
                    if self.rate is not None and not self.live:
                        frame.time = (frame.index - start) / self.rate
                    if self.rate is not None or self.every > 1:
                        frame.duration = None
                    yield lambda frame=frame: frame  # type: ignore[misc]
                    index = frame.index + 1
            else:
                yield partial(_open_item, item, self._name(item, number), index)
                index += 1

    def _moves(self, item: Item | int) -> bool:
        """Return True for an item of several frames. Of an animation among the images of a folder the first counts."""
        return self.folder is None and is_video(item)

    def _name(self, item: Item | int, number: int) -> str:
        """Return the name of the frame of an image."""
        if not isinstance(item, (str, os.PathLike)):
            return f"image_{number:06d}"
        if self.folder is not None:
            return Path(item).relative_to(self.folder).as_posix()
        return Path(item).name if self.kind == "image" else Path(item).as_posix()


def open_source(source: SourceLike) -> Source:
    """Find out what a source is. Its files are opened when they are read.

    Args:
        source: the path of an image, of a folder (its images sorted by name, without subfolders; of a sequence of
            MOTChallenge its frames) or of a video; a pattern such as ``shots/**/*.jpg`` (matches sorted by path); a
            uint8 H×W×3 RGB array; a list of paths of images or videos and of arrays; the number of a camera; the
            address of a stream (``rtsp://…``, ``http://…``), as FFmpeg reads it; or a `Source`, which is returned.

    Raises:
        SourceError: there is nothing, or no source.
        ImageError: a folder without images.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, np.ndarray):
        return Source("image", [source])
    if isinstance(source, (int, np.integer)) and not isinstance(source, bool):
        return Source("camera", [int(source)])
    if isinstance(source, (str, os.PathLike)):
        is_stream = isinstance(source, str) and _ADDRESS.match(source)
        return Source("stream", [source]) if is_stream else _open_path(Path(source))
    if not isinstance(source, Sequence):
        kinds = "a path, a uint8 array H×W×3, a list of them, the number of a camera or the address of a stream"
        raise SourceError(f"expected {kinds} as the source of images, got {type(source).__name__}")
    for item in (str(item) for item in source if isinstance(item, (str, os.PathLike))):
        if _ADDRESS.match(item):
            raise SourceError(f"{without_password(item)}: a stream within a list; give it alone")
        if Path(item).is_dir():
            raise SourceError(f"{Path(item)}: a folder within a list; give the folder alone, or its files")
    return Source("list", source)


def frames(source: SourceLike, *, on_error: ErrorHandler | None = None) -> Iterator[Frame]:
    """Read the frames of a source, one after the other.

    Args:
        source: what `open_source` takes.
        on_error: called with the error of each image that cannot be read, which is then left out; without it the
            error is raised.

    Raises:
        SourceError: nothing there, or a video, camera or stream that cannot be opened. One that breaks off gives its
            readable frames first, then this; so do a camera and a stream without a length when they end.
        ImageError: an image that cannot be read (see `on_error`), or a folder without images.
    """
    for read in open_source(source).readers():
        try:
            frame = read()
            _ = frame.image  # decoded here, so that damage is told in its place
        except ImageError as error:
            if on_error is None:
                raise
            on_error(error)
        else:
            yield frame


def read_sequence_info(folder: Path) -> SequenceInfo | None:
    """Read MOTChallenge's seqinfo.ini; None where a folder has none. Problems with it are warnings."""
    if not (folder / "seqinfo.ini").is_file():
        return None
    report = Reports(strict=False)
    info = SequenceInfo.read(folder, report)
    for problem in report.found:
        warnings.warn(str(problem), stacklevel=2)
    return info


def _open_path(path: Path) -> Source:
    if path.is_dir():
        info = read_sequence_info(path)
        if info is not None and (path / info.images).is_dir():
            path /= info.images
        return Source("folder", list_images(path), path)
    if path.exists():
        return Source("video" if is_video(path) else "image", [path])
    if not glob.has_magic(str(path)):
        raise SourceError(f"{path}: no such file or folder; check the path")
    matches = sorted(name for name in glob.glob(str(path), recursive=True) if Path(name).is_file())
    if not matches:
        raise SourceError(f"{path}: no file has such a name; check the pattern, and quote it in a shell")
    return Source("pattern", matches)


def _open_item(item: Any, name: str, index: int) -> Frame:
    """Open an image by its path, or check an array."""
    if isinstance(item, (str, os.PathLike)):
        return Frame(open_image(Path(item)), name, Path(item), index)
    try:
        check_image(item)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    return Frame(item, name, None, index)
