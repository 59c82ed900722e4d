"""CenterNet: backbone → neck → heads, trained by Lightning. Source: https://arxiv.org/abs/1904.07850.

Nothing here names a particular head: a detector is a dict of heads, one of which finds the peaks that the others are
read at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from centernet.detections import Detections
from centernet.images import Preprocessing
from centernet.network.backbones import Backbone
from centernet.network.checkpoint import model_of_checkpoint
from centernet.network.heads import Head
from centernet.network.necks import Neck
from centernet.network.weighting import UncertaintyWeighting
from centernet.ops import Targets, rank_by_quality, suppress
from centernet.tracking import Tracker
from centernet.training.validation import Evaluation, tracking_stats

if TYPE_CHECKING:
    from os import PathLike

    import numpy as np
    from numpy.typing import NDArray

    from centernet.data.datamodule import Batch
    from centernet.evaluation import CocoResult, VocResult
    from centernet.evaluation.tracking import TrackingResult

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
        loss_weighting: how the losses of the heads become one; None sums them with the heads' own weights.
        tracker: arguments of `centernet.tracking.Tracker` that suit the model, such as its preset and thresholds:
            validation on videos and `inference_tracking` use them.

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
        self.loss_weighting = loss_weighting
        if loss_weighting is not None:
            loss_weighting.check(self.heads.keys())
        self.stride = self.neck.out_stride
        self.register_buffer("_mean", 255 * torch.tensor(preprocessing.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("_std", 255 * torch.tensor(preprocessing.std).view(3, 1, 1), persistent=False)
        self.optimization: Optimizing | None = None
        self.tracker = dict(tracker or {})
        if "frame_rate" in self.tracker:
            raise ValueError("model.tracker: frame_rate is that of each video, not the model's; leave it out")
        Tracker(**self.tracker)  # its options are right
        self.evaluation: CocoResult | None = None  # of the last validation
        self.evaluation_voc: VocResult | None = None
        self.evaluation_tracking: TrackingResult | None = None
        self._evaluating: Evaluation | None = None
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
        if "quality" in detections:
            detections = rank_by_quality(detections)
        if self.nms_iou is not None:
            detections = suppress(detections, self.nms_iou)
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
        terms = {name: head.loss(encoded[name], targets) for name, head in self.heads.items()}  # type: ignore[operator]
        if self.loss_weighting is not None:
            return self.loss_weighting(terms)  # type: ignore[no-any-return]
        return {name: value for of_head in terms.values() for name, value in of_head.items()}

    # ------------------------------------------------------------------ training and validation, for Lightning

    def setup(self, stage: str) -> None:
        """Take from the data what they decide: class names where the model has none yet, and the size of what heads
        learn identities by. Calling it again changes nothing."""
        if stage == "fit":
            self.on_fit_start()
        names = getattr(getattr(self.trainer, "datamodule", None), "class_names", None)
        if self.class_names is None and names:
            self.class_names = tuple(names)
            if self.hparams:
                self.hparams["class_names"] = list(names)

    def on_fit_start(self) -> None:
        """Show the heads the training data: in `setup`, and again now that weights of a checkpoint may have come in."""
        data = getattr(self.trainer, "datamodule", None)
        if hasattr(data, "check_identities"):
            for head in self.heads.values():
                head.prepare(data)  # type: ignore[operator]

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
        data: Any = getattr(self.trainer, "datamodule", None)
        split = "test" if self.trainer.testing else getattr(data, "validate_on", None)
        dataset = None if self.trainer.sanity_checking else getattr(data, "datasets", {}).get(split)
        self._evaluating = Evaluation(names, dataset, self.tracker)

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, list[Detections]]:
        """`detections` of each image in its own pixels; they are also collected for the epoch's figures."""
        encoded = self(self.normalize(batch.images))
        terms = self.losses(encoded, batch)
        self.log("val/loss", torch.stack(list(terms.values())).sum(), batch_size=len(batch.images), sync_dist=True)
        found = self.to_detections(self.decode_detections(encoded), [(a.height, a.width) for a in batch.annotations])
        assert self._evaluating is not None
        for annotation, detections in zip(batch.annotations, found, strict=True):
            self._evaluating.update(annotation, detections)
        return {"detections": found}

    def on_validation_epoch_end(self) -> None:
        assert self._evaluating is not None
        evaluation, self._evaluating = self._evaluating, None
        if self.trainer.world_size > 1:
            parts: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(parts, evaluation.collected())
            evaluation.join(parts)
        if len(evaluation):
            self.evaluation, self.evaluation_voc = evaluation.detection()
            self.evaluation_tracking = evaluation.tracking()
            figures = {**self.evaluation.stats, **self.evaluation_voc.stats}
            if self.evaluation_tracking is not None:
                figures |= tracking_stats(self.evaluation_tracking)
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

    def inference_tracking(
        self,
        source: str | PathLike[str] | Sequence[Any],
        *,
        preset: str | None = None,
        frame_rate: float | None = None,
        num_detections: int = 100,
        batch_size: int = 8,
        **options: Any,
    ) -> dict[str, list[Any]]:
        """Detect, and follow what is detected, through a folder of frames (sorted by name), a video or a list.

        Args:
            source: path of the folder or video, or a list of paths or uint8 H×W×3 RGB arrays.
            preset: of `centernet.tracking.Tracker`; None for the model's own.
            frame_rate: frames per second; None for what a video says, else 30.
            num_detections: at most so many a frame.
            batch_size: frames that go through the network together.
            options: those of `centernet.tracking.TrackerOptions` that are to differ from the preset's and, without
                another preset, the model's own.

        Returns:
            Lists with one entry a frame: `bboxes` arrays M×4 float32 in original pixels, `labels` M int64, `scores` M
            float32, `track_ids` M int64, the same through all frames; `paths` strings.
        """
        from centernet.inference import Detector, collect, track
        from centernet.inference.tracking import frame_rate as stated

        detector = Detector(self, score_threshold=0.0, num_detections=num_detections, batch_size=batch_size)
        settings = self.tracker | options if preset is None else {"preset": preset, **options}
        tracker = Tracker(frame_rate=frame_rate or stated(source) or 30.0, **settings)
        return collect(track(detector, tracker, source))

    def to_onnx(  # type: ignore[override]
        self, path: str | PathLike[str], images: Tensor | None = None, **options: Any
    ) -> Path:
        """Write an ONNX file with the decode in its graph, and run it against this model. Needs the extra `export`.

        Args:
            path: of the file.
            images: a sample input: float32 N×3×H×W (normalised, as `forward` takes them) or uint8 N×H×W×3 (pictures;
                the graph normalises them, which is also what None gives). The file takes any number and size.
            options: those of `centernet.export.export_onnx`, such as `num_detections`, `letterbox` and `raw_maps`.

        Returns:
            The path written. Input: `images`; outputs: `bboxes`, `labels`, `scores`, and `embeddings` where a head has
            them.
        """
        from centernet.export import export_onnx

        return export_onnx(self, path, images, **options)

    def to_torchscript(  # type: ignore[override]
        self, path: str | PathLike[str] | None = None, images: Tensor | None = None, **options: Any
    ) -> torch.jit.ScriptModule:
        """Trace the network with its decode, and write it where `path` is given. Arguments as of `to_onnx`; options are
        those of `centernet.export.export_torchscript`."""
        from centernet.export import export_torchscript

        return export_torchscript(self, path, images, **options)

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
        model: CenterNet = model_of_checkpoint(cls, checkpoint_path, map_location, strict=strict, parts=parts)
        return model.eval()

    @classmethod
    def from_pretrained(cls, name: str | PathLike[str], *, revision: str | None = None) -> CenterNet:
        """A trained model: one that comes with the package, a folder, or a repository of the Hugging Face Hub.

        Args:
            name: `voc-lite`, a folder that `save_pretrained` wrote, or a Hub id such as `user/model`.
            revision: branch, tag or commit on the Hub.

        Raises:
            FileNotFoundError: there is no such model; the message lists the names.
        """
        from centernet.network.pretrained import load_pretrained

        return load_pretrained(name, revision=revision)

    def save_pretrained(self, folder: str | PathLike[str]) -> Path:
        """Write configuration and weights (half precision) to a folder that `from_pretrained` reads."""
        from centernet.network.pretrained import save_pretrained

        return save_pretrained(self, folder)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str = "Upload a CenterNet",
    ) -> str:
        """Write what `save_pretrained` writes to a Hub repository `user/model`, made where it does not exist.

        Args:
            repo_id: `user/model`.
            private: of a new repository.
            token: of the account; that of `hf auth login` when None.
            commit_message: of the upload.

        Returns:
            The address of the commit. Needs the extra `hub`.
        """
        from centernet.network.pretrained import push_to_hub

        return push_to_hub(self, repo_id, private=private, token=token, message=commit_message)
