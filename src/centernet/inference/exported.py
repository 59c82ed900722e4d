"""The base of the runtimes of exported files: from inputs as `Detector` makes them to the file's, and back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from centernet.images import Preprocessing
from centernet.inference.model_metadata import ModelMetadata

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ExportedRuntime:
    """A runtime of `Detector` for an exported file, which states what its metadata do. A child sets the attributes and
    defines `run`.

    Attributes:
        path: of the file.
        metadata: of the file.
    """

    path: Path
    metadata: ModelMetadata
    class_names, columns, num_detections, tracker = (
        property(attrgetter(f"metadata.{name}")) for name in ("class_names", "columns", "num_detections", "tracker")
    )

    def run(self, inputs: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """Run the network on inputs of the file's dtype and layout. Returns outputs by name, raw maps or not."""
        raise NotImplementedError

    def __call__(self, images: NDArray[np.uint8], num_detections: int) -> dict[str, NDArray[Any]]:
        """Return the detections of uint8 N×H×W×3 inputs, the best `num_detections` rows (the file may hold fewer)."""
        outputs = self.run(network_input(images, self.metadata))
        return {name: outputs[name][:, :num_detections] for name in self.outputs}

    @cached_property
    def outputs(self) -> list[str]:
        """Names of the outputs that are no raw maps."""
        return [name for name in self.metadata.outputs if name not in self.metadata.maps]

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes the input."""
        return preprocessing_of(self.metadata)


def preprocessing_of(metadata: ModelMetadata) -> Preprocessing:
    """Return how `Detector` makes the input: as metadata says, or not at all where the graph resizes and pads."""
    return replace(metadata.preprocessing, resize="keep", divisor=1) if metadata.letterbox else metadata.preprocessing


def network_input(images: NDArray[np.uint8], metadata: ModelMetadata) -> NDArray[Any]:
    """Return uint8 N×H×W×3 RGB in the dtype and layout that the file's input has."""
    if metadata.dtype == "float32":
        normalized = metadata.preprocessing.normalize(images)
        return normalized if metadata.layout == "NCHW" else np.ascontiguousarray(normalized.transpose(0, 2, 3, 1))
    return images if metadata.layout == "NHWC" else np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def thread_count(threads: int | None) -> int:
    """Return the threads that a network may use: as given, else OMP_NUM_THREADS, else 0 for the runtime's choice."""
    if threads is not None:
        return threads
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdigit() else 0


def read_metadata(path: Path, text: str | bytes | None) -> ModelMetadata:
    """Read the metadata of a file from the text under its key.

    Raises:
        ValueError: nothing stands there, or what no export of this package writes.
    """
    if not text:
        raise ValueError(
            f"{path}: the file does not say how images become its input and what its outputs are, as those that "
            "`centernet export` writes do; another program wrote it. Export the model anew"
        )
    return ModelMetadata.from_json(text if isinstance(text, str) else text.decode(errors="replace"), source=str(path))


def unreadable(
    path: Path, error: BaseException, kind: str, hint: str = "is the file whole, and of this kind?"
) -> ValueError:
    """Return the error for a file that its runtime cannot open."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith("Exception from "):  # OpenVINO begins with places in its own sources
        lines = lines[-1:]
    reason = lines[0][:300] if lines else type(error).__name__
    return ValueError(f"{path}: cannot be opened as {kind} ({reason}); {hint}")
