"""`Detector`: one call, one answer, whatever the model is stored in."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from centernet.configuration import DEFAULT_MODEL
from centernet.detections import NUM_DETECTIONS, Column, Detections
from centernet.images import ImageError, Preprocessing
from centernet.images.limits import ADVICE, most_tiled
from centernet.images.windows import LARGE, Windows, limited, look_in_tiles
from centernet.inference.opening import Runtime, open_runtime
from centernet.inference.pipeline import read_ahead, read_here
from centernet.inference.results import to_detections
from centernet.inference.soft_nms import merge_scales
from centernet.inference.sources import ErrorHandler, Frame, Item, Source, SourceError, SourceLike, open_source
from centernet.inference.thresholds import class_labels, suited, thresholds
from centernet.inference.tiling import merge, tiles
from centernet.lineage import Lineage
from centernet.trust import Trust

MATTERS = 0.05
"""Score below which nobody lacks an object."""


@dataclass
class _Pending:
    """A frame on its way: the views of it that the network is to see, and what it has found in them so far."""

    frame: Frame
    views: NDArray[np.int64]  # N×4, x1 y1 x2 y2 in whole pixels of the frame
    first: NDArray[np.uint8] | None = None  # the input of the first view, unless the image is read by windows
    found: list[Detections] = field(default_factory=list)


class Detector:
    """Finds objects in images; boxes come back in each image's own pixels.

    The next images are read in other threads while the network is at work. One detector may be called from many threads
    at once, and pickled: another process opens the model again.

    Args:
        model: a `CenterNet`; the path of a model file: ``.onnx``, ``.xml`` (OpenVINO), ``.pt2``, ``.pt``, ``.ckpt``; a
            folder of `save_pretrained`; a name ("coco-lite", "voc-lite"); a published network of another project
            ("zoo:mmdet/centernet-r18-dcn"), which is downloaded and converted once; or a `Runtime`.
        score_threshold: leave out objects that score less, in calls and `stream`: a number for all classes, or numbers
            by class name, with ``other`` for the rest; default: the model's own (those of its calibration, by class, or
            the one in its file), else 0.3.
        num_detections: at most so many objects an image; default: the model's own (`model.num_detections`), else 100.
        batch_size: images that go through the network together.
        device: where the model runs: "cpu", "cuda:1", "mps", the number of a GPU (0 is "cuda:0"), a `torch.device`, or
            as its runtime names it; default: where a `CenterNet` is, a GPU where there is one for torch's files, and
            the processor with other runtimes.
        threads: of the network; default: the environment's OMP_NUM_THREADS, else that of the runtime.
        bgr: channels of arrays and tensors are blue, green, red, as `cv2.imread` gives them; files are not concerned.
        classes: names of the classes to find; None for all. Objects of others take none of the `num_detections`.
        region: look at this part of the images only, x1 y1 x2 y2 in their pixels. Boxes are the image's all the same.
        tile: look for small objects of big images in overlapping tiles, and at the whole: the side of a tile in pixels
            of the images (or height and width); True for the size of the network's input. Each tile gives up to
            `num_detections`; raise that where an image may hold more. Files of any size are taken then, by windows
            where rasterio is installed (the extra `large`).
        tile_overlap: neighbouring tiles share at least this part of their sides; objects that large are whole in one.
        flip: look at the mirror image too, and average: the original's flip test. For models of PyTorch alone.
        scales: look at images resized by each of these, and merge by soft suppression: the original's multi-scale test,
            of models whose `preprocessing.resize` is `fix_res` or `keep_res`; default: 1.
        soft_nms: lower the scores of objects that overlap better ones of their class, at one scale too; several are
            merged so in any case.
        max_memory: gigabytes that one large image may take with `tile` or `region`, where the whole has to be decoded
            or is drawn on.
        trust: run what the model file brings: the modules of classes of its own that it names, machine code (a compiled
            ``.pt2``) and operations of other libraries. Only for files whose author you trust.

    Raises:
        FileNotFoundError, ValueError, TypeError: no model that can be opened, a device that is not there, or an option
            out of range.
        ImportError: the model's runtime isn't installed; the message names the extra that brings it.

    Example:
        detector = Detector("best.ckpt")
        for found in detector("photo.jpg"): print(found.name, found.score, found.bbox)
    """

    def __init__(
        self,
        model: Any = DEFAULT_MODEL,
        *,
        score_threshold: float | Mapping[str, float] | None = None,
        num_detections: int | None = None,
        batch_size: int = 8,
        device: str | int | Any | None = None,
        threads: int | None = None,
        bgr: bool = False,
        classes: Sequence[str] | None = None,
        region: Sequence[float] | None = None,
        tile: bool | int | tuple[int, int] = False,
        tile_overlap: float = 0.25,
        flip: bool = False,
        scales: Sequence[float] = (1.0,),
        soft_nms: bool = False,
        max_memory: float = 4.0,
        trust: Trust = False,
    ) -> None:
        counts = {"num_detections": num_detections, "batch_size": batch_size, "threads": threads}
        for key, value, right, expected in (
            *((key, value, value is None or value >= 1, "at least 1") for key, value in counts.items()),
            ("tile_overlap", tile_overlap, 0 <= tile_overlap < 1, "at least 0 and less than 1"),
            ("scales", scales, len(scales) > 0, "at least one"),
            ("tile", tile, tile is False or tuple(scales) == (1.0,), "False with other scales than 1"),
            ("tile", tile, tile is False or not soft_nms, "False with soft_nms, as tiles are merged otherwise"),
            ("max_memory", max_memory, max_memory > 0, "gigabytes, above 0"),
        ):
            if not right:
                raise ValueError(f"{key}: expected {expected}, got {value}")
        self.bgr = bgr
        self.region = None if region is None else _region(region)
        self.name = str(model) if isinstance(model, (str, os.PathLike)) else type(model).__name__
        self.runtime: Runtime = open_runtime(model, device=device, threads=threads, trust=trust)
        if flip and not hasattr(self.runtime, "flip"):
            raise ValueError(f"flip: {self.name} is no model of PyTorch, whose maps alone can be averaged")
        if flip:
            self.runtime.flip = True  # type: ignore[attr-defined]
        self.scales, self.soft_nms = tuple(scales), soft_nms
        for scale in self.scales if self.scales != (1.0,) else ():
            replace(self.runtime.preprocessing, scale=scale)  # the rule has scales
        self.score_threshold = thresholds(score_threshold, self.runtime)
        own, most = (getattr(self.runtime, name, None) for name in ("num_detections", "most_detections"))
        self.num_detections, self.batch_size = num_detections or own or NUM_DETECTIONS, batch_size
        self.tile, self.tile_overlap, self.max_memory = _tile_size(tile, self.runtime), tile_overlap, max_memory
        self.labels = None if classes is None else class_labels(classes, self.runtime.class_names)
        self._warned = False
        if most is not None and most < self.num_detections and self.tile is None:
            text = f"the model file gives at most {most} objects an image, not {num_detections}; export it again with"
            warnings.warn(f"{text} more", stacklevel=2)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by label; empty where the model knows none."""
        return self.runtime.class_names

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that the model adds to boxes, labels and scores."""
        return tuple(getattr(self.runtime, "columns", ()))

    @property
    def lineage(self) -> Lineage | None:
        """The origin of the model's weights, and on which terms they may be used; None where its file says nothing."""
        return getattr(self.runtime, "lineage", None)

    @property
    def tracker(self) -> dict[str, Any]:
        """Arguments of `Tracker` that suit the model: `model.tracker` of its configuration, with the score thresholds
        that its calibration says where it names none; empty where the model has neither."""
        return self.suited(dict(getattr(self.runtime, "tracker", {})))

    def suited(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return arguments of `Tracker` with the score thresholds that suit the model, where they name none."""
        labels = range(len(self.class_names)) if self.labels is None else self.labels
        names = [self.class_names[label] for label in labels] if self.class_names else []
        return suited(settings, getattr(self.runtime, "calibration", None), names)

    @overload
    def __call__(self, source: Item) -> Detections: ...  # type: ignore[overload-overlap] # a str is a sequence of str
    @overload
    def __call__(self, source: Iterable[Item]) -> list[Detections]: ...
    def __call__(self, source: SourceLike) -> Detections | list[Detections]:
        """Find the objects in an image, or in each of several.

        Args:
            source: an image: its path or address (https://…), its bytes, a binary file object, a PIL image, a uint8
                array H×W×3 (RGB, see `bgr`), H×W×4 or H×W, or a uint8 tensor 3×H×W of torch. Several, for a list: a
                list or generator of these, an array N×H×W×3, a tensor N×3×H×W.

        Raises:
            ImageError: an image that cannot be read; an array of another type or shape, with how to convert it.
            SourceError: a folder, a pattern, a video, a camera or a stream, which `stream` takes; or what is no image.
        """
        opened = open_source(source, bgr=self.bgr)
        if opened.kind not in ("image", "list", "generator") or opened.is_moving:
            text = "detector.stream(…) gives its frames one by one with their detections, detector.stacked(…)"
            raise SourceError(f"{source}: more than one image; {text} the arrays of a folder")
        found = [detections for _, detections in self.stream(opened)]
        return found[0] if opened.kind == "image" else found

    def stream(self, source: SourceLike, *, on_error: ErrorHandler | None = None) -> Iterator[tuple[Frame, Detections]]:
        """Find the objects in each frame of a source, best first, in the order of the source.

        Some more than two batches of frames are held at most. Those of a camera or a stream don't wait for a whole one.
        Arguments and errors are those of `centernet.inference.frames`; an error comes after everything read before it.
        """
        opened = open_source(source, bgr=self.bgr)
        for frame, detections in self._run(opened, self.num_detections, on_error):
            yield frame, detections.filter(score_threshold=self.score_threshold)

    def stacked(
        self, source: SourceLike, num_detections: int | None = None, *, on_error: ErrorHandler | None = None
    ) -> dict[str, Any]:
        """Return the detections of all frames as arrays, K rows a frame whatever the scores.

        Args:
            source: as for `stream`.
            num_detections: K; the detector's own when None.
            on_error: as for `stream`, but without it a warning is given.

        Returns:
            `bboxes` N×K×4 float32 in original pixels, `labels` N×K int64, `scores` N×K float32 (rows beyond what a
            small input can give have score 0), and `paths`: N strings (names, for arrays and frames of a video).

        Raises:
            SourceError: not one image of several could be read; and as `stream`.
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

        opened = open_source(source, bgr=self.bgr)
        results = list(self._run(opened, k, None if opened.kind == "image" else left_out))
        if failed and not results:
            raise SourceError(f"none of the {len(failed)} images could be read; the first: {failed[0]}")
        kinds = {"bboxes": ((4,), np.float32), "labels": ((), np.int64), "scores": ((), np.float32)}
        stacked = {key: np.zeros((len(results), k, *shape), dtype) for key, (shape, dtype) in kinds.items()}
        for i, (_, detections) in enumerate(results):
            for key, values in stacked.items():
                values[i, : len(detections)] = getattr(detections, key)
        return {**stacked, "paths": [frame.location for frame, _ in results]}

    def _run(
        self, source: Source, num_detections: int, on_error: ErrorHandler | None
    ) -> Iterator[tuple[Frame, Detections]]:
        """Iterate over frames and their detections, batch by batch; inputs of one size go together."""
        # What is read ahead of a camera is old when its turn comes.
        alone = len(source.items) == 1 and not source.is_moving
        read = read_here if alone or source.live else partial(read_ahead, depth=self.batch_size + 2)
        ahead = read(source.readers(), self._prepare)
        waiting: deque[_Pending] = deque()
        batch: list[tuple[_Pending, NDArray[np.uint8]]] = []
        broken: ValueError | None = None
        try:
            for future in ahead:
                try:
                    image = future.result()
                except ImageError as error:
                    if on_error is None:
                        raise
                    on_error(error)
                    continue
                waiting.append(image)
                try:
                    with closing(self._inputs(image)) as inputs:
                        for network_input in inputs:
                            if batch and batch[0][1].shape != network_input.shape:
                                self._network(batch, num_detections)
                            batch.append((image, network_input))
                            if len(batch) == self.batch_size:
                                self._network(batch, num_detections)
                except ImageError as error:  # in the midst of an image that is read by windows
                    self._network(batch, num_detections)
                    waiting.pop()
                    if on_error is None:
                        raise
                    on_error(error)
                if source.live or image.first is None:
                    self._network(batch, num_detections)
                yield from self._finished(waiting, num_detections)
        except (SourceError, ImageError) as error:  # first what was read before it
            broken = error
        finally:
            ahead.close()  # type: ignore[attr-defined]
        self._network(batch, num_detections)
        yield from self._finished(waiting, num_detections)
        if broken is not None:
            raise broken

    def _prepare(self, frame: Frame) -> _Pending:
        """Decide in a reading thread where to look, and make the first input."""
        height, width = frame.size_hw
        whole = np.clip([self.region or (0, 0, width, height)], 0, [width, height, width, height]).astype(np.int64)
        x1, y1, x2, y2 = whole[0].tolist()
        if self.region is not None and (x1 >= x2 or y1 >= y2):
            raise ImageError(f"{frame.name}: the region {self.region} lies outside of the image of {width}×{height}")
        views = whole
        if self.tile is not None:
            grid = tiles((y2 - y1, x2 - x1), self.tile, self.tile_overlap) + np.array([x1, y1, x1, y1])
            views = np.concatenate([whole, grid]) if len(grid) > 1 else whole
        views = np.concatenate([views] * len(self.scales))  # tiles have one scale
        if self.tile is None and self.region is None:
            frame.lazy = look_in_tiles(frame.lazy)
        elif height * width > most_tiled() and frame.lazy.limit is not None:
            text = f"{width}×{height} pixels are more than the {most_tiled():.0f} of an image in tiles"
            raise ImageError(f"{frame.location}: {text}; {ADVICE}")
        elif height * width > LARGE and frame.lazy.limit is not None:
            return _Pending(frame, views)
        x1, y1, x2, y2 = views[0].tolist()
        return _Pending(frame, views, self._preprocessing(0)(frame.image[y1:y2, x1:x2]))

    def _preprocessing(self, view: int) -> Preprocessing:
        """Return the way of a view to the input; with several scales each view is of another."""
        own = self.runtime.preprocessing
        return own if self.scales == (1.0,) else replace(own, scale=self.scales[view])

    def _inputs(self, image: _Pending) -> Generator[NDArray[np.uint8]]:
        """Iterate over the inputs of the views of an image."""
        if image.first is not None:
            yield image.first
            for i, (x1, y1, x2, y2) in enumerate(image.views[1:].tolist(), start=1):
                yield self._preprocessing(i)(image.frame.image[y1:y2, x1:x2])
            return
        lazy = image.frame.lazy
        image.frame.lazy = limited(lazy, self.max_memory, drawn=True)  # for whom it is handed to
        x1, _, x2, _ = image.views[0].tolist()
        with closing(Windows(limited(lazy, self.max_memory), (x1, x2), self.max_memory)) as windows:
            for i, (x1, y1, x2, y2) in enumerate(image.views.tolist()):
                size_hw = (y2 - y1, x2 - x1)
                preprocessing = self._preprocessing(i)
                averaged = preprocessing.shrunk_size(size_hw) if i == 0 else None  # of tiles all pixels are read
                yield preprocessing(windows.read((x1, y1, x2, y2), averaged), size_hw)

    def _network(self, batch: list[tuple[_Pending, NDArray[np.uint8]]], num_detections: int) -> None:
        """Run a batch and empty it; its images gain the objects found, in pixels of their frames."""
        if not batch:
            return
        inputs = np.stack([network_input for _, network_input in batch])
        if self.labels is None:
            outputs = self.runtime(inputs, num_detections)
        elif getattr(self.runtime, "takes_labels", False):
            outputs = self.runtime(inputs, num_detections, labels=self.labels)  # type: ignore[call-arg]
        else:  # all that it gives, as objects of other classes are among them
            most = getattr(self.runtime, "most_detections", None) or NUM_DETECTIONS
            outputs = self.runtime(inputs, max(num_detections, most))
        for i, (image, _) in enumerate(batch):
            view = len(image.found)
            x1, y1, x2, y2 = image.views[view].tolist()
            try:
                image.found.append(to_detections(
                    {name: values[i] for name, values in outputs.items()}, self.columns, self._preprocessing(view),
                    (y2 - y1, x2 - x1), class_names=self.class_names, offset=(x1, y1),
                ))  # fmt: skip
            except ValueError as error:
                text = f"the model's output is no detection ({error}); its training diverged, or its class_names are"
                raise ValueError(f"{image.frame.name}: {text} not those it was trained with") from error
        batch.clear()

    def _finished(self, waiting: deque[_Pending], num_detections: int) -> Iterator[tuple[Frame, Detections]]:
        """Take the images at the front whose views have all been seen."""
        while waiting and len(waiting[0].found) == len(waiting[0].views):
            image = waiting.popleft()
            alone = len(image.views) == 1 and not self.soft_nms
            detections = image.found[0] if alone else self._joined(image)
            if self.labels is not None:
                detections = detections.filter(labels=self.labels)
                self._warn_of_lost(image, len(detections) < num_detections)
            reached = len(detections.filter(score_threshold=self.score_threshold)) if len(image.views) > 1 else 0
            if self.score_threshold != 0 and reached > num_detections == self.num_detections:
                text = (
                    f"at least {reached} objects reach the score threshold, of which the best {num_detections} are kept"
                )
                warnings.warn(f"{image.frame.name}: {text}; raise num_detections (--num-detections)", stacklevel=4)
            yield image.frame, detections if len(detections) <= num_detections else detections[:num_detections]

    def _warn_of_lost(self, image: _Pending, fewer: bool) -> None:
        """Say once that the model's limit came before the classes, where that may have cost objects."""
        if not fewer or self._warned or getattr(self.runtime, "takes_labels", False):
            return
        most = getattr(self.runtime, "most_detections", None) or NUM_DETECTIONS
        wanted = self.score_threshold
        least = max(min(wanted.values(), default=0.0) if isinstance(wanted, dict) else wanted, MATTERS)
        if any(len(found) >= most and found.scores[-1] >= least for found in image.found):
            self._warned = True
            names = ",".join(self.class_names[label] for label in self.labels or ())
            warnings.warn(
                f"{image.frame.name}: {self.name} gives the best {most} objects of all classes, and the last of them "
                f"still scores {least:g} or more: some of {names} may lack. `centernet export MODEL --classes {names}` "
                f"writes a file that finds these alone, --num-detections {2 * most} one of more rows",
                stacklevel=4,
            )

    def _joined(self, image: _Pending) -> Detections:
        """Return the objects of all views of an image, each once, best first."""
        found = Detections.merge(image.found)
        if self.tile is None:
            rows, scores = merge_scales(found.bboxes, found.labels, found.scores, self.num_detections)
            return replace(found[rows], scores=scores)
        view = np.repeat(np.arange(len(image.views)), [len(part) for part in image.found])
        assert self.tile is not None
        overlap = (self.tile[0] * self.tile_overlap, self.tile[1] * self.tile_overlap)
        rows, boxes, scores = merge(found.bboxes, found.labels, found.scores, view, image.views, overlap)
        return replace(found[rows], bboxes=boxes, scores=scores)


def _region(values: Sequence[float]) -> tuple[int, int, int, int]:
    corners = tuple(round(value) for value in values)
    if len(corners) != 4 or corners[0] >= corners[2] or corners[1] >= corners[3]:
        raise ValueError(f"region: expected x1 y1 x2 y2 in pixels with x1 < x2 and y1 < y2, got {list(values)}")
    return corners


def _tile_size(tile: bool | int | tuple[int, int], runtime: Runtime) -> tuple[int, int] | None:
    """Return (height, width) of a tile in pixels of the images."""
    if tile is False:
        return None
    if tile is True:
        return runtime.preprocessing.size
    size_hw = tile if isinstance(tile, tuple) else (tile, tile)
    if min(size_hw) < 32:
        raise ValueError(f"tile: expected a side, or (height, width), of at least 32 pixels, got {tile}")
    return size_hw
