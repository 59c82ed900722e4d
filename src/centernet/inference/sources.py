"""Frame sources: images in files, memory and on the web, folders, patterns, videos, cameras behind one generator.

A frame is read when it is asked for and forgotten with it: memory doesn't grow with the source.
"""

from __future__ import annotations

import glob
import io
import os
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from numpy.typing import NDArray

from centernet.annotations.mot import SequenceInfo
from centernet.annotations.problems import Reports
from centernet.files import NamedBytes
from centernet.images import (
    EXPECTED,
    IMAGE_SUFFIXES,
    ImageError,
    as_rgb,
    is_image,
    list_images,
    natural_order,
    open_image,
    own_copy,
    walk_files,
)
from centernet.images.kinds import RAW_SUFFIXES
from centernet.inference.addresses import download_image, image_name, is_on_the_web
from centernet.inference.frame import Frame as Frame, SourceError as SourceError
from centernet.inference.moving import VIDEO_SUFFIXES, is_video, stated, video_frames
from centernet.remote import is_address, without_password

if TYPE_CHECKING:
    import torch
    from PIL import Image

Item: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO | NDArray[np.uint8] | Image.Image | torch.Tensor"
SourceLike: TypeAlias = "Source | Item | Iterable[Item] | int"
ErrorHandler: TypeAlias = Callable[[ImageError], None]
SourceKind: TypeAlias = Literal["image", "list", "generator", "folder", "pattern", "video", "camera", "stream"]


@dataclass(frozen=True, eq=False)
class Source:
    """A source of frames, as `open_source` found it.

    Its items are paths of images and videos, images in memory, addresses, or the number of a camera. With `every` one
    frame of so many is read, the first of each; numbers and times of frames stay the source's.
    """

    kind: SourceKind  # `image` is a single one
    items: Sequence[Item | int]
    folder: Path | None = None  # of the frames, for the kind `folder`
    every: int = 1
    rate: float | None = None  # frames per second of videos, whatever they state
    bgr: bool = False  # the channels of arrays and tensors are blue, green, red
    iterator: Iterator[Item] | None = None  # for the kind `generator`, which has no items and is read once
    left_out: tuple[str, ...] = ()  # what else is in the folder, for people

    @property
    def files(self) -> list[Any]:
        """Return the items that are files by their paths."""
        return [item for item in self.items if isinstance(item, (str, os.PathLike)) and not is_address(item)]

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
        if self.live or self.iterator is not None:
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
        index, said = 0, set[str]()
        for number, item in enumerate(self.items if self.iterator is None else self.iterator):
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
                own = item if self.iterator is None else own_copy(item)  # it may fill one array again and again
                yield partial(_open_item, own, self._name(item, number), index, self.bgr, said)
                index += 1

    def _moves(self, item: Item | int) -> bool:
        """Return True for an item of several frames. Of an animation among the images of a folder the first counts."""
        return self.folder is None and is_video(item)

    def _name(self, item: Any, number: int) -> str:
        """Return the name of the frame of an image."""
        if is_address(item):
            return image_name(item)
        if isinstance(item, NamedBytes):
            return item.name
        if not isinstance(item, (str, os.PathLike)):
            return f"image_{number:06d}"
        if self.folder is not None:
            return Path(item).relative_to(self.folder).as_posix()
        return Path(item).name if self.kind == "image" else Path(item).as_posix()


def open_source(source: SourceLike, *, recursive: bool = False, bgr: bool = False) -> Source:
    """Find out what a source is. Its files are opened when they are read.

    Args:
        source: one of these, or a `Source`, which is returned:

            - an image: its path, its bytes, a binary file object, a PIL image, a uint8 array H×W×3 (RGB), H×W×4 or H×W,
              a uint8 tensor 3×H×W of torch, or its address (``https://…``: it is downloaded once);
            - several: a list of images and videos, a generator, an array N×H×W×3, a tensor N×3×H×W; a pattern such as
              ``shots/**/*.jpg``; a folder, of a sequence of MOTChallenge its frames. Names of patterns and folders are
              in `natural_order`: 2.jpg before 10.jpg;
            - a video by its path, a camera by its number, a stream by its address (``rtsp://…``, ``http://…``).
        recursive: the subfolders of a folder too.
        bgr: the channels of arrays and tensors are blue, green, red, as those of OpenCV; files are not concerned.

    Raises:
        SourceError: there is nothing, or no source.
        ImageError: a folder without images, or an image that is larger than what is downloaded.
    """
    given: Any = source
    if isinstance(given, Source):
        return replace(given, bgr=True) if bgr else given
    if isinstance(given, (str, os.PathLike)):
        return _open_address(str(given)) if is_address(given) else _open_path(Path(given), recursive)
    if isinstance(given, (int, np.integer)) and not isinstance(given, bool):
        return Source("camera", [int(given)])
    if is_image(given):
        several = getattr(given, "ndim", 0) == 4
        return Source("list", list(given), bgr=bgr) if several else Source("image", [given], bgr=bgr)
    if _is_file(given):
        return Source("image", [given])
    if isinstance(given, Sequence):
        _check_list(given)
        return Source("list", given, bgr=bgr)
    if isinstance(given, Iterable) and not isinstance(given, (Mapping, Set)):
        return Source("generator", (), bgr=bgr, iterator=iter(given))
    none = " (cv2.imread gives None for what it cannot read: give the path itself)" if given is None else ""
    kinds = f"{EXPECTED}, a list or generator of these, a folder, a video, the number of a camera or an address"
    raise SourceError(f"expected {kinds} as the source of images, got {type(given).__name__}{none}")


