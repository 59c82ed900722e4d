"""Training and validation of a network by Lightning."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from centernet.annotations.problems import DataWarning
from centernet.configuration import plain
from centernet.data import Annotation, DetectionDataset
from centernet.data.batch import Batch
from centernet.detections import NUM_DETECTIONS, Detections
from centernet.evaluation import CocoResult, ValidationResult
from centernet.inference.results import to_detections
from centernet.inference.torch_runtime import to_numpy
from centernet.inference.validation import Validation
from centernet.lineage import recorded_lineage
from centernet.network.network import Network
from centernet.training.distillation import Distillation
from centernet.training.optimization import Optimization
from centernet.training.trainer import record_precision
from centernet.training.unfolding import unfold_norms

logger = logging.getLogger(__name__)


class DetectionModule(pl.LightningModule):
    """A network as Lightning trains and evaluates it. Its state dict is the network's own.

    Args:
        network: to be trained.

    Attributes:
        optimization: says how; to be set before `trainer.fit`.
        distillation: a teacher to learn from beside the data, set before `trainer.fit`; None for none.
        validated: the figures of the last validation; None before the first.
        validation: the last validation itself, with its detections.
        calibrating: fit the calibration of scores anew in each validation, not only in those of a training.
        looking_again: how validation finds the objects of its images, where it is not by their maps alone, such as a
            `TestTimeLook`; None for that.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.optimization: Optimization | None = None
        self.distillation: Distillation | None = None
        self.validated: ValidationResult | None = None
        self.validation: Validation | None = None
        self.calibrating = False
        self.looking_again: Callable[[Sequence[Annotation]], list[Detections]] | None = None
        self._validating: Validation | None = None
        self._resumed: dict[str, Any] = {}
        self.register_load_state_dict_pre_hook(_into_network)  # type: ignore[no-untyped-call]
        if network.hyper_parameters:
            self.describe(network.hyper_parameters)

    @property
    def evaluation(self) -> CocoResult | None:
        """COCO's figures of the last validation; None before the first."""
        return None if self.validated is None else self.validated.coco

    def describe(self, section: dict[str, Any]) -> None:
        """Remember the `model` section that the network was built from, for checkpoints."""
        self.network.hyper_parameters = section
        self.save_hyperparameters(section)

    def state_dict(self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """Return the network's state dict: names have no part of their own for this module."""
        return self.network.state_dict(destination=destination, prefix=prefix, keep_vars=keep_vars)

    def forward(self, images: Tensor) -> dict[str, Any]:
        """Compute the raw maps; see `Network.forward`."""
        return self.network(images)  # type: ignore[no-any-return]

    def setup(self, stage: str) -> None:
        """Take from the data what they decide: class names and detections an image where the model has none yet, and
        the size of what heads learn identities by. Convolutions before frozen norms get an ordinary scale where such
        norms were multiplied into them (`unfold_norms`). Calling it again changes nothing."""
        if stage == "fit":
            self.on_fit_start()
            if self.optimization is not None and self.optimization.frozen_norms:
                unfold_norms(self.network)  # here: an average of weights begins from what this leaves
        data = getattr(self.trainer, "datamodule", None)
        names = getattr(data, "class_names", None)
        if self.network.class_names is None and names:
            self._decide(class_names=tuple(names))
        if stage == "fit" and self.distillation is not None:
            self.distillation.prepare(self.network, self.network.class_names)
        used = {"fit": ("train", "val"), "test": ("test",)}.get(stage, (getattr(data, "validate_on", "val"),))
        datasets: dict[str, DetectionDataset] = getattr(data, "datasets", {})
        looked_at = {name: datasets[name] for name in used if name in datasets}
        densest = max((dataset.most_objects() for dataset in looked_at.values()), default=0)
        if self.network.num_detections is None and looked_at:
            self._decide(num_detections=max(NUM_DETECTIONS, 50 * -(-densest // 50)))
            if self.trainer.is_global_zero:
                text = "detections an image: %d; the densest image of the data has %d objects (model.num_detections)"
                logger.info(text, self.network.num_detections, densest)
        for name in looked_at.keys() - {"train"}:
            self._warn_of_dense_images(name, looked_at[name].columns.objects())

    def _decide(self, **values: Any) -> None:
        """Set what the configuration leaves to the data, for the network and for its checkpoints."""
        for name, value in values.items():
            setattr(self.network, name, value)
        if self.network.hyper_parameters:
            self.describe({**self.network.hyper_parameters, **plain(values)})

    def _warn_of_dense_images(self, split: str, objects: NDArray[np.int64]) -> None:
        """Warn of images with more objects than are detected: even a perfect network would miss some."""
        most = self.network.num_detections or NUM_DETECTIONS
        dense = int((objects > most).sum())
        if dense:
            warnings.warn(
                f"data.{split}: {dense} of {len(objects)} images hold more objects than the {most} detections an image "
                f"that the model gives, up to {objects.max()}: recall cannot be whole. Set model.num_detections",
                DataWarning,
                stacklevel=2,
            )

    def on_fit_start(self) -> None:
        """Show the heads the training data: in `setup`, and again now that weights of a checkpoint may have come in."""
        data: Any = getattr(self.trainer, "datamodule", None)
        if hasattr(data, "check_identities"):
            for head in self.network.every_head:
                head.prepare(data)

    def on_train_epoch_start(self) -> None:
        """Freeze the norms where the optimisation says so."""
        assert self.optimization is not None
        self.optimization.set_norms(self.network)

    def configure_optimizers(self) -> Any:
        if self.optimization is None:
            raise RuntimeError(
                "nothing says how to optimise: set model.optimization = centernet.training.Optimization() before "
                "trainer.fit, or train by `centernet fit`, which reads `optimization:` from the YAML"
            )
        return self.optimization.configure(self)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the lineage, the place in the schedule of the learning rate, and the precision."""
        if self.network.lineage is not None:
            checkpoint["lineage"] = self.network.lineage.to_dict()
        if self.optimization is not None and self.trainer.state.fn == "fit":
            record_precision(checkpoint, self.trainer.precision)
            checkpoint["schedule"] = {"offset": self.optimization.offset, "epoch_steps": self._epoch_steps()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the lineage over, and remember where the schedule was, until the state of the optimiser is there too."""
        self.network.lineage = recorded_lineage(checkpoint, "the checkpoint") or self.network.lineage
        data = getattr(self.trainer, "datamodule", None)
        self._resumed = {**checkpoint.get("schedule", {}), **checkpoint.get(type(data).__qualname__, {})}

    def on_train_start(self) -> None:
        """Let the options of this run's optimisation take effect on what a checkpoint brought."""
        if self.optimization is None or not self.trainer.ckpt_path:
            return
        resumed, steps, place = self._resumed, self._epoch_steps(), None
        self.optimization.offset = resumed.get("offset", 0)
        if resumed.get("epoch_steps", steps) != steps and resumed.get("batches"):  # the same share of the epochs
            place = round((resumed["epoch"] + resumed["batch"] / resumed["batches"]) * steps)
        (schedule,) = self.trainer.lr_scheduler_configs
        self.optimization.resume(self.trainer.optimizers[0], schedule.scheduler, place)  # type: ignore[arg-type]

    def _epoch_steps(self) -> int:
        """Return the steps of the optimiser in an epoch; 0 where nobody knows."""
        if math.isinf(self.trainer.num_training_batches):
            return 0
        return math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Forget the calibration of weights that are about to change."""
        if self.network.calibration is not None:
            self._decide(calibration=None)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        encoded = self(self.network.normalize(batch.images))
        terms = self.network.losses(encoded, batch)
        if self.distillation is not None:
            terms |= self.distillation(self.network, encoded, batch)
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
        self.log("train/lr", max(group["lr"] for group in self.trainer.optimizers[0].param_groups))
        return total

    def on_validation_epoch_start(self) -> None:
        names = self.network.class_names or [str(label) for label in range(self.network.num_classes)]
        data: Any = getattr(self.trainer, "datamodule", None)
        split = "test" if self.trainer.testing else getattr(data, "validate_on", None)
        dataset = None if self.trainer.sanity_checking else getattr(data, "datasets", {}).get(split)
        if self.calibrating and self.network.calibration is not None:
            self._decide(calibration=None)
        tracker, calibration = self.network.tracker, self.network.calibration
        calibrate = calibration is None and (self.calibrating or self.trainer.state.fn == "fit")
        self._validating = Validation(names, dataset, tracker, calibration, calibrate=calibrate)

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, list[Detections]]:
        """Return the `detections` of each image in its own pixels; they are also collected for the epoch's figures."""
        network = self.network
        encoded = self(network.normalize(batch.images))
        terms = network.losses(encoded, batch)
        self.log("val/loss", torch.stack(list(terms.values())).sum(), batch_size=len(batch.images), sync_dist=True)
        if self.looking_again is not None:
            found = self.looking_again(batch.annotations)
        else:
            sizes = [(a.height, a.width) for a in batch.annotations]
            found = self.to_detections(network.decode_detections(encoded), sizes)
        assert self._validating is not None
        for annotation, detections in zip(batch.annotations, found, strict=True):
            self._validating.update(annotation, detections)
        return {"detections": found}

    def on_validation_epoch_end(self) -> None:
        assert self._validating is not None
        validation, self._validating = self._validating, None
        if self.trainer.world_size > 1:
            parts: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(parts, validation.collected())
            validation.join(parts)
        if len(validation):
            result = validation.compute()
            if not self.trainer.sanity_checking:  # its figures are of some images, before training
                self.validated, self.validation = result, validation
                if validation.calibration is not self.network.calibration:
                    self._decide(calibration=validation.calibration)
            self.log_dict({f"val/{name}": value for name, value in result.stats.items()})

    on_test_epoch_start = on_validation_epoch_start
    test_step = validation_step
    on_test_epoch_end = on_validation_epoch_end

    def to_detections(self, decoded: dict[str, Tensor], image_sizes: Sequence[tuple[int, int]]) -> list[Detections]:
        """Return decoded tensors as one `Detections` an image, in the image's own pixels.

        Args:
            decoded: tensors N×K×… of `decode_detections`.
            image_sizes: N times (height, width) of the original image.
        """
        network, arrays = self.network, to_numpy(decoded)
        return [
            to_detections(
                {name: values[i] for name, values in arrays.items()},
                network.columns,
                network.preprocessing,
                size,
                class_names=network.class_names or (),
            )
            for i, size in enumerate(image_sizes)
        ]


def _into_network(module: torch.nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give the names of a state dict the part that this module adds to those of its network."""
    for name in [name for name in state_dict if name.startswith(prefix)]:
        state_dict[f"{prefix}network.{name.removeprefix(prefix)}"] = state_dict.pop(name)
