"""`Detector`: one call, one answer, whatever the model is stored in."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, overload

import numpy as np

from centernet.detections import Detections
from centernet.images import ImageError, Preprocessing
from centernet.inference.sources import Frame, Source, SourceError, frames, is_single, is_video

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from centernet.inference.sources import Item

SUPPORTED = (".ckpt",)
"""Suffixes of the model files that `Detector` opens."""


class Runtime(Protocol):
    """What runs a network: a batch of inputs in, boxes in input pixels out."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture becomes the network's input."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by label; empty where none are known."""
        ...

    def __call__(self, images: NDArray[np.uint8], num_detections: int) -> Mapping[str, NDArray[Any]]:
        """`bboxes` N×K×4 in input pixels, `labels` N×K, `scores` N×K, best first, of uint8 N×H×W×3 RGB inputs.

        K is `num_detections`, or less where the network has no more to give. `embeddings` N×K×D may be added.
        """
        ...


class Detector:
    """Finds objects in pictures; boxes come back in each picture's own pixels.

    Args:
        model: a `CenterNet`, the path of a model file (`SUPPORTED`), or a `Runtime`.
        score_threshold: objects below it are left out of what a call and `stream` give.
        num_detections: at most so many objects a picture.
        batch_size: pictures that go through the network together.
        device: where a torch model runs, as torch names it ("cpu", "cuda:0"); None for where it is, and for a GPU where
            there is one when it is read from a file.

    Raises:
        FileNotFoundError, ValueError, TypeError: no such file, or not a model that can be opened; the message says what
            can.

    Example:
        detector = Detector("best.ckpt")
        for box, name, score in zip((found := detector("photo.jpg")).bboxes, found.names, found.scores): ...
    """

    def __init__(
        self,
        model: Any,
        *,
        score_threshold: float = 0.3,
        num_detections: int = 100,
        batch_size: int = 8,
        device: str | None = None,
    ) -> None:
        if not 0 <= score_threshold <= 1:
            raise ValueError(f"score_threshold: expected 0..1, got {score_threshold}")
        for key, value in (("num_detections", num_detections), ("batch_size", batch_size)):
            if value < 1:
                raise ValueError(f"{key}: expected at least 1, got {value}")
        self.runtime = _runtime(model, device)
        self.score_threshold = score_threshold
        self.num_detections = num_detections
        self.batch_size = batch_size

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by label; empty where the model knows none."""
        return self.runtime.class_names

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
            SourceError: a folder, a pattern or a video: `stream` takes those.
        """
        for item in [source] if isinstance(source, (str, os.PathLike, np.ndarray)) else source:
            if isinstance(item, (str, os.PathLike)) and (is_video(item) or Path(item).is_dir()):
                raise SourceError(
                    f"{item}: more than one picture; detector.stream(…) gives its frames one by one with their "
                    "detections, detector.stacked(…) the arrays of a folder"
                )
        if is_single(source):
            return next(self.stream(source))[1]
        return [detections for _, detections in self.stream(source)]

    def stream(
        self, source: Source, *, on_error: Callable[[ImageError], None] | None = None
    ) -> Iterator[tuple[Frame, Detections]]:
        """Each frame of a source with the objects in it, best first, in the order of the source.

        Memory doesn't grow with the source; `batch_size` frames are held at a time.

        Args:
            source: what `centernet.inference.frames` takes: picture, folder, pattern, video, array or list.
            on_error: called for each picture that cannot be read, which is then left out; without it the error is
                raised.

        Raises:
            SourceError, ImageError: as `frames` does, after everything read before has been given.
        """
        for frame, arrays in self._run(source, self.num_detections, on_error):
            try:
                found = Detections(**arrays, class_names=self.class_names)
            except ValueError as error:
                raise ValueError(
                    f"{frame.name}: the model's output is no detection ({error}); its training diverged, or its "
                    "class_names are not those it was trained with"
                ) from error
            yield frame, found.filter(score_threshold=self.score_threshold)

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
        for frame, arrays in self._run(source, k, None if is_single(source) else left_out):
            for key, rows in columns.items():
                values = arrays[key]
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

    def _run(
        self, source: Source, num_detections: int, on_error: Callable[[ImageError], None] | None
    ) -> Iterator[tuple[Frame, dict[str, NDArray[Any]]]]:
        """Frames with their arrays (boxes in original pixels), batch by batch; inputs of one size go together."""
        waiting: list[tuple[Frame, NDArray[np.uint8]]] = []
        source_frames = frames(source, on_error=on_error)
        broken: ValueError | None = None
        while True:
            try:
                frame = next(source_frames)
            except StopIteration:
                break
            except (SourceError, ImageError) as error:  # first what was read before it
                broken = error
                break
            network_input = self.runtime.preprocessing(frame.image)
            if waiting and waiting[0][1].shape != network_input.shape:
                yield from self._batch(waiting, num_detections)
                waiting = []
            waiting.append((frame, network_input))
            if len(waiting) == self.batch_size:
                yield from self._batch(waiting, num_detections)
                waiting = []
        if waiting:
            yield from self._batch(waiting, num_detections)
        if broken is not None:
            raise broken

    def _batch(
        self, batch: list[tuple[Frame, NDArray[np.uint8]]], num_detections: int
    ) -> Iterator[tuple[Frame, dict[str, NDArray[Any]]]]:
        outputs = self.runtime(np.stack([network_input for _, network_input in batch]), num_detections)
        for i, (frame, _) in enumerate(batch):
            arrays = {key: outputs[key][i] for key in ("bboxes", "labels", "scores", "embeddings") if key in outputs}
            arrays["bboxes"] = self.runtime.preprocessing.to_original(arrays["bboxes"], frame.image.shape[:2])
            yield frame, arrays


def _runtime(model: Any, device: str | None) -> Runtime:
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        suffix = path.suffix.lower()
        if not suffix:  # a folder, or the name of a model that comes with the package
            from centernet.inference.torch_runtime import load_pretrained

            return load_pretrained(model, device=device)
        if suffix not in SUPPORTED:
            raise ValueError(
                f"{path}: cannot open a model file with the suffix {suffix!r}; "
                f"expected {' or '.join(SUPPORTED)}, a checkpoint that `centernet fit` wrote"
            )
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: no such model file; `centernet fit` prints where it wrote its checkpoints"
            )
        from centernet.inference.torch_runtime import load_checkpoint

        return load_checkpoint(path, device=device)
    if hasattr(model, "decode_detections"):
        from centernet.inference.torch_runtime import TorchRuntime

        return TorchRuntime(model, device=device)
    if callable(model) and hasattr(model, "preprocessing") and hasattr(model, "class_names"):
        runtime: Runtime = model
        return runtime
    raise TypeError(
        f"expected a CenterNet, the path of a model file ({', '.join(SUPPORTED)}) or a runtime, "
        f"got {type(model).__name__}"
    )
