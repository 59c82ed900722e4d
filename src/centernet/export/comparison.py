"""Comparison of an exported file, as its users run it, with the network itself: on trial images, and in figures."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from centernet.data import DetectionDataset
from centernet.evaluation import CocoEvaluator, CocoResult
from centernet.export.graph import Prepared, detached
from centernet.images import Preprocessing
from centernet.inference import Detector
from centernet.inference.exported import network_input
from centernet.inference.model_metadata import OUTPUTS
from centernet.inference.opening import open_file
from centernet.inference.torch_runtime import TorchRuntime
from centernet.network import Network

Arrays = Mapping[str, NDArray[Any]]

logger = logging.getLogger(__name__)

SCORES, BOXES, COLUMNS = 1e-4, 0.05, 1e-3
"""Largest differences that a float32 file may have: of scores, of places in pixels, and of other columns as a share of
their largest value. Files of other precisions are only reported on."""

PLACE = 1.0
"""Pixels from which on a box is that of another peak."""

UNMATCHED = 0.05
"""Share of the detections that may lack a partner: of two neighbouring cells with equal values, rounding decides which
is a peak. An untrained network has some such; a file that computes something else loses most of its partners."""


@dataclass(frozen=True)
class Difference:
    """The largest differences of two lists of detections: of scores, corners in pixels, and each further output; how
    many lack a partner of the same class, score and place in the other list, and how many were compared."""

    scores: float
    boxes: float
    columns: Mapping[str, float]
    unmatched: int
    total: int

    def __str__(self) -> str:
        parts = [f"{self.scores:.1g} in scores", f"{self.boxes:.1g} px in boxes"]
        parts += [f"{value:.1g} in {name}" for name, value in self.columns.items()]
        return ", ".join(parts + [f"{self.unmatched} detections without a partner"] * bool(self.unmatched))


def accuracy(model: Any, dataset: DetectionDataset, *, trust: bool = False) -> CocoResult:
    """Compute COCO's figures of whatever `Detector` opens on a labelled data set, by the path of a user's images.

    `trust` is that of `Detector`. A data set whose classes are not the model's, in this order, is a ValueError.
    """
    detector = Detector(model, score_threshold=0.0, batch_size=1, trust=trust)
    if detector.class_names and tuple(detector.class_names) != tuple(dataset.class_names):
        raise ValueError(
            f"the model's classes ({', '.join(detector.class_names[:5])}, …) are not those of the data set "
            f"({', '.join(dataset.class_names[:5])}, …), in this order"
        )
    evaluator = CocoEvaluator(dataset.class_names)
    paths = [dataset.path(i) for i in range(len(dataset))]
    for i, (_, detections) in enumerate(detector.stream(paths)):
        evaluator.update(dataset.annotation(i), detections)
    return evaluator.compute()


def difference(
    expected: Arrays, got: Arrays, *, score_tolerance: float = SCORES, place_tolerance: float = np.inf
) -> Difference:
    """Compare detections of the same images.

    A detection's partner has its label, a score that differs by no more than `score_tolerance` and a box whose corners
    are within `place_tolerance`; of several the one with the nearest box. At the lower end of the lists it is chance
    which of equal scores are kept: what counts is from there up, in either list.

    Args:
        expected, got: `bboxes` N×K×4, `labels` N×K, `scores` N×K, best first, and columns N×K×….
        score_tolerance: scores of partners are this near.
        place_tolerance: boxes of partners are this near, in pixels.

    Raises:
        ValueError: an output is missing or has another shape.
    """
    if not expected.keys() <= got.keys():
        raise ValueError(f"expected the outputs {', '.join(expected)}, got {', '.join(got)}")
    for name, values in expected.items():
        if values.shape != got[name].shape:
            raise ValueError(f"{name}: expected the shape {values.shape}, got {got[name].shape}")
    largest = {name: 0.0 for name in expected if name != "labels"}
    unmatched = total = 0
    for i in range(len(got["scores"])):
        for mine, theirs in ((got, expected), (expected, got)):
            scores = mine["scores"][i]
            rows = (scores > scores.min(initial=np.inf) + 2 * score_tolerance).nonzero()[0]
            apart = np.abs(scores[rows, None].astype(np.float64) - theirs["scores"][i])
            distance = np.abs(mine["bboxes"][i][rows, None].astype(np.float64) - theirs["bboxes"][i]).max(-1)
            near = (apart <= score_tolerance) & (mine["labels"][i][rows, None] == theirs["labels"][i])
            near &= distance <= place_tolerance
            found = near.any(axis=1)
            partners = np.where(near, distance, np.inf)[found].argmin(axis=1)
            unmatched, total = unmatched + int((~found).sum()), total + len(rows)
            for name in largest:
                values = np.abs(mine[name][i][rows[found]].astype(np.float64) - theirs[name][i][partners])
                largest[name] = max(largest[name], float(values.max(initial=0)))
    return Difference(largest.pop("scores"), largest.pop("bboxes"), largest, unmatched, total)


def check_file(path: Path, network: Network, prepared: Prepared) -> None:
    """Open a file as `Detector` does, run it on trial images, compare it with the network, and log the difference.

    A float32 file whose detections, or raw maps where it has these alone, are not the network's is a ValueError.
    """
    runtime: Any = open_file(path, device="cpu", trust=True)  # it was written a moment ago, by this process
    reference, metadata = TorchRuntime(detached(network)), runtime.metadata
    exact = metadata.precision == "float32"
    for count, size in _trials(runtime, prepared.sample_hw):
        images = trial_images(count, size).numpy()
        if not metadata.decoded:
            _check_maps(path, runtime, reference.model, images)
            continue
        expected = _eager(reference, images, prepared)
        got = runtime(images, metadata.num_detections)
        near, place = (SCORES, PLACE) if exact else (0.05, np.inf)
        found = difference(expected, got, score_tolerance=near, place_tolerance=place)
        where = f"on {count} trial {'image' if count == 1 else 'images'} of {size[0]}×{size[1]}"
        limits = {name: COLUMNS * max(1, float(np.abs(expected[name]).max(initial=0))) for name in found.columns}
        limits |= {column.name: BOXES for column in metadata.columns if column.kind in ("points", "boxes")}
        agree = found.scores <= SCORES and found.boxes <= BOXES and found.unmatched <= UNMATCHED * found.total
        if exact and not (agree and all(value <= limits[name] for name, value in found.columns.items())):
            raise ValueError(
                f"{path}: the file does not find what the model finds: {found}, {where}; at most {SCORES:g} and "
                f"{BOXES:g} px are expected. Please report it with the model's configuration"
            )
        logger.info("%s: differs from PyTorch by at most %s (%s)", path.name, found, where)


def _eager(reference: TorchRuntime, images: NDArray[np.uint8], prepared: Prepared) -> Arrays:
    """Return what the network finds in images as the file takes them, with boxes that end where the images do; with a
    letterbox, in their pixels."""
    labels, count, classes = prepared.labels, prepared.metadata.num_detections, prepared.options.classes
    if prepared.metadata.letterbox:
        detector = Detector(reference, score_threshold=0.0, num_detections=count, classes=classes)
        each = detector([*images])
        columns = [*OUTPUTS, *each[0].data]
        rows = [{name: getattr(one, name) if name in OUTPUTS else one.data[name] for name in columns} for one in each]
        found = {name: np.stack([_filled(one[name], count) for one in rows]) for name in columns}
    else:
        found = dict(reference(images, count, labels=labels))
        found["bboxes"] = Preprocessing(resize="keep").to_original(found["bboxes"], images.shape[1:3])
    return found if labels is None else found | {"labels": np.searchsorted(labels, found["labels"])}


def _filled(values: NDArray[Any], count: int) -> NDArray[Any]:
    """Return as many rows, with zeros where there are fewer, as files have them."""
    return np.pad(values, [(0, count - len(values)), *[(0, 0)] * (values.ndim - 1)])


def _check_maps(path: Path, runtime: Any, network: Network, images: NDArray[np.uint8]) -> None:
    """Compare raw maps, which a runtime gives in the order of the metadata's outputs, with those of the network."""
    with torch.no_grad():
        encoded = network(network.normalize(torch.from_numpy(images).permute(0, 3, 1, 2)))
    expected = network.named_maps(encoded)
    got = runtime.run(network_input(images, runtime.metadata))
    apart = {
        name: float(np.abs(got[name] - raw.numpy()).max() / max(1.0, float(raw.abs().max())))
        for name, raw in expected.items()
    }
    said = ", ".join(f"{value:.1g} in {name}" for name, value in apart.items())
    if runtime.metadata.precision == "float32" and max(apart.values()) > COLUMNS:
        raise ValueError(f"{path}: the raw maps are not the model's: {said} of their largest value. Please report it")
    logger.info("%s: differs from PyTorch by at most %s of the largest value of each raw map", path.name, said)


def _trials(runtime: Any, sample_hw: tuple[int, int]) -> list[tuple[int, tuple[int, int]]]:
    """Return numbers and sizes of trial images: the sample's size, an odd one, a large one where a graph resizes."""
    metadata = runtime.metadata
    if runtime.one_size:
        return [(2, metadata.preprocessing.size), (1, metadata.preprocessing.size)]
    least = (int(metadata.num_detections**0.5) + 1) * metadata.stride  # of a side, so that the map has K cells
    height, width = (max(side, least) for side in sample_hw)
    odd = (max(height * 3 // 4 - 5, least), max(width * 7 // 8 - 3, least))
    large = [(1, (2 * height, 2 * width))] if metadata.letterbox else []  # whole factors leave no ties of rounding
    return [(2, (height, width)), (1, odd), *large]


def trial_images(count: int, size_hw: tuple[int, int], *, seed: int = 0) -> torch.Tensor:
    """Return something like photographs, soft shapes under fine detail: uint8 N×H×W×3."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size_hw
    coarse = torch.rand(count, 3, 6, 8, generator=generator)
    soft = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    detail = torch.rand(count, 3, height, width, generator=generator) - 0.5
    return ((soft + 0.2 * detail) * 255).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
