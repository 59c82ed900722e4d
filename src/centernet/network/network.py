"""The network: backbone → neck → heads. Source: https://arxiv.org/abs/1904.07850.

Nothing here names a head: a detector is a dict of heads, one of which finds the peaks that the others are read at.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from centernet.calibration import Calibration
from centernet.detections import NUM_DETECTIONS, Column
from centernet.images import Preprocessing
from centernet.network.backbones import Backbone
from centernet.network.heads import Head
from centernet.network.necks import Neck
from centernet.network.weighting import UncertaintyWeighting
from centernet.ops import Targets, order_by_score, suppress
from centernet.tracking import Tracker

if TYPE_CHECKING:
    from centernet.data.batch import Batch

NeckFactory = Callable[[Sequence[int], Sequence[int]], Neck]
HeadFactory = Callable[[int, int, int], Head]


class Network(nn.Module):
    """A detector of `num_classes` classes.

    Args:
        backbone: images → maps of several strides.
        neck: built with the backbone's channels and strides: maps → one map.
        heads: name → head, built with the neck's channels and stride and the number of classes. Exactly one of them
            finds peaks.
        num_classes: may be left out where `class_names` are given.
        class_names: in the order of the labels; taken from the data set at the first training when None.
        preprocessing: how an image becomes the network's input; travels into checkpoints and exports.
        nms_iou: suppress a box that overlaps a better one of its class by more than this; None for none, which is
            CenterNet's way.
        loss_weighting: how the losses of the heads become one; None sums them with the heads' own weights.
        tracker: arguments of `centernet.tracking.Tracker` that suit the model, such as its preset and thresholds:
            validation on videos and `inference_tracking` use them.
        num_detections: objects an image that suit the model: the default of validation, `Detector` and exports. None:
            training chooses it, so that it is enough for the densest image of the data; until then it is 100.
        calibration: makes probabilities of the heads' scores, and says from which on an object is worth showing; found
            by validation in a training, or by `CenterNet.calibrate`. None leaves scores as they are.

    Attributes:
        stride: input pixels a cell of the raw maps.
        finder: name of the head that finds peaks.
        takes_labels: whether that head can look for some classes alone, as `decode_detections` needs for `labels`.
        hyper_parameters: the `model` section that the network was built from; empty where it was built by hand.

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
        if num_detections is not None and num_detections < 1:
            raise ValueError(f"model.num_detections: expected at least 1, got {num_detections}")
        self.num_classes, self.num_detections = num_classes, num_detections
        self.class_names = tuple(class_names) if class_names is not None else None
        self.preprocessing = preprocessing
        self.nms_iou = nms_iou
        self.hyper_parameters: dict[str, Any] = {}
        self.backbone = backbone
        self.neck = neck(backbone.out_channels, backbone.out_strides)
        self.heads = nn.ModuleDict(
            {name: head(self.neck.out_channels, self.neck.out_stride, num_classes) for name, head in heads.items()}
        )
        finders = [name for name, head in self.heads.items() if hasattr(head, "find_peaks")]
        if len(finders) != 1:
            raise ValueError(f"model.heads needs exactly one head that finds peaks (a HeatmapHead), got {finders}")
        self.finder = finders[0]
        find_peaks: Any = self.heads[self.finder].find_peaks
        self.takes_labels = "labels" in inspect.signature(find_peaks).parameters
        self.loss_weighting = loss_weighting
        if loss_weighting is not None:
            loss_weighting.check(self.heads.keys())
        self.stride = self.neck.out_stride
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
        return tuple(column for head in self.heads.values() for column in head.columns)  # type: ignore[union-attr]

    def normalize(self, images: Tensor) -> Tensor:
        """Images N×3×H×W uint8 RGB → float32 of the preprocessing's mean and deviation, on their device."""
        mean: Tensor = self._mean  # type: ignore[assignment]
        std: Tensor = self._std  # type: ignore[assignment]
        return (images.float() - mean) / std

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Compute the raw maps.

        Args:
            images: N×3×H×W float, normalised RGB. H and W need not be multiples of anything: they are padded with
                zeros inside, and the maps cut back.

        Returns:
            head name → N×C×⌈H/stride⌉×⌈W/stride⌉, logits.
        """
        height, width = images.shape[-2:]
        coarsest, stride = self.backbone.out_strides[-1], self.stride
        pad_bottom = (height + coarsest - 1) // coarsest * coarsest - height
        pad_right = (width + coarsest - 1) // coarsest * coarsest - width
        # A graph that is exported serves any size.
        exported = torch.jit.is_tracing() or torch.compiler.is_exporting()  # type: ignore[attr-defined, no-untyped-call]
        padded = exported or pad_bottom or pad_right
        if padded:
            images = F.pad(images, (0, pad_right, 0, pad_bottom))
        features = self.neck(self.backbone(images))
        maps = {name: head(features) for name, head in self.heads.items()}
        if padded:
            rows, columns = (height + stride - 1) // stride, (width + stride - 1) // stride
            maps = {name: x[:, :, :rows, :columns] for name, x in maps.items()}
        return maps

    def decode_detections(
        self,
        encoded: dict[str, Tensor],
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
            `bboxes` N×K×4 float32 in input pixels, `labels` N×K int64, `scores` N×K float32, best first and calibrated
            where there is a `calibration`, and the `columns` of other heads. Rows are K even where fewer objects exist:
            their scores fall towards 0.
        """
        finder: Any = self.heads[self.finder]
        count = num_detections or self.num_detections or NUM_DETECTIONS
        some = {} if labels is None else {"labels": sorted(set(labels))}
        peaks = finder.find_peaks(encoded[self.finder], count, **some)
        detections = {"scores": peaks.scores, "labels": peaks.labels.to(torch.int64)}
        for name, head in self.heads.items():
            detections |= head.decode(encoded[name], peaks)  # type: ignore[operator]
        if detections["scores"] is not peaks.scores:
            detections = order_by_score(detections)
        if self.nms_iou is not None:
            detections = suppress(detections, self.nms_iou)
        if self.calibration is not None:
            detections["scores"] = self.calibration(detections["scores"])
        if score_threshold > 0:
            scores = detections["scores"]
            detections["scores"] = torch.where(scores >= score_threshold, scores, 0.0)
        return detections

    def losses(self, encoded: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Compute the named, weighted loss terms of a batch, scalars in float32; training minimises their sum."""
        height, width = encoded[self.finder].shape[-2:]
        targets = Targets(
            batch.boxes,
            batch.labels,
            batch.ignore,
            batch.counts,
            ids=batch.ids,
            grid=(height, width),
            stride=self.stride,
            num_classes=self.num_classes,
        )
        terms = {name: head.loss(encoded[name], targets) for name, head in self.heads.items()}  # type: ignore[operator]
        if self.loss_weighting is not None:
            return self.loss_weighting(terms)  # type: ignore[no-any-return]
        return {name: value for of_head in terms.values() for name, value in of_head.items()}

    def training_only(self) -> tuple[str, ...]:
        """Return the beginnings of the names of tensors that only losses need."""
        return tuple(f"heads.{name}.{part}." for name, head in self.heads.items() for part in head.training_only)  # type: ignore[union-attr]
