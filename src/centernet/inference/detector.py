"""`Detector`: one call, one answer, whatever the model is stored in."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from centernet.detections import Column, Detections
from centernet.images import ImageError
from centernet.inference.opening import Runtime, open_runtime
from centernet.inference.pipeline import pixels_for, read_ahead, read_here
from centernet.inference.results import to_detections
from centernet.inference.sources import Frame, Source, SourceError, is_live, is_single, is_video, readers
from centernet.inference.tiling import merge, tiles
from centernet.inference.tracking import class_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from centernet.inference.sources import Item


@dataclass
class _Picture:
    """A frame on its way: the views of it that the network is to see, and what it has said of them so far."""

    frame: Frame
    views: NDArray[np.int64]  # N×4, x1 y1 x2 y2 in whole pixels of the frame
    first: NDArray[np.uint8]  # the input of the first view
    found: list[Detections] = field(default_factory=list)


class Detector:
    """Finds objects in pictures; boxes come back in each picture's own pixels.

    The next pictures are read in other threads while the network is at work.

    Args:
        model: a `CenterNet`; the path of a model file: ``.onnx``, ``.xml`` (OpenVINO), ``.pt2``, ``.pt``, ``.ckpt``; a
            folder of `save_pretrained`; a name ("voc-lite"); or a `Runtime`.
        score_threshold: objects below it are left out of what a call and `stream` give.
        num_detections: at most so many objects a picture; None for what a model file gives, and else 100.
        batch_size: pictures that go through the network together.
        device: where the model runs, as its runtime names it ("cpu", "cuda:0"); None for where a `CenterNet` is, for
            a GPU where there is one when torch reads it from a file, and for the processor with other runtimes.
        threads: of the network; None for the environment's OMP_NUM_THREADS, else the runtime's default.
        classes: names of the objects to keep; None for all.
        region: ``x1 y1 x2 y2`` in pixels of the pictures: only this part is looked at. Boxes are the picture's all the
            same.
        tile: look at big pictures in overlapping tiles, and at the whole: True for tiles of the size of the network's
            input, or their side, or their (height, width), in pixels of the pictures. Each tile gives up to
            `num_detections`; raise that where a picture may hold more.
        tile_overlap: neighbouring tiles share at least this part of their sides; objects that large are whole in one.

    Raises:
        FileNotFoundError, ValueError, TypeError: no such file, or not a model that can be opened; the message says what
            can. Also an option out of range.
        ImportError: the model's runtime isn't installed; the message names the extra that brings it.

    Example:
        detector = Detector("best.ckpt")
        for box, name, score in zip((found := detector("photo.jpg")).bboxes, found.names, found.scores): ...
    """

    def __init__(
        self,
        model: Any,
        *,
        score_threshold: float = 0.3,
        num_detections: int | None = None,
        batch_size: int = 8,
        device: str | None = None,
        threads: int | None = None,
        classes: Sequence[str] | None = None,
        region: Sequence[float] | None = None,
        tile: bool | int | tuple[int, int] = False,
        tile_overlap: float = 0.25,
    ) -> None:
        if not 0 <= score_threshold <= 1:
            raise ValueError(f"score_threshold: expected 0..1, got {score_threshold}")
        for key, value in (("num_detections", num_detections), ("batch_size", batch_size), ("threads", threads)):
            if value is not None and value < 1:
                raise ValueError(f"{key}: expected at least 1, got {value}")
        if not 0 <= tile_overlap < 1:
            raise ValueError(f"tile_overlap: expected at least 0 and less than 1, got {tile_overlap}")
        self.region = None if region is None else _region(region)
        self.runtime: Runtime = open_runtime(model, device=device, threads=threads)
        self.score_threshold = score_threshold
        most = getattr(self.runtime, "num_detections", None)
        self.num_detections = num_detections or most or 100
        self.batch_size = batch_size
        self.tile = _tile_size(tile, self.runtime)
        self.tile_overlap = tile_overlap
        self.labels = None if classes is None else class_labels(classes, self.runtime.class_names)
        if most is not None and most < self.num_detections and self.tile is None:
            warnings.warn(
                f"the model file gives at most {most} objects a picture, not {num_detections}; export it again with "
                "more",
                stacklevel=2,
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by label; empty where the model knows none."""
        return self.runtime.class_names

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the model adds to boxes, labels and scores."""
        return tuple(getattr(self.runtime, "columns", ()))

    @property
    def tracker(self) -> dict[str, Any]:
        """Arguments of `centernet.tracking.Tracker` that suit the model: `Tracker(**detector.tracker, frame_rate=25)`.

        They are `model.tracker` of the configuration that it was trained by; empty where the model says nothing.
        """
        return dict(getattr(self.runtime, "tracker", {}))

    @overload
    def __call__(self, source: Item) -> Detections: ...  # type: ignore[overload-overlap] # a str is a sequence of str
    @overload
    def __call__(self, source: Sequence[Item]) -> list[Detections]: ...
    def __call__(self, source: Source) -> Detections | list[Detections]:
        """Objects in one picture, or in each of a list.

        Args:
            source: the path of a picture, a uint8 H×W×3 RGB array, or a list of these.

        Raises:
            ImageError: a picture that cannot be read.
            SourceError: a folder, a pattern, a video, a camera or a stream: `stream` takes those.
        """
        single = isinstance(source, (str, os.PathLike, np.ndarray, int))
        for item in [source] if single else source:  # type: ignore[union-attr]
            several = isinstance(item, (str, os.PathLike)) and (is_video(item) or Path(item).is_dir())
            if several or is_live(item):
                raise SourceError(
                    f"{item}: more than one picture; detector.stream(…) gives its frames one by one with their "
                    "detections, detector.stacked(…) the arrays of a folder"
                )
        if is_single(source):
            return next(self.stream(source, pictures=False))[1]
        return [detections for _, detections in self.stream(source, pictures=False)]

    def stream(
        self, source: Source, *, on_error: Callable[[ImageError], None] | None = None, pictures: bool = True
    ) -> Iterator[tuple[Frame, Detections]]:
        """Each frame of a source with the objects in it, best first, in the order of the source.

        Memory doesn't grow with the source: some more than two batches of frames are held. The frames of a camera or a
        stream don't wait for a batch to be full.

        Args:
            source: what `centernet.inference.frames` takes: picture, folder, pattern, video, array, list, camera or
                stream.
            on_error: called for each picture that cannot be read, which is then left out; without it the error is
                raised.
            pictures: whether the frames' `image` will be looked at, and is to be read ahead with the rest. The
                detections are the same without; of a large JPEG file only what the network needs is decoded then.

        Raises:
            SourceError, ImageError: as `frames` does, after everything read before has been given.
        """
        for frame, detections in self._run(source, self.num_detections, on_error, pictures=pictures):
            yield frame, detections.filter(score_threshold=self.score_threshold)

    def stacked(
        self,
        source: Source,
        num_detections: int | None = None,
        *,
        on_error: Callable[[ImageError], None] | None = None,
    ) -> dict[str, Any]:
        """Detections of all frames as arrays, K rows a frame whatever the scores.

        Args:
            source: as for `stream`; a folder's files are sorted by name.
            num_detections: K; the detector's own when None.
            on_error: called for each picture that cannot be read, which is then left out; without it a warning is
                given.

        Returns:
            `bboxes` N×K×4 float32 in original pixels, `labels` N×K int64, `scores` N×K float32 (rows beyond what a
            small input can give have score 0), and `paths`: N strings (names, for arrays and frames of a video).

        Raises:
            SourceError: not one picture of several could be read; and as `stream`.
        """
        k = self.num_detections if num_detections is None else num_detections
        if k < 1:
            raise ValueError(f"num_detections: expected at least 1, got {k}")
        failed: list[ImageError] = []

        def left_out(error: ImageError) -> None:
            failed.append(error)
            if on_error is not None:
                on_error(error)
            else:
                warnings.warn(f"{error} (left out)", stacklevel=5)

        columns: dict[str, list[NDArray[Any]]] = {"bboxes": [], "labels": [], "scores": []}
        paths: list[str] = []
        for frame, detections in self._run(source, k, None if is_single(source) else left_out):
            for key, rows in columns.items():
                values = getattr(detections, key)
                padding = [(0, k - len(values))] + [(0, 0)] * (values.ndim - 1)
                rows.append(np.pad(values, padding))
            from_video = frame.path is not None and is_video(frame.path)
            paths.append(frame.name if frame.path is None or from_video else str(frame.path))
        if failed and not paths:
            raise SourceError(f"none of the {len(failed)} pictures could be read; the first: {failed[0]}")
        shapes: dict[str, tuple[Any, tuple[int, ...]]] = {
            "bboxes": (np.float32, (-1, k, 4)),
            "labels": (np.int64, (-1, k)),
            "scores": (np.float32, (-1, k)),
        }
        stacked = {
            key: np.array(columns[key], dtype).reshape(len(paths), *shape[1:]) for key, (dtype, shape) in shapes.items()
        }
        return {**stacked, "paths": paths}

    # ------------------------------------------------------------------ the way of a frame

    def _run(
        self,
        source: Source,
        num_detections: int,
        on_error: Callable[[ImageError], None] | None,
        *,
        pictures: bool = False,
    ) -> Iterator[tuple[Frame, Detections]]:
        """Frames with their detections, batch by batch; inputs of one size go together."""
        read = readers(source)
        depth = self.batch_size + 2
        prepare = partial(self._prepare, pictures=pictures)
        ahead = read_here(read, prepare) if is_single(source) else read_ahead(read, prepare, depth=depth)
        open_pictures: deque[_Picture] = deque()
        batch: list[tuple[_Picture, NDArray[np.uint8]]] = []
        broken: ValueError | None = None
        live = is_live(source)
        try:
            while (taken := _next(ahead, on_error)) is not None:
                picture, more = taken
                open_pictures.append(picture)
                for i, view in enumerate(picture.views):
                    network_input = picture.first if i == 0 else self._input(picture.frame, view)
                    if batch and batch[0][1].shape != network_input.shape:
                        self._network(batch, num_detections)
                        batch = []
                    batch.append((picture, network_input))
                    if len(batch) == self.batch_size:
                        self._network(batch, num_detections)
                        batch = []
                if live and not more and batch:
                    self._network(batch, num_detections)
                    batch = []
                yield from self._finished(open_pictures, num_detections)
        except (SourceError, ImageError) as error:  # first what was read before it
            broken = error
        finally:
            ahead.close()  # type: ignore[attr-defined]
        if batch:
            self._network(batch, num_detections)
        yield from self._finished(open_pictures, num_detections)
        if broken is not None:
            raise broken

    def _prepare(self, frame: Frame, *, pictures: bool) -> _Picture:
        """In a reading thread: where to look, and the first input."""
        views = self._views(frame)
        whole = len(views) == 1 and self.region is None
        pixels = pixels_for(frame.picture, self.runtime.preprocessing) if whole else None
        if pixels is None:
            return _Picture(frame, views, self._input(frame, views[0]))
        if pictures:
            _ = frame.image
        return _Picture(frame, views, self.runtime.preprocessing(pixels))

    def _views(self, frame: Frame) -> NDArray[np.int64]:
        """The parts N×4 of a frame that the network is to see."""
        height, width = frame.size_hw
        x1, y1, x2, y2 = (0, 0, width, height)
        if self.region is not None:
            x1, y1, x2, y2 = np.clip(self.region, 0, [width, height, width, height]).tolist()
            if x1 >= x2 or y1 >= y2:
                raise ImageError(
                    f"{frame.name}: the region {self.region} lies outside of the picture of {width}×{height}"
                )
        whole = np.array([[x1, y1, x2, y2]], np.int64)
        if self.tile is None:
            return whole
        grid = tiles((y2 - y1, x2 - x1), self.tile, self.tile_overlap) + np.array([x1, y1, x1, y1])
        return whole if len(grid) == 1 else np.concatenate([whole, grid])

    def _input(self, frame: Frame, view: NDArray[np.int64]) -> NDArray[np.uint8]:
        x1, y1, x2, y2 = view.tolist()
        return self.runtime.preprocessing(frame.image[y1:y2, x1:x2])

    def _network(self, batch: list[tuple[_Picture, NDArray[np.uint8]]], num_detections: int) -> None:
        """Run a batch, and add what was found to its pictures, in pixels of their frames."""
        outputs = self.runtime(np.stack([network_input for _, network_input in batch]), num_detections)
        for i, (picture, _) in enumerate(batch):
            x1, y1, x2, y2 = picture.views[len(picture.found)].tolist()
            try:
                found = to_detections(
                    {name: values[i] for name, values in outputs.items()},
                    self.columns,
                    self.runtime.preprocessing,
                    (y2 - y1, x2 - x1),
                    class_names=self.class_names,
                    offset=(x1, y1),
                )
            except ValueError as error:
                raise ValueError(
                    f"{picture.frame.name}: the model's output is no detection ({error}); its training diverged, or "
                    "its class_names are not those it was trained with"
                ) from error
            picture.found.append(found)

    def _finished(self, pictures: deque[_Picture], num_detections: int) -> Iterator[tuple[Frame, Detections]]:
        """Those at the front whose views have all been seen."""
        while pictures and len(pictures[0].found) == len(pictures[0].views):
            picture = pictures.popleft()
            detections = picture.found[0] if len(picture.views) == 1 else self._joined(picture)
            if self.labels is not None:
                detections = detections.filter(labels=self.labels)
            yield picture.frame, detections if len(detections) <= num_detections else detections[:num_detections]

    def _joined(self, picture: _Picture) -> Detections:
        """What all views of a picture found, each object once, best first."""
        found = Detections.merge(picture.found)
        view = np.repeat(np.arange(len(picture.views)), [len(part) for part in picture.found])
        height, width = self.tile or (0, 0)
        overlap = (height * self.tile_overlap, width * self.tile_overlap)
        rows, boxes, scores = merge(found.bboxes, found.labels, found.scores, view, picture.views, overlap)
        return replace(found[rows], bboxes=boxes, scores=scores)


def _next(
    ahead: Iterator[tuple[Future[_Picture], bool]], on_error: Callable[[ImageError], None] | None
) -> tuple[_Picture, bool] | None:
    """The next picture that can be read, and whether another one waits behind it; None at the end of the source."""
    for future, more in ahead:
        try:
            return future.result(), more
        except ImageError as error:
            if on_error is None:
                raise
            on_error(error)
    return None


def _region(values: Sequence[float]) -> tuple[int, int, int, int]:
    corners = tuple(round(value) for value in values)
    if len(corners) != 4 or corners[0] >= corners[2] or corners[1] >= corners[3]:
        raise ValueError(f"region: expected x1 y1 x2 y2 in pixels with x1 < x2 and y1 < y2, got {list(values)}")
    return corners


def _tile_size(tile: bool | int | tuple[int, int], runtime: Runtime) -> tuple[int, int] | None:
    """(height, width) of a tile in pixels of the pictures."""
    if tile is False:
        return None
    if tile is True:
        return runtime.preprocessing.size
    height, width = tile if isinstance(tile, tuple) else (tile, tile)
    if min(height, width) < 32:
        raise ValueError(f"tile: expected a side, or (height, width), of at least 32 pixels, got {tile}")
    return height, width