def _is_file(item: Any) -> bool:
    """Return True for the bytes of an image file, or a file object."""
    return isinstance(item, (bytes, bytearray, memoryview)) or hasattr(item, "read")


def _check_list(items: Sequence[Any]) -> None:
    """Raise a SourceError for what cannot be in a list."""
    for item in (str(item) for item in items if isinstance(item, (str, os.PathLike))):
        if is_address(item) and (is_video(item) or not is_on_the_web(item)):
            raise SourceError(f"{without_password(item)}: a stream within a list; give it alone")
        if not is_address(item) and Path(item).is_dir():
            raise SourceError(f"{Path(item)}: a folder within a list; give the folder alone, or its files")


def _open_address(address: str) -> Source:
    """Open an address: a file's as its path, an image's with what is downloaded, any other as a stream."""
    if urlsplit(address).scheme.lower() == "file":
        return _open_path(Path(url2pathname(urlsplit(address).path)), False)
    data = download_image(address) if is_on_the_web(address) else None
    if data is None:
        return Source("stream", [address])
    return Source("image", [NamedBytes(image_name(address), data)])


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


def _open_path(path: Path, recursive: bool) -> Source:
    if path.is_dir():
        info = read_sequence_info(path)
        if info is not None and (path / info.images).is_dir():
            path /= info.images
        return Source("folder", list_images(path, recursive=recursive), path, left_out=_left_out(path, recursive))
    if path.exists():
        return Source("video" if is_video(path) else "image", [path])
    if not glob.has_magic(str(path)):
        raise SourceError(f"{path}: no such file or folder; check the path")
    matches = [name for name in glob.glob(str(path), recursive=True) if Path(name).is_file()]
    if not matches:
        raise SourceError(f"{path}: no file has such a name; check the pattern, and quote it in a shell")
    matches.sort(key=natural_order)
    return Source("pattern", matches)


_LOOKED_THROUGH = 100_000  # files of subfolders


def _left_out(folder: Path, recursive: bool) -> tuple[str, ...]:
    """Say which files of a folder are no images; a warning tells of subfolders with images that are not looked at."""
    others, inside = Counter[str](), dict[str, None]()
    for path in islice(walk_files(folder), _LOOKED_THROUGH):
        top, is_inner = path.relative_to(folder).parts[0], path.parent != folder
        if is_inner and not recursive:
            if path.suffix.lower() in IMAGE_SUFFIXES:
                inside[top] = None
        elif path.suffix.lower() not in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES):
            others[path.suffix.lower() or "without suffix"] += 1
    if inside:
        names = ", ".join(sorted(inside, key=natural_order)[:5]) + ", …" * (len(inside) > 5)
        way = "--recursive, or open_source(folder, recursive=True), takes them too"
        warnings.warn(f"{folder}: the images in its subfolders ({names}) are not looked at; {way}", stacklevel=4)
    if not others:
        return ()
    raw = sum(number for suffix, number in others.items() if suffix in RAW_SUFFIXES)
    kinds = ", ".join(f"{number} {suffix}" for suffix, number in others.most_common(8)) + ", …" * (len(others) > 8)
    hint = f"; {raw} are raw photographs of cameras: develop them first" if raw else ""
    return (f"{folder}: not looked at, as no images by their suffix: {kinds}{hint}",)


def _open_item(item: Any, name: str, index: int, bgr: bool, said: set[str]) -> Frame:
    """Open an image by its path, or take it from memory or the web."""
    if isinstance(item, (str, os.PathLike)) and not is_address(item):
        return Frame(open_image(Path(item)).warn(said), name, Path(item), index)
    if is_address(item):
        if (data := download_image(item)) is None:
            raise ImageError(f"{without_password(item)}: no image; a stream is given alone, not in a list")
        item = data
    try:
        if not _is_file(item):
            return Frame(as_rgb(item, bgr=bgr), name, None, index)
        file = bytes(item) if isinstance(item, (bytearray, memoryview)) else item
        if isinstance(file, io.TextIOBase):
            raise ImageError(f"{getattr(file, 'name', 'the file')}: was opened as text; open it with mode 'rb'")
        return Frame(open_image(file).warn(said), name, None, index)
    except ImageError as error:
        raise ImageError(str(error) if str(error).startswith(f"{name}: ") else f"{name}: {error}") from error
