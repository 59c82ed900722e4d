"""CenterNet: backbone → neck → heads, trained by Lightning. Source: https://arxiv.org/abs/1904.07850.

Nothing here names a particular head: a detector is a dict of heads, one of which finds the peaks that the others are
read at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms

from centernet.detections import Detections
from centernet.evaluation import CocoEvaluator, CocoResult, VocEvaluator, VocResult
from centernet.images import Preprocessing
from centernet.models.backbones import Backbone
from centernet.models.checkpoint import read_checkpoint
from centernet.models.heads import Head
from centernet.models.necks import Neck
from centernet.ops import Targets

if TYPE_CHECKING:
    from os import PathLike

    import numpy as np
    from numpy.typing import NDArray

    from centernet.data.datamodule import Batch

NeckFactory = Callable[[Sequence[int], Sequence[int]], Neck]
HeadFactory = Callable[[int, int, int], Head]


class Optimizing(Protocol):
    """What `fit` needs beside the network: `centernet.training.Optimization` is one."""

    def configure(self, model: CenterNet) -> dict[str, Any]:
        """What Lightning's `configure_optimizers` returns."""
        ...


class CenterNet(pl.LightningModule):
    """A detector of `num_classes` classes.

    Args:
        backbone: images → maps of several strides.
        neck: built with the backbone's channels and strides: maps → one map.
        heads: name → head, built with the neck's channels and stride and the number of classes. Exactly one of them
            finds peaks.
        num_classes: may be left out where `class_names` are given.
        class_names: in the order of the labels; taken from the data set at the first training when None.
        preprocessing: how a picture becomes the network's input; travels into checkpoints and exports.
        nms_iou: suppress a box that overlaps a better one of its class by more than this; None for none, which is
            CenterNet's way.

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
        self.num_classes = num_classes
        self.class_names = tuple(class_names) if class_names is not None else None
        self.preprocessing = preprocessing
        self.nms_iou = nms_iou
        self.backbone = backbone
        self.neck = neck(backbone.out_channels, backbone.out_strides)
        self.heads = nn.ModuleDict(
            {name: head(self.neck.out_channels, self.neck.out_stride, num_classes) for name, head in heads.items()}
        )
        finders = [name for name, head in self.heads.items() if hasattr(head, "find_peaks")]
        if len(finders) != 1:
            raise ValueError(f"model.heads needs exactly one head that finds peaks (a HeatmapHead), got {finders}")
        self.finder = finders[0]
        self.stride = self.neck.out_stride
        self.register_buffer("_mean", 255 * torch.tensor(preprocessing.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("_std", 255 * torch.tensor(preprocessing.std).view(3, 1, 1), persistent=False)
        self.optimization: Optimizing | None = None
        self.evaluation: CocoResult | None = None  # of the last validation
        self.evaluation_voc: VocResult | None = None
        self._evaluator: CocoEvaluator | None = None
        self.to(memory_format=torch.channels_last)

    # ------------------------------------------------------------------ the network

    def normalize(self, images: Tensor) -> Tensor:
        """Images N×3×H×W uint8 RGB → float32 of the preprocessing's mean and deviation, on their device."""
        mean: Tensor = self._mean  # type: ignore[assignment]
        std: Tensor = self._std  # type: ignore[assignment]
        return (images.float() - mean) / std

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Raw maps.

        Args:
            images: N×3×H×W float, normalised RGB. H and W need not be multiples of anything: they are padded with
                zeros inside, and the maps cut back.

        Returns:
            head name → N×C×⌈H/stride⌉×⌈W/stride⌉, logits.
        """
        height, width = images.shape[-2:]
        coarsest = self.backbone.out_strides[-1]
        pad_bottom, pad_right = -height % coarsest, -width % coarsest
        if pad_bottom or pad_right:
            images = F.pad(images, (0, pad_right, 0, pad_bottom))
        features = self.neck(self.backbone(images))
        maps = {name: head(features) for name, head in self.heads.items()}
        if pad_bottom or pad_right:
            rows, columns = math.ceil(height / self.stride), math.ceil(width / self.stride)
            maps = {name: x[:, :, :rows, :columns] for name, x in maps.items()}
        return maps

    def decode_detections(
        self,
        encoded: dict[str, Tensor],
        num_detections: int = 100,
        *,
        score_threshold: float = 0.0,
    ) -> dict[str, Tensor]:
        """The best boxes of each image.

        Args:
            encoded: what `forward` returned.
            num_detections: K, limited to the cells of the map.
            score_threshold: scores below it become 0.

        Returns:
            `bboxes` N×K×4 float32 in input pixels, `labels` N×K int64, `scores` N×K float32, best first, and what
            other heads add. Rows are K even where fewer objects exist: their scores fall towards 0.
        """
        finder: Any = self.heads[self.finder]
        peaks = finder.find_peaks(encoded[self.finder], num_detections)
        detections: dict[str, Tensor] = {}
        for name, head in self.heads.items():
            detections |= head.decode(encoded[name], peaks)  # type: ignore[operator]
        if self.nms_iou is not None:
            detections = _suppress(detections, self.nms_iou)
        if score_threshold > 0:
            scores = detections["scores"]
            detections["scores"] = torch.where(scores >= score_threshold, scores, 0.0)
        return detections

    def losses(self, encoded: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Named, weighted loss terms of a batch, scalars in float32; training minimises their sum."""
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
        terms: dict[str, Tensor] = {}
        for name, head in self.heads.items():
            terms |= head.loss(encoded[name], targets)  # type: ignore[operator]
        return terms

    # ------------------------------------------------------------------ training and validation, for Lightning

    def setup(self, stage: str) -> None:
        """Take the class names from the data where the model has none yet."""
        names = getattr(getattr(self.trainer, "datamodule", None), "class_names", None)
        if self.class_names is None and names:
            self.class_names = tuple(names)
            if self.hparams:
                self.hparams["class_names"] = list(names)

    def configure_optimizers(self) -> Any:
        if self.optimization is None:
            raise RuntimeError(
                "nothing says how to optimise: set model.optimization = centernet.training.Optimization() before "
                "trainer.fit, or train by `centernet fit`, which reads `optimization:` from the YAML"
            )
        return self.optimization.configure(self)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        terms = self.losses(self(self.normalize(batch.images)), batch)
        total = torch.stack(list(terms.values())).sum()
        if (total.device.type == "cpu" or self.global_step % 50 == 0) and not torch.isfinite(total):
            parts = ", ".join(f"{name} {value.item():.4g}" for name, value in terms.items())
            files = ", ".join(str(annotation.path) for annotation in batch.annotations[:4])
            raise FloatingPointError(
                f"the loss is {total.item()} at step {self.global_step} ({parts}; batch of {files} …): lower "
                "optimization.lr, raise its warmup_steps, or train with trainer.precision 32-true; `centernet check` "
                "finds broken boxes"
            )
        self.log("train/loss", total, prog_bar=True, batch_size=len(batch.images))
        self.log_dict({f"train/{name}": value for name, value in terms.items()}, batch_size=len(batch.images))
        return total

    def on_validation_epoch_start(self) -> None:
        names = self.class_names or [str(label) for label in range(self.num_classes)]
        self._evaluator = CocoEvaluator(names)

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, list[Detections]]:
        """`detections` of each image in its own pixels; they are also collected for the epoch's figures."""
        encoded = self(self.normalize(batch.images))
        terms = self.losses(encoded, batch)
        self.log("val/loss", torch.stack(list(terms.values())).sum(), batch_size=len(batch.images), sync_dist=True)
        found = self.to_detections(self.decode_detections(encoded), [(a.height, a.width) for a in batch.annotations])
        assert self._evaluator is not None
        for annotation, detections in zip(batch.annotations, found, strict=True):
            self._evaluator.update(annotation, detections)
        return {"detections": found}

    def on_validation_epoch_end(self) -> None:
        assert self._evaluator is not None
        coco, self._evaluator = self._evaluator, None
        if self.trainer.world_size > 1:
            parts: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(parts, coco)
            coco = parts[0]  # the same order of images, and so of equal scores, on every device
            for part in parts[1:]:
                coco.merge(part)
        if len(coco):
            voc = VocEvaluator(coco.class_names)
            voc.merge(coco)
            self.evaluation, self.evaluation_voc = coco.compute(), voc.compute()
            figures = {**self.evaluation.stats, **self.evaluation_voc.stats}
            self.log_dict({f"val/{name}": float(value) for name, value in figures.items()})

    on_test_epoch_start = on_validation_epoch_start
    test_step = validation_step
    on_test_epoch_end = on_validation_epoch_end

    def to_detections(self, decoded: dict[str, Tensor], image_sizes: Sequence[tuple[int, int]]) -> list[Detections]:
        """What `decode_detections` returned, as one `Detections` an image, in the image's own pixels.

        Args:
            decoded: tensors N×K×….
            image_sizes: N times (height, width) of the original image.
        """
        arrays = {name: value.float().cpu().numpy() for name, value in decoded.items()}
        return [
            Detections(
                self.preprocessing.to_original(arrays["bboxes"][i], size),
                arrays["labels"][i].astype("int64"),
                arrays["scores"][i],
                embeddings=arrays["embeddings"][i] if "embeddings" in arrays else None,
                class_names=self.class_names or (),
            )
            for i, size in enumerate(image_sizes)
        ]

    # ------------------------------------------------------------------ use

    def inference_detection(
        self, source: str | PathLike[str] | Sequence[Any], num_detections: int = 100, *, batch_size: int = 8
    ) -> dict[str, NDArray[np.generic] | list[str]]:
        """Detect on a picture, a folder (files sorted by name) or a list of pictures.

        Args:
            source: path of a picture or a folder, or a list of paths or uint8 H×W×3 RGB arrays.
            num_detections: K boxes an image.
            batch_size: pictures that go through the network together.

        Returns:
            `bboxes` N×K×4 float32 in original pixels, `labels` N×K int64, `scores` N×K float32, `paths` N strings.
        """
        from centernet.inference import Detector

        return Detector(self, batch_size=batch_size).stacked(source, num_detections=num_detections)

    def to_onnx(  # type: ignore[override]
        self, path: str | PathLike[str], images: Tensor | None = None, *, num_detections: int = 100
    ) -> Path:
        """Write an ONNX file with the decode in its graph; see `centernet.models.graph`. Needs the extra `onnx`.

        Args:
            path: of the file.
            images: N×3×H×W float, a sample of normalised input; the preprocessing's size when None.
            num_detections: K boxes an image.

        Returns:
            The path written. Inputs: `images`; outputs: `bboxes`, `labels`, `scores`.
        """
        from centernet.models.graph import write_onnx

        return write_onnx(self, path, images, num_detections=num_detections)

    def to_torchscript(  # type: ignore[override]
        self, path: str | PathLike[str] | None = None, images: Tensor | None = None, *, num_detections: int = 100
    ) -> torch.jit.ScriptModule:
        """Trace the network with its decode, and write it where `path` is given. Arguments as in `to_onnx`."""
        from centernet.models.graph import write_torchscript

        return write_torchscript(self, path, images, num_detections=num_detections)

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | PathLike[str],
        map_location: torch.device | str | None = None,
        *,
        strict: bool = True,
        **parts: Any,
    ) -> CenterNet:
        """A model with the weights and the configuration of a Lightning checkpoint; no config is needed beside it.

        Args:
            checkpoint_path: a file that `fit` wrote.
            map_location: where its tensors go.
            strict: every tensor of the network must be in the file, and the other way round.
            parts: constructor arguments, for a model that was not built from a configuration.

        Raises:
            FileNotFoundError, ValueError: the file, and what is wrong with it.
        """
        from centernet.models.build import build_from_hyper_parameters

        checkpoint = read_checkpoint(checkpoint_path, map_location)
        hyper_parameters = checkpoint.get("hyper_parameters") or {}
        if parts:
            model = cls(**parts)
        elif "backbone" in hyper_parameters:
            model = build_from_hyper_parameters(hyper_parameters)
        else:
            raise ValueError(
                f"{checkpoint_path}: the checkpoint holds no configuration of a CenterNet; it was not built by "
                "build_centernet or `centernet fit`: give backbone=, neck=, heads= and num_classes= here"
            )
        model.load_state_dict(checkpoint["state_dict"], strict=strict)
        if map_location is not None:
            model.to(map_location)
        return model.eval()

    @classmethod
    def from_pretrained(cls, name: str | PathLike[str]) -> CenterNet:
        """A trained model: a name that comes with the package (`voc-lite`), or a folder that `save_pretrained` wrote.

        Raises:
            FileNotFoundError: there is no such model; the message lists the names.
        """
        from centernet.models.pretrained import load_pretrained

        return load_pretrained(name)

    def save_pretrained(self, folder: str | PathLike[str]) -> Path:
        """Write configuration and weights (half precision) to a folder that `from_pretrained` reads."""
        from centernet.models.pretrained import save_pretrained

        return save_pretrained(self, folder)


def _suppress(detections: dict[str, Tensor], iou: float) -> dict[str, Tensor]:
    """Non-maximum suppression per class: suppressed rows get score 0 and go to the end."""
    scores = detections["scores"].clone()
    for i in range(len(scores)):
        keep = batched_nms(detections["bboxes"][i], scores[i], detections["labels"][i], iou)
        kept = torch.zeros_like(scores[i], dtype=torch.bool)
        kept[keep] = True
        scores[i] = torch.where(kept, scores[i], 0.0)
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    rows = torch.arange(len(scores), device=scores.device)[:, None]
    return {name: value[rows, order] for name, value in detections.items()} | {"scores": scores}
