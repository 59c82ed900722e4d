"""The network: backbone → neck → heads. Source: https://arxiv.org/abs/1904.07850.

Nothing here names a head: a detector is a dict of heads, one of which finds the peaks that the others are read at.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from centernet.calibration import Calibration
from centernet.detections import NUM_DETECTIONS, Column
from centernet.images import Preprocessing
from centernet.lineage import Lineage
from centernet.network.backbones import Backbone
from centernet.network.heads import Head
from centernet.network.heads.head import Output
from centernet.network.levels import (
    LevelAssignment,
    Levels,
    beside,
    by_fit,
    by_size,
    each_decode,
    each_map,
    loss_terms,
    on_level,
    only,
    parts,
)
from centernet.network.necks import Neck
from centernet.network.weighting import UncertaintyWeighting
from centernet.ops import Peaks, Targets, order_by_score, suppress
from centernet.tracking import Tracker

if TYPE_CHECKING:
    from centernet.data.batch import Batch

NeckFactory = Callable[[Sequence[int], Sequence[int]], Neck]
HeadFactory = Callable[[int, int, int], Head]

MOST_DETECTIONS = 100_000
"""Detections an image that a model may ask for: rows are there whether objects are or not."""


class Network(nn.Module):
    """A detector of `num_classes` classes.

    Args:
        backbone: images → maps of several strides.
        neck: built with the backbone's channels and strides: maps → one map, or one a level.
        heads: name → head, built with the neck's channels and stride and the number of classes, once a level. Exactly
            one of them finds peaks.
        num_classes: may be left out where `class_names` are given.
        class_names: in the order of the labels; taken from the data set at the first training when None.
        preprocessing: how an image becomes the network's input; travels into checkpoints and exports.
        nms_iou: suppress a box that overlaps a better one of its class by more than this; None for none, which is
            CenterNet's way.
        num_candidates: peaks that suppression sees, of which the best that are left become detections; None for as many
            as there are to be detections.
        peak_margin: suppression sees cells, too, whose logit is at most this much below the highest of their
            neighbourhood: of two objects in neighbouring cells both are found.
        merge_boxes: a box that suppression leaves becomes the mean of itself and those that it suppresses, by score and
            overlap.
        level_assignment: the level that an object trains, of a neck with several: by its `size` (√area below 8 strides
            of the level), or the one that has the best `fit` as the network is now, which goes on from weights that
            were trained so.
        loss_weighting: how the losses of the heads become one; None sums them with the heads' own weights.
        tracker: arguments of `centernet.tracking.Tracker` that suit the model, such as its preset and thresholds:
            validation on videos and `inference_tracking` use them.
        num_detections: objects an image that suit the model: the default of validation, `Detector` and exports. None:
            training chooses it, so that it is enough for the densest image of the data; until then it is 100.
        calibration: makes probabilities of the heads' scores, and says from which on an object is worth showing; found
            by validation in a training, or by `CenterNet.calibrate`. None leaves scores as they are.

    Attributes:
        strides: input pixels a cell of the raw maps of each level, finest first.
        stride: that of the finest level.
        finder: name of the head that finds peaks.
        intermediate: heads of the stacks before the last one of a backbone that has several, for training alone.
        takes_labels: whether that head can look for some classes alone, as `decode_detections` needs for `labels`.
        hyper_parameters: the `model` section that the network was built from; empty where it was built by hand.
        lineage: where the weights are from, and their terms; None where they are from nowhere, or nothing is known.

    Raises:
        ValueError: parts that do not fit each other, named.
    """

    def __init__(
        self,
        backbone: Backbone,
        neck: NeckFactory,
        heads: dict[str, HeadFactory],
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        preprocessing: Preprocessing = Preprocessing(),  # noqa: B008 - frozen
        nms_iou: float | None = None,
        num_candidates: int | None = None,
        peak_margin: float = 0.0,
        merge_boxes: bool = False,
        level_assignment: LevelAssignment = "size",
        loss_weighting: UncertaintyWeighting | None = None,
        tracker: dict[str, Any] | None = None,
        num_detections: int | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        super().__init__()
        if class_names is not None:
            if num_classes not in (None, len(class_names)):
                raise ValueError(
                    f"model.num_classes is {num_classes}, but model.class_names has {len(class_names)} names"
                )
            if len(set(class_names)) != len(class_names):
                raise ValueError(f"model.class_names has a name twice: {list(class_names)}")
            num_classes = len(class_names)
        if num_classes is None or num_classes < 1:
            raise ValueError(f"model.num_classes is {num_classes}: give it, or model.class_names")
        if num_detections is not None and not 1 <= num_detections <= MOST_DETECTIONS:
            raise ValueError(f"model.num_detections: expected 1 to {MOST_DETECTIONS}, got {num_detections}")
        self.num_classes, self.num_detections = num_classes, num_detections
        self.class_names = tuple(class_names) if class_names is not None else None
        self.preprocessing = preprocessing
        if num_candidates is not None and (num_candidates < 1 or nms_iou is None):
            raise ValueError(f"model.num_candidates is {num_candidates}: at least 1, and only with model.nms_iou")
        if peak_margin < 0 or ((peak_margin or merge_boxes) and nms_iou is None):
            raise ValueError(
                f"model.peak_margin is {peak_margin}, model.merge_boxes {merge_boxes}: a margin is at least 0, and "
                "both are for suppression: set model.nms_iou"
            )
        self.nms_iou, self.num_candidates = nms_iou, num_candidates
        self.peak_margin, self.merge_boxes = peak_margin, merge_boxes
        self.level_assignment = level_assignment
        self.hyper_parameters: dict[str, Any] = {}
        self.backbone = backbone
        began = getattr(backbone, "origin", None)
        self.lineage = None if began is None else Lineage(started_from=began)
        self.neck = neck(backbone.out_channels, backbone.out_strides)
        self.strides = self.neck.out_strides or (self.neck.out_stride,)
        self.stride = self.strides[0]
        channels = self.neck.out_channels

        def build_heads() -> nn.ModuleDict:
            built = nn.ModuleDict()
            for name, build in heads.items():
                several = len(self.strides) > 1
                built[name] = (
                    Levels.of(build, channels, self.strides, num_classes)
                    if several
                    else build(channels, self.stride, num_classes)
                )
            return built

        self.heads = build_heads()
        self.intermediate = nn.ModuleList(build_heads() for _ in range(backbone.num_stacks - 1))
        finders = [name for name, head in self.heads.items() if hasattr(parts(head)[0], "find_peaks")]
        if len(finders) != 1:
            raise ValueError(f"model.heads needs exactly one head that finds peaks (a HeatmapHead), got {finders}")
        self.finder = finders[0]
        find_peaks: Any = parts(self.heads[self.finder])[0].find_peaks
        self.takes_labels = "labels" in inspect.signature(find_peaks).parameters
        self.loss_weighting = loss_weighting
        if loss_weighting is not None:
            loss_weighting.check(self.heads.keys())
        self.register_buffer("_mean", 255 * torch.tensor(preprocessing.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("_std", 255 * torch.tensor(preprocessing.std).view(3, 1, 1), persistent=False)
        self.tracker = dict(tracker or {})
        if "frame_rate" in self.tracker:
            raise ValueError("model.tracker: frame_rate is that of each video, not the model's; leave it out")
        Tracker(**self.tracker)  # its options are right
        self.calibration = calibration
        if calibration is not None and self.class_names is not None:
            unknown = sorted(calibration.class_thresholds.keys() - set(self.class_names))
            if unknown:
                raise ValueError(f"model.calibration.class_thresholds: {unknown[0]!r} is none of model.class_names")
        self.to(memory_format=torch.channels_last)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that heads add to detections beside boxes, labels and scores, in the order of the heads."""
        return tuple(column for head in self.heads.values() for column in parts(head)[0].columns)

    @property
    def every_head(self) -> list[Head]:
        """All heads, of all levels and stacks."""
        every: list[Any] = [self.heads, *self.intermediate]
        return [part for heads in every for head in heads.values() for part in parts(head)]

    @property
    def map_names(self) -> tuple[str, ...]:
        """The names of the raw maps: the heads', with those of the maps of a head that has several, as in
        `keypoints_heatmap`; of several levels with the stride behind, as in `heatmap_8`."""
        return tuple(self._map_places())

    def _map_places(self) -> dict[str, tuple[str, int, str | None]]:
        """Name of each raw map → its head, level, and name within the head."""
        places: dict[str, tuple[str, int, str | None]] = {}
        for name, head in self.heads.items():
            for own in parts(head)[0].maps or (None,):
                for level, stride in enumerate(self.strides):
                    steps = (name, *([] if own is None else [own]), *([] if len(self.strides) == 1 else [str(stride)]))
                    places["_".join(steps)] = name, level, own
        return places

    def named_maps(self, encoded: dict[str, Any]) -> dict[str, Tensor]:
        """Return the raw maps of `forward` one by one, by `map_names`."""
        found: dict[str, Tensor] = {}
        for key, (name, level, own) in self._map_places().items():
            output = on_level(encoded[name], level)
            found[key] = output if own is None else output[own]
        return found

    def encoded_of(self, maps: dict[str, Tensor]) -> dict[str, Any]:
        """Return raw maps by `map_names` as `forward` gives them."""
        encoded: dict[str, list[Any]] = {}
        for key, (name, level, own) in self._map_places().items():
            levels = encoded.setdefault(name, [{} for _ in self.strides])
            if own is None:
                levels[level] = maps[key]
            else:
                levels[level][own] = maps[key]
        return {name: levels if len(levels) > 1 else levels[0] for name, levels in encoded.items()}

    def normalize(self, images: Tensor) -> Tensor:
        """Images N×3×H×W uint8 RGB → float32 as the preprocessing says, on their device."""
        mean: Tensor = self._mean  # type: ignore[assignment]
        std: Tensor = self._std  # type: ignore[assignment]
        if self.preprocessing.channels == "bgr":
            images = images.flip(1)
        return (images.float() - mean) / std

    def forward(self, images: Tensor) -> dict[str, Any]:
        """Compute the raw maps.

        Args:
            images: N×3×H×W float, normalised. H and W need not be multiples of anything: they are padded with
                zeros inside, and the maps cut back.

        Returns:
            head name → N×C×⌈H/stride⌉×⌈W/stride⌉, logits, or a dict of such of a head with several maps; a list of
            those of all levels, finest first, where the neck has several. In training also name.0 … of the stacks
            before the last one, where the backbone has several.
        """
        height, width = images.shape[-2:]
        coarsest = self.backbone.divisor
        pad_bottom = (height + coarsest - 1) // coarsest * coarsest - height
        pad_right = (width + coarsest - 1) // coarsest * coarsest - width
        # A graph that is exported serves any size.
        exported = torch.jit.is_tracing() or torch.compiler.is_exporting()  # type: ignore[attr-defined, no-untyped-call]
        padded = exported or pad_bottom or pad_right
        if padded:
            images = F.pad(images, (0, pad_right, 0, pad_bottom))
        if self.training and self.intermediate:
            *before, last = (self.neck(x) for x in self.backbone.stacks(images))
        else:
            before, last = [], self.neck(self.backbone(images))
        maps = {name: head(last) for name, head in self.heads.items()}
        for i, features in enumerate(before):
            heads: Any = self.intermediate[i]
            maps |= {f"{name}.{i}": head(features) for name, head in heads.items()}
        if padded:
            sizes = [((height + s - 1) // s, (width + s - 1) // s) for s in self.strides]
            cuts = [partial(_cut, rows=rows, columns=columns) for rows, columns in sizes]
            for name, x in maps.items():
                if isinstance(x, list):
                    maps[name] = [each_map(cut, y) for cut, y in zip(cuts, x, strict=True)]
                else:
                    maps[name] = each_map(cuts[0], x)
        return maps

    def with_mirror(self, images: Tensor) -> dict[str, Any]:
        """Compute the raw maps of images and of their mirror images, averaged where that can be: the flip test.

        Arguments and returns as of `forward`; a ValueError where the width is no multiple of the stride.
        """
        if images.shape[-1] % self.strides[-1]:
            raise ValueError(
                f"flip: the input is {images.shape[-1]} wide, no multiple of the stride {self.strides[-1]}"
            )
        maps, mirrored = self(images), self(images.flip(-1))
        for name, head in self.heads.items():
            levels = [
                part.with_mirror(on_level(maps[name], level), each_map(_turned, on_level(mirrored[name], level)))
                for level, part in enumerate(parts(head))
            ]
            maps[name] = levels if isinstance(maps[name], list) else levels[0]
        return maps  # type: ignore[no-any-return]

    def decode_detections(
        self,
        encoded: dict[str, Any],
        num_detections: int | None = None,
        *,
        score_threshold: float = 0.0,
        labels: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """Decode the best boxes of each image.

        Args:
            encoded: the maps of `forward`.
            num_detections: K, limited to the cells of the map; None: the model's own.
            score_threshold: scores below it become 0.
            labels: of the classes to find; objects of others take none of the K rows. None for all.

        Returns:
            `bboxes` N×K×4 float32 in input pixels, x1 ≤ x2 and y1 ≤ y2, `labels` N×K int64, `scores` N×K float32, best
            first and calibrated where there is a `calibration`, and the `columns` of other heads. Rows are K even where
            fewer objects exist: their scores fall towards 0.
        """
        count = num_detections or self.num_detections or NUM_DETECTIONS
        candidates, margin = count, 0.0
        if self.nms_iou is not None:
            candidates, margin = max(count, self.num_candidates or 0), self.peak_margin
        peaks = self.find_peaks(encoded, candidates, labels=labels, margin=margin)
        detections = self.decode_peaks(encoded, peaks)
        detections["bboxes"] = _ordered(detections["bboxes"])
        if detections["scores"] is not peaks.scores:
            detections = order_by_score(detections)
        if self.nms_iou is not None:
            detections = suppress(detections, self.nms_iou, count, merge=self.merge_boxes)
        if self.calibration is not None:
            detections["scores"] = self.calibration(detections["scores"])
        if score_threshold > 0:
            scores = detections["scores"]
            detections["scores"] = torch.where(scores >= score_threshold, scores, 0.0)
        return detections

    def find_peaks(
        self,
        encoded: dict[str, Any],
        num_peaks: int,
        *,
        labels: Sequence[int] | None = None,
        margin: float = 0.0,
    ) -> Peaks:
        """Find the best `num_peaks` cells of each image, of some classes or all, in the maps of `forward`; with a
        margin those, too, whose logit is at most so much below the highest of their neighbourhood."""
        some: dict[str, Any] = {} if labels is None else {"labels": sorted(set(labels))}
        some |= {"margin": margin} if margin else {}
        finder: Any = parts(self.heads[self.finder])[0]
        return finder.find_peaks(encoded[self.finder], num_peaks, **some)  # type: ignore[no-any-return]

    def decode_peaks(self, encoded: dict[str, Any], peaks: Peaks) -> dict[str, Tensor]:
        """Decode cells, in their order: `bboxes`, `labels`, `scores` and `columns` as of `decode_detections`, but
        neither sorted, suppressed nor calibrated, and a width may be negative. Gradients reach the maps."""
        detections = {"scores": peaks.scores, "labels": peaks.labels.to(torch.int64)}
        for name, head in sorted(self.heads.items(), key=lambda item: parts(item[1])[0].reads_boxes):
            if parts(head)[0].reads_boxes and peaks.boxes is None:
                peaks = peaks._replace(boxes=_ordered(detections["bboxes"]))
            detections |= self._decode(parts(head), encoded[name], peaks)
            peaks = peaks._replace(scores=detections["scores"])
        return detections

    def _decode(self, heads: list[Head], output: Output | list[Output], peaks: Peaks) -> dict[str, Tensor]:
        """Decode what a head has to say of the peaks, in input pixels."""
        if peaks.levels is None or not isinstance(output, list):
            return heads[0].decode(output, peaks)
        strides = torch.tensor(self.strides, dtype=torch.float32, device=peaks.levels.device)[peaks.levels]
        shift = (self.neck.point - 0.5) * strides
        if heads[0].proportional:
            found = heads[0].decode(beside(output), peaks)
            scale = strides / self.stride
        else:
            if peaks.boxes is not None:  # as the head measures
                peaks = peaks._replace(boxes=peaks.boxes - shift.unsqueeze(-1))
            found = each_decode(heads, output, peaks)
            scale = torch.ones_like(strides)

        def moved(places: Tensor) -> Tensor:
            one_each = (*scale.shape, *[1] * (places.ndim - 2))
            return places * scale.reshape(one_each) + shift.reshape(one_each)

        for name, kind in [("bboxes", "boxes"), *((column.name, column.kind) for column in heads[0].columns)]:
            if name in found and kind == "boxes":
                found[name] = moved(found[name])
            elif name in found and kind == "points":
                found[name] = torch.cat([moved(found[name][..., :2]), found[name][..., 2:]], dim=-1)
        return found

    def targets_of_all(self, encoded: dict[str, Any], batch: Batch) -> list[Targets]:
        """Return the targets of each level, each with all objects."""
        targets = []
        for level, stride in enumerate(self.strides):
            height, width = on_level(encoded[self.finder], level).shape[-2:]
            shift = (0.5 - self.neck.point) * stride
            boxes, data = batch.boxes + shift, dict(batch.data)
            for field in batch.fields if shift else ():
                if field.kind in ("points", "boxes"):
                    axes = torch.zeros(field.shape[-1], device=boxes.device)
                    axes[: 4 if field.kind == "boxes" else 2] = shift
                    data[field.name] = data[field.name] + axes
            targets.append(
                Targets(
                    boxes if shift else batch.boxes,
                    batch.labels,
                    batch.ignore,
                    batch.counts,
                    ids=batch.ids,
                    grid=(height, width),
                    stride=stride,
                    num_classes=self.num_classes,
                    data=data,
                )
            )
        return targets

    def targets(self, encoded: dict[str, Any], batch: Batch) -> list[Targets]:
        """Return the targets of each level: all objects, or those that the level is to find."""
        targets = self.targets_of_all(encoded, batch)
        if len(targets) == 1 or not batch.boxes.shape[1]:
            return targets
        if self.level_assignment == "fit":
            heads = {name: parts(head) for name, head in self.heads.items()}
            chosen = by_fit(heads, self.finder, encoded, targets)
        else:
            chosen = by_size(batch.boxes, self.strides)
        return [only(target, chosen == level) for level, target in enumerate(targets)]

    def losses(self, encoded: dict[str, Any], batch: Batch) -> dict[str, Tensor]:
        """Compute the named, weighted loss terms of a batch, scalars in float32; training minimises their sum.

        Terms of several levels are added, each by the share of the objects that are the level's: so that they are means
        over all objects.
        """
        targets = self.targets(encoded, batch)
        shares = [1.0]
        if len(targets) > 1:
            numbers = [target.num_objects for target in targets]
            shares = [max(number, 1) / max(sum(numbers), 1) for number in numbers]
        terms = loss_terms(self.heads, encoded, targets, shares)
        stacks: Any = self.intermediate if self.training else ()
        for i, heads in enumerate(stacks):
            maps = {name: encoded[f"{name}.{i}"] for name in heads}
            for name, values in loss_terms(heads, maps, targets, shares).items():
                terms[name] = {key: terms[name][key] + value for key, value in values.items()}
        if stacks:
            count = len(stacks) + 1
            terms = {name: {key: x / count for key, x in values.items()} for name, values in terms.items()}
        if self.loss_weighting is not None:
            return self.loss_weighting(terms)  # type: ignore[no-any-return]
        return {name: value for of_head in terms.values() for name, value in of_head.items()}

    def training_only(self) -> tuple[str, ...]:
        """Return the beginnings of the names of tensors that only losses need."""
        levels = [""] if len(self.strides) == 1 else [f"{stride}." for stride in self.strides]
        return tuple(
            f"heads.{name}.{level}{part}."
            for name, head in self.heads.items()
            for level in levels
            for part in parts(head)[0].training_only
        )


def _cut(output: Tensor, *, rows: int, columns: int) -> Tensor:
    return output[:, :, :rows, :columns]


def _ordered(boxes: Tensor) -> Tensor:
    """Return boxes with x1 ≤ x2 and y1 ≤ y2: a head may say that a width is negative."""
    first, second = boxes.split(2, dim=-1)  # type: ignore[no-untyped-call]
    return torch.cat([torch.minimum(first, second), torch.maximum(first, second)], dim=-1)


def _turned(output: Tensor) -> Tensor:
    return output.flip(-1)
