"""The comparison that every export ends with: what the file gives to its users, against what the network itself finds."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from centernet.export.graph import detached
from centernet.inference.opening import open_runtime
from centernet.inference.torch_runtime import TorchRuntime

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from centernet.inference.model_metadata import ModelMetadata
    from centernet.network import Network

Arrays = Mapping[str, "NDArray[Any]"]

logger = logging.getLogger(__name__)

SCORES, BOXES, COLUMNS = 1e-4, 0.05, 1e-3
"""Largest differences that a float32 file may have: of scores, of places in pixels, and of other columns as a share of
their largest value. Files of other precisions are only reported on."""

UNMATCHED = 0.05
"""Share of the detections that may lack a partner: of two neighbouring cells with equal values, rounding decides which
is a peak. An untrained network has some such; a file that computes something else loses most of its partners."""


@dataclass(frozen=True)
class Difference:
    """How far two lists of detections are apart.

    Attributes:
        scores: largest difference of matched detections.
        boxes: largest difference of their corners in pixels.
        columns: largest difference of each further output.
        unmatched: detections of the one without a partner of the same class and score in the other, other than at the
            lower end of the list, where equal scores make it a matter of chance which are kept.
        total: detections that were compared.
    """

    scores: float
    boxes: float
    columns: Mapping[str, float]
    unmatched: int
    total: int

    def __str__(self) -> str:
        return (
            f"{self.scores:.1g} in scores, {self.boxes:.1g} px in boxes"
            + "".join(f", {value:.1g} in {name}" for name, value in self.columns.items())
            + (f", {self.unmatched} detections without a partner" if self.unmatched else "")
        )


def difference(expected: Arrays, got: Arrays, *, score_tolerance: float = SCORES) -> Difference:
    """Compare detections of the same images.

    A detection's partner has its label and a score that differs by no more than `score_tolerance`; of several the one
    with the nearest box. At the lower end of the lists a like score may be another object's, so what counts is from
    there up, in either list.

    Args:
        expected, got: `bboxes` N×K×4, `labels` N×K, `scores` N×K, best first, and columns N×K×….
        score_tolerance: scores of partners are this near.

    Raises:
        ValueError: outputs of other names or shapes.
    """
    if expected.keys() != got.keys():
        raise ValueError(f"expected the outputs {', '.join(expected)}, got {', '.join(got)}")
    for name, values in expected.items():
        if values.shape != got[name].shape:
            raise ValueError(f"{name}: expected the shape {values.shape}, got {got[name].shape}")
    largest = {name: 0.0 for name in expected if name != "labels"}
    unmatched = total = 0
    for i in range(len(got["scores"])):
        one, other = ({name: values[i] for name, values in arrays.items()} for arrays in (expected, got))
        for mine, theirs in ((other, one), (one, other)):
            inner = (mine["scores"] > mine["scores"].min(initial=np.inf) + 2 * score_tolerance).nonzero()[0]
            partners = _partners({name: values[inner] for name, values in mine.items()}, theirs, score_tolerance)
            unmatched, total = unmatched + int((partners < 0).sum()), total + len(inner)
            paired, partners = inner[partners >= 0], partners[partners >= 0]
            for name in largest:
                apart = np.abs(mine[name][paired].astype(np.float64) - theirs[name][partners])
                largest[name] = max(largest[name], float(apart.max(initial=0)))
    return Difference(largest.pop("scores"), largest.pop("bboxes"), largest, unmatched, total)


def _partners(mine: Arrays, theirs: Arrays, score_tolerance: float) -> NDArray[np.int64]:
    """Return the row of each detection's partner in the other list; -1 for none."""
    apart = np.abs(mine["scores"][:, None].astype(np.float64) - theirs["scores"])
    near = (apart <= score_tolerance) & (mine["labels"][:, None] == theirs["labels"])
    distance = np.abs(mine["bboxes"][:, None].astype(np.float64) - theirs["bboxes"]).max(-1)
    distance = np.where(near, distance, np.inf)
    rows: NDArray[np.int64] = np.where(near.any(axis=1), distance.argmin(axis=1), -1)
    return rows


