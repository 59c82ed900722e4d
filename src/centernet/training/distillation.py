"""Distillation: a training that learns from the heatmap and the boxes of a frozen model beside the data.

The student's heatmap is held to the teacher's probabilities by the quality focal loss, whose targets lie anywhere in
[0, 1] (https://arxiv.org/abs/2006.04388), and its boxes at the teacher's best cells to the teacher's by GIoU.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from centernet.annotations.class_names import places_of
from centernet.detections import NUM_DETECTIONS
from centernet.network.levels import on_level
from centernet.network.network import Network
from centernet.network.weights import load_network
from centernet.ops import Peaks, quality_focal_loss, weighted_iou_loss
from centernet.trust import Trust

if TYPE_CHECKING:
    from centernet.data.batch import Batch

logger = logging.getLogger(__name__)

MIN_SCORE = 0.1
"""Boxes of the teacher from this score on are learned."""


class Distillation:
    """A frozen teacher and the terms that it adds to the losses of a student.

    It is no module: no state dict, optimiser or averaged model has a part of it.

    Args:
        teacher: a network, a checkpoint (``.ckpt``), a folder of `save_pretrained`, or the name of a model in the
            package.
        weight: of both terms.
        trust: as of `centernet.network.load_network`.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: a weight that is not above 0.
    """

    def __init__(self, teacher: Network | str | PathLike[str], weight: float = 1.0, *, trust: Trust = False) -> None:
        if not weight > 0:
            raise ValueError(f"teacher_weight is {weight}: expected a number above 0")
        self.weight = weight
        self.source = "the given network" if isinstance(teacher, Network) else str(teacher)
        try:
            network = teacher if isinstance(teacher, Network) else load_network(teacher, trust=trust)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"teacher: {error}") from error
        self.teacher = network.eval().requires_grad_(False)
        self._own: list[int] = []  # labels of the student that the teacher knows
        self._known: list[int] = []  # the teacher's labels of the same classes

    def __deepcopy__(self, memo: dict[int, Any]) -> Distillation:
        return self  # a copy of the student, such as its average, needs no second teacher

    def prepare(self, student: Network, class_names: Sequence[str] | None) -> None:
        """Match the classes of a student with the teacher's by name; synonyms such as aeroplane and airplane are one.

        Args:
            student: to be trained.
            class_names: its classes.

        Raises:
            ValueError: no class is shared, or a student of several levels whose grids are others than the teacher's.
        """
        names, known = list(class_names or ()), list(self.teacher.class_names or ())
        places = places_of(names, known)
        before = self._own
        self._own = [label for label, place in enumerate(places) if place >= 0]
        self._known = [place for place in places if place >= 0]
        if not self._own:
            raise ValueError(
                f"teacher {self.source} knows none of the classes {_listed(names)}: its own are {_listed(known)}. Give "
                "a teacher of the same classes, or name those of the data as it does (model.class_names)"
            )
        if len(student.strides) > 1 and not self._same_grids(student):
            raise ValueError(
                f"teacher {self.source} has maps of strides {_grids(self.teacher)}, the model {_grids(student)}: a "
                "model of several levels learns from a teacher with the same ones. Give one with the same model.neck, "
                "or a model.neck of one level, such as FPN"
            )
        if self._own != before:
            shared = _listed([names[label] for label in self._own])
            logger.info("teacher %s: %d of %d classes: %s", self.source, len(self._own), len(names), shared)

    def __call__(self, student: Network, encoded: dict[str, Any], batch: Batch) -> dict[str, Tensor]:
        """Compute the terms of a batch.

        Args:
            student: that `prepare` was called with.
            encoded: its raw maps of the batch, with gradients.
            batch: images of which the teacher sees the same pixels, by its own normalisation. Ignored regions are left
                out.

        Returns:
            `teacher_heatmap`, the sum over cells and shared classes by the number of the teacher's objects;
            `teacher_box`, the mean over these by their scores. Weighted scalars, float32.
        """
        if next(self.teacher.parameters()).device != batch.images.device:
            self.teacher.to(batch.images.device)
        with torch.no_grad():
            seen = self.teacher(self.teacher.normalize(batch.images))
            backgrounds = [target.background for target in student.targets_of_all(encoded, batch)]
            peaks, boxes = self._objects(student, encoded, seen)
            weights = _outside_regions(peaks, backgrounds)
            number = (weights > 0).sum().clamp(min=1)
            probabilities = self._probabilities(student, encoded, seen)
        heatmap = [
            quality_focal_loss(
                on_level(encoded[student.finder], level)[:, self._own],
                target,
                background=None if background is None else background[:, self._own],
                normalizer=number,
            )
            for level, (target, background) in enumerate(zip(probabilities, backgrounds, strict=True))
        ]
        own_boxes = student.decode_peaks(encoded, peaks)["bboxes"]
        box = weighted_iou_loss(own_boxes.flatten(0, 1), boxes.flatten(0, 1), weights.flatten())
        return {"teacher_heatmap": self.weight * torch.stack(heatmap).sum(), "teacher_box": self.weight * box}

    def _same_grids(self, student: Network) -> bool:
        return self.teacher.strides == student.strides and self.teacher.neck.point == student.neck.point

    def _objects(self, student: Network, encoded: dict[str, Any], seen: dict[str, Any]) -> tuple[Peaks, Tensor]:
        """Return the teacher's objects of shared classes as the student's cells and labels, 0 for scores too low, and
        their boxes B×K×4."""
        teacher = self.teacher
        labels = self._known if teacher.takes_labels else None
        peaks = teacher.find_peaks(seen, teacher.num_detections or NUM_DETECTIONS, labels=labels)
        found = teacher.decode_peaks(seen, peaks)
        own = torch.full((teacher.num_classes,), -1, device=peaks.labels.device)
        own[self._known] = torch.tensor(self._own, device=own.device)
        label = own[found["labels"]]
        boxes, scores = found["bboxes"], found["scores"].float()
        taught = (label >= 0) & (scores >= MIN_SCORE) & (boxes[..., 2:] > boxes[..., :2]).all(-1)
        scores, label = torch.where(taught, scores, 0.0), label.clamp(min=0)
        if self._same_grids(student):
            return peaks._replace(scores=scores, labels=label), boxes
        height, width = on_level(encoded[student.finder], 0).shape[-2:]
        center = (boxes[..., :2] + boxes[..., 2:]) / (2 * student.stride)
        x, y = (center - student.neck.point).round().long().unbind(-1)
        x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
        return Peaks(scores, label, y * width + x, x.float(), y.float()), boxes

    def _probabilities(self, student: Network, encoded: dict[str, Any], seen: dict[str, Any]) -> list[Tensor]:
        """Return the teacher's probabilities of the shared classes on the student's grids, one map a level."""
        teacher, levels = self.teacher, range(len(self.teacher.strides))
        maps = [on_level(seen[teacher.finder], level)[:, self._known].float().sigmoid() for level in levels]
        if self._same_grids(student):
            return maps
        grid = on_level(encoded[student.finder], 0).shape[-2:]
        placed = [
            _resampled(x, stride, teacher.neck.point, grid, student.stride, student.neck.point)
            for x, stride in zip(maps, teacher.strides, strict=True)
        ]
        return [torch.stack(placed).amax(0)]


def _outside_regions(peaks: Peaks, backgrounds: Sequence[Tensor | None]) -> Tensor:
    """Return the scores of peaks, B×K, 0 in ignored regions of their class."""
    known = [background.flatten(2) for background in backgrounds if background is not None]
    if not known:
        return peaks.scores
    images = torch.arange(len(peaks.cells), device=peaks.cells.device)[:, None]
    return peaks.scores * torch.cat(known, dim=2)[images, peaks.labels, peaks.cells]


def _resampled(
    maps: Tensor, stride: int, point: float, grid: Sequence[int], own_stride: int, own_point: float
) -> Tensor:
    """Return maps on another grid: the largest of the cells that one covers where they are finer, and bilinearly."""
    times = max(own_stride // stride, 1)
    if times > 1:
        maps = F.max_pool2d(maps, times, ceil_mode=True)
        stride, point = stride * times, ((times - 1) / 2 + point) / times
    places = [(torch.arange(size, device=maps.device) + own_point) * own_stride / stride - point for size in grid]
    y, x = ((2 * place + 1) / size - 1 for place, size in zip(places, maps.shape[-2:], strict=True))
    at = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).expand(len(maps), -1, -1, -1)  # B×H×W×2
    return F.grid_sample(maps, at, padding_mode="border", align_corners=False)


def _listed(names: Sequence[str], most: int = 12) -> str:
    return ", ".join([*names[:most], f"… ({len(names)})"] if len(names) > most else names) or "(no names)"


def _grids(network: Network) -> str:
    return f"{', '.join(map(str, network.strides))} (point {network.neck.point:g})"
