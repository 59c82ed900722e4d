"""What the runtimes of exported files share: from inputs as `Detector` makes them to the file's, and back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from centernet.detections import Column
from centernet.images import Preprocessing
from centernet.inference.model_metadata import ModelMetadata

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ExportedRuntime:
    """What every runtime of an exported file knows from the file's metadata.

    Attributes:
        metadata: of the file.
    """

    metadata: ModelMetadata

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture becomes the input."""
        return preprocessing_of(self.metadata)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by label."""
        return self.metadata.class_names

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the file adds to boxes, labels and scores."""
        return self.metadata.columns

    @property
    def num_detections(self) -> int:
        """At most so many objects an image come out of the file."""
        return self.metadata.num_detections

    @property
    def tracker(self) -> dict[str, Any]:
        """Arguments of `centernet.tracking.Tracker` that suit the model."""
        return dict(self.metadata.tracker)


def preprocessing_of(metadata: ModelMetadata) -> Preprocessing:
    """What `Detector` is to do with a picture: nothing where the graph itself resizes and pads."""
    return replace(metadata.preprocessing, resize="keep", divisor=1) if metadata.letterbox else metadata.preprocessing


def network_input(images: NDArray[np.uint8], metadata: ModelMetadata) -> NDArray[Any]:
    """uint8 N×H×W×3 RGB as the dtype and layout that the file's input has."""
    if metadata.dtype == "float32":
        normalized = metadata.preprocessing.normalize(images)
        return normalized if metadata.layout == "NCHW" else np.ascontiguousarray(normalized.transpose(0, 2, 3, 1))
    return images if metadata.layout == "NHWC" else np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def detections_of(outputs: Mapping[str, Any], metadata: ModelMetadata, num_detections: int) -> dict[str, NDArray[Any]]:
    """The best `num_detections` rows (the file may hold fewer) of each output that is no raw map."""
    return {name: np.asarray(value)[:, :num_detections] for name, value in outputs.items() if name not in metadata.maps}


def thread_count(threads: int | None) -> int:
    """How many threads a network may use: as asked for, else OMP_NUM_THREADS, else 0 for the runtime's own choice."""
    if threads is not None:
        return threads
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdigit() else 0


def read_metadata(path: Path, text: str | bytes | None) -> ModelMetadata:
    """The metadata of a file from what stands under its key.

    Raises:
        ValueError: nothing stands there, or what no export of this package writes.
    """
    if not text:
        raise foreign(path)
    return ModelMetadata.from_json(text if isinstance(text, str) else text.decode(errors="replace"), source=str(path))


def unreadable(
    path: Path, error: BaseException, kind: str, hint: str = "is the file whole, and of this kind?"
) -> ValueError:
    """What to tell of a file that its runtime cannot open."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith("Exception from "):  # OpenVINO begins with places in its own sources
        lines = lines[-1:]
    reason = lines[0][:300] if lines else type(error).__name__
    return ValueError(f"{path}: cannot be opened as {kind} ({reason}); {hint}")


def foreign(path: Path) -> ValueError:
    """What to tell of a file that this package did not write."""
    return ValueError(
        f"{path}: the file does not say how pictures become its input and what its outputs are, as those that "
        "`centernet export` writes do; another program wrote it. Export the model anew"
    )
