"""Whether a file finds what the model finds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from centernet.export.graph import Prepared, trial_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from centernet.network import Network

Arrays = Mapping[str, "NDArray[Any]"]
Run = Callable[["NDArray[Any]"], Arrays]
"""What runs a file: its input → its outputs by name."""

logger = logging.getLogger(__name__)

TOLERANCES = {"float32": (1e-4, 0.05)}
"""Largest differences of scores, and of boxes in pixels, that a file may have; other precisions are only reported."""

UNMATCHED = 0.05
"""Share of the detections that may lack a partner: of two neighbouring cells with equal values, rounding decides which
is a peak. An untrained network has some such; a file that computes something else loses most of its partners."""


@dataclass(frozen=True)
class Difference:
    """How far two lists of detections are apart.

    Attributes:
        scores: largest difference of matched detections.
        boxes: largest difference of their corners in pixels.
        unmatched: detections of the one without a partner of the same class and score in the other, other than at the
            lower end of the list, where equal scores make it a matter of chance which are kept.
        total: detections that were compared.
    """

    scores: float
    boxes: float
    unmatched: int
    total: int

    def __str__(self) -> str:
        return f"{self.scores:.1g} in scores, {self.boxes:.1g} px in boxes" + (
            f", {self.unmatched} detections without a partner" if self.unmatched else ""
        )


def difference(expected: Arrays, got: Arrays, *, score_tolerance: float = 1e-4) -> Difference:
    """Compare detections of the same images.

    A detection's partner has its label and a score that differs by no more than `score_tolerance`; of several the one
    with the nearest box. At the lower end of the lists a like score may be another object's, so what counts is from
    there up, in either list.

    Args:
        expected, got: `bboxes` N×K×4, `labels` N×K, `scores` N×K, best first.
        score_tolerance: scores of partners are this near.

    Raises:
        ValueError: outputs of other shapes.
    """
    for name in ("bboxes", "labels", "scores"):
        if expected[name].shape != got[name].shape:
            raise ValueError(f"{name}: expected the shape {expected[name].shape}, got {got[name].shape}")
    scores, boxes, unmatched, total = 0.0, 0.0, 0, 0
    for i in range(len(got["scores"])):
        distance = np.abs(expected["bboxes"][i][:, None].astype(np.float64) - got["bboxes"][i]).max(-1)  # K×K
        apart = np.abs(expected["scores"][i][:, None].astype(np.float64) - got["scores"][i])
        near = (apart <= score_tolerance) & (expected["labels"][i][:, None] == got["labels"][i])
        partners = np.where(near, distance, np.inf)
        for own, towards in ((got["scores"][i], partners), (expected["scores"][i], partners.T)):
            inner = own > own.min(initial=np.inf) + 2 * score_tolerance
            lost = ~np.isfinite(towards.min(axis=0, initial=np.inf))
            unmatched, total = unmatched + int((lost & inner).sum()), total + int(inner.sum())
            paired = (~lost & inner).nonzero()[0]
            if len(paired):
                best = towards[:, paired].argmin(axis=0)
                boxes = max(boxes, float(towards[best, paired].max()))
                scores = max(scores, float((apart if towards is partners else apart.T)[best, paired].max()))
    return Difference(scores, boxes, unmatched, total)


def check_file(path: Path, prepared: Prepared, reference: Network, run: Run, *, same_size: bool = False) -> None:
    """Run a file on trial pictures of two sizes, compare it with the model in PyTorch, and log the difference.

    Args:
        path: of the file, for messages.
        prepared: what was exported.
        reference: the model in float32.
        run: runs the file.
        same_size: the file takes the size of the sample alone.

    Raises:
        ValueError: a float32 file differs by more than `TOLERANCES`.
    """
    tolerance = TOLERANCES.get(prepared.metadata.precision)
    for count, size in _trials(prepared, same_size):
        pictures = trial_images(count, size)
        expected = eager(reference, pictures, prepared)
        got = run(file_input(pictures, prepared))
        found = difference(expected, got, score_tolerance=tolerance[0] if tolerance else 0.05)
        where = f"on {count} trial {'picture' if count == 1 else 'pictures'} of {size[0]}×{size[1]}"
        apart = tolerance and (found.scores > tolerance[0] or found.boxes > tolerance[1])
        if tolerance and (apart or found.unmatched > UNMATCHED * found.total):
            raise ValueError(
                f"{path}: the file does not find what the model finds: {found}, {where}; at most {tolerance[0]:g} and "
                f"{tolerance[1]:g} px are expected. Please report it with the model's configuration"
            )
        logger.info("%s: differs from PyTorch by at most %s (%s)", path.name, found, where)


def eager(model: Network, pictures: torch.Tensor, prepared: Prepared) -> dict[str, NDArray[Any]]:
    """What the model itself finds, by the path that evaluation takes.

    Args:
        model: in evaluation mode.
        pictures: uint8 N×H×W×3.
        prepared: what is exported: with a letterbox, boxes are in the pixels of `pictures`.
    """
    metadata = prepared.metadata
    arrays = pictures.numpy()
    size = (arrays.shape[1], arrays.shape[2])
    if metadata.letterbox:
        arrays = np.stack([model.preprocessing(picture) for picture in arrays])
    with torch.inference_mode():
        images = model.normalize(torch.from_numpy(arrays).permute(0, 3, 1, 2))
        found = model.decode_detections(model(images), metadata.num_detections)
    outputs = {name: found[name].numpy() for name in metadata.outputs if name not in metadata.maps}
    if metadata.letterbox:
        outputs["bboxes"] = np.asarray(model.preprocessing.to_original(outputs["bboxes"], size))
    return outputs


def file_input(pictures: torch.Tensor, prepared: Prepared) -> NDArray[Any]:
    """Pictures uint8 N×H×W×3 as the file's input has them."""
    metadata = prepared.metadata
    if metadata.dtype == "float32":
        return metadata.preprocessing.normalize(pictures.numpy())
    return np.ascontiguousarray(pictures if metadata.layout == "NHWC" else pictures.permute(0, 3, 1, 2))


def _trials(prepared: Prepared, same_size: bool) -> list[tuple[int, tuple[int, int]]]:
    """Numbers and sizes of trial pictures: the sample's size, and an odd one."""
    metadata = prepared.metadata
    rows = 1 if metadata.layout == "NHWC" else 2
    height, width = (int(length) for length in prepared.images.shape[rows : rows + 2])
    if same_size:
        return [(2, (height, width)), (1, (height, width))]
    least = (int(metadata.num_detections**0.5) + 1) * metadata.stride  # of a side, so that the map has K cells
    odd = (max(height * 3 // 4 - 5, least), max(width * 7 // 8 - 3, least))
    return [(2, (max(height, least), max(width, least))), (1, odd)]