def check_file(path: Path, network: Network, sample_hw: tuple[int, int]) -> None:
    """Open a file as `Detector` does, run it on trial images, compare it with the network, and log the difference.

    Args:
        path: of the file.
        network: that was exported.
        sample_hw: height and width of the sample input.

    Raises:
        ValueError: a float32 file whose detections are not the network's.
    """
    runtime: Any = open_runtime(path, device="cpu")
    reference = TorchRuntime(detached(network))
    metadata: ModelMetadata = runtime.metadata
    one_size = getattr(runtime, "one_size", False)
    exact = metadata.precision == "float32"
    for count, size in trial_sizes(metadata, metadata.preprocessing.size if one_size else sample_hw, one_size):
        images = trial_images(count, size).numpy()
        expected = _eager(reference, images, metadata)
        got = runtime(images, metadata.num_detections)
        found = difference(expected, got, score_tolerance=SCORES if exact else 0.05)
        where = f"on {count} trial {'image' if count == 1 else 'images'} of {size[0]}×{size[1]}"
        if exact and not _agree(found, expected, metadata):
            raise ValueError(
                f"{path}: the file does not find what the model finds: {found}, {where}; at most {SCORES:g} and "
                f"{BOXES:g} px are expected. Please report it with the model's configuration"
            )
        logger.info("%s: differs from PyTorch by at most %s (%s)", path.name, found, where)


def _agree(found: Difference, expected: Arrays, metadata: ModelMetadata) -> bool:
    """Return True if a difference is none but of rounding."""
    places = {column.name for column in metadata.columns if column.kind in ("points", "boxes")}
    limits = {
        name: BOXES if name in places else COLUMNS * max(1, float(np.abs(expected[name]).max(initial=0)))
        for name in found.columns
    }
    return (
        found.scores <= SCORES
        and found.boxes <= BOXES
        and all(value <= limits[name] for name, value in found.columns.items())
        and found.unmatched <= UNMATCHED * found.total
    )


def _eager(reference: TorchRuntime, images: NDArray[np.uint8], metadata: ModelMetadata) -> dict[str, NDArray[Any]]:
    """Return what the network finds in images as the file takes them; with a letterbox, in their pixels."""
    if not metadata.letterbox:
        return reference(images, metadata.num_detections)
    preprocessing, size = metadata.preprocessing, (images.shape[1], images.shape[2])
    found = reference(np.stack([preprocessing(image) for image in images]), metadata.num_detections)
    found["bboxes"] = np.asarray(preprocessing.to_original(found["bboxes"], size))
    (x, _, left), (_, y, top) = preprocessing.matrix(size)
    for column in metadata.columns:
        if column.kind in ("points", "boxes"):
            moved = 2 if column.kind == "points" else 4
            values = found[column.name].copy()
            values[..., :moved] = (values[..., :moved] - [left, top, left, top][:moved]) / [x, y, x, y][:moved]
            found[column.name] = values
    return found


def trial_sizes(metadata: ModelMetadata, size_hw: tuple[int, int], one_size: bool) -> list[tuple[int, tuple[int, int]]]:
    """Return numbers and sizes of trial images: the sample's size, an odd one, and large ones where a graph resizes."""
    height, width = size_hw
    if one_size:
        return [(2, size_hw), (1, size_hw)]
    least = (int(metadata.num_detections**0.5) + 1) * metadata.stride  # of a side, so that the map has K cells
    odd = (max(height * 3 // 4 - 5, least), max(width * 7 // 8 - 3, least))
    large = [(1, (2 * height, 2 * width)), (1, (3 * height + 7, 5 * width // 2))] if metadata.letterbox else []
    return [(2, (max(height, least), max(width, least))), (1, odd), *large]


def trial_images(count: int, size_hw: tuple[int, int], *, seed: int = 0) -> Tensor:
    """Return something like photographs, soft shapes under fine detail: uint8 N×H×W×3."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size_hw
    coarse = torch.rand(count, 3, 6, 8, generator=generator)
    soft = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    detail = torch.rand(count, 3, height, width, generator=generator) - 0.5
    return ((soft + 0.2 * detail) * 255).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
