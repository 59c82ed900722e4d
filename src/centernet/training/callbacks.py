"""The display of a training run: a line an epoch, and sheets of images as the network sees them."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import lightning.pytorch as pl
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from torch import Tensor

from centernet.data.datamodule import Batch
from centernet.detections import Detections
from centernet.drawing import contact_sheet, draw
from centernet.inference.validation import Validation
from centernet.training.display import epoch_title
from centernet.training.loggers import log_sheet
from centernet.training.module import DetectionModule
from centernet.training.monitoring import bring_here, is_less_better
from centernet.whole import write_bytes, write_text

logger = logging.getLogger(__name__)

TILE = 480, 640
"""Pixels that a tile of a sheet is wide: smaller images are enlarged by a whole number to about the first, and larger
ones reduced to the second."""


class EpochSummary(Callback):
    """One line for each epoch, and for each validation within one: losses, AP, AP50, HOTA, MOTA and IDF1 of videos, the
    best so far of what the checkpoints follow, images a second of the training.

    Epochs of a single batch have a line only where they are validated.
    """

    def __init__(self) -> None:
        self._start = self._seconds = 0.0
        self._images = 0
        self._best: float | None = None
        self._told = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.on_train_epoch_start(trainer, pl_module)  # not called for an epoch that is gone on with in the middle

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start, self._seconds, self._images, self._told = time.perf_counter(), 0.0, 0, False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self._images += len(batch.images) * trainer.world_size

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._seconds += time.perf_counter() - self._start

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start = time.perf_counter()
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._told = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if trainer.is_global_zero:
            self._say(trainer, whole=self._told, validated=True)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self._told and trainer.is_global_zero and trainer.num_training_batches > 1:
            self._seconds += time.perf_counter() - self._start
            self._say(trainer, whole=True, validated=False)

    def _say(self, trainer: pl.Trainer, *, whole: bool, validated: bool) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        shown = {"loss": "train/loss"}
        if validated:
            shown |= {
                "val loss": "val/loss",
                **{name: f"val/{name}" for name in ("AP", "AP50", "HOTA", "MOTA", "IDF1")},
            }
        digits = {"AP": 4, "AP50": 4}
        figures = [f"{name} {values[key]:.{digits.get(name, 3)}f}" for name, key in shown.items() if key in values]
        checkpoint = trainer.checkpoint_callback
        monitor = getattr(checkpoint, "monitor", None) or "val/AP"
        if validated and monitor in values:
            better = min if getattr(checkpoint, "mode", "max") == "min" else max
            self._best = values[monitor] if self._best is None else better(self._best, values[monitor])
            figures[-1] += f" (best {monitor.removeprefix('val/')} {self._best:.4f})"
        place = "" if whole else f", step {trainer.fit_loop.epoch_loop.batch_idx + 1}/{trainer.num_training_batches}"
        speed = self._images / self._seconds if self._seconds else 0.0
        logger.info("%s%s: %s, %.1f images/s", epoch_title(trainer), place, ", ".join(figures), speed)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._best = state_dict["best"]


class KeepValidation(Callback):
    """Keeps the best validation with its detections, for the page that is written at the end.

    Args:
        monitor: the figure that decides; None keeps none.

    Attributes:
        validation: the best one; None before it, and where it was before the run was resumed.
        epoch: of it, from 1; 0 before it.
    """

    def __init__(self, monitor: str | None = None) -> None:
        self.monitor = monitor
        self.validation: Validation | None = None
        self.epoch = 0
        self._best: float | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"monitor": self.monitor, "best": self._best, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict["monitor"] == self.monitor:
            self._best, self.epoch = state_dict["best"], state_dict["epoch"]

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let what is known of the best weights be true of the folder of this run, before the callbacks read it."""
        lost = bring_here(trainer, checkpoint["callbacks"])
        if lost and trainer.is_global_zero:
            logger.warning("%s", lost)
        if lost:
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, (KeepValidation, EpochSummary)):
                    checkpoint["callbacks"].pop(callback.state_key, None)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: DetectionModule) -> None:  # type: ignore[override]
        if self.monitor is None or trainer.sanity_checking or self.monitor not in trainer.callback_metrics:
            return
        value = float(trainer.callback_metrics[self.monitor])
        value = -value if is_less_better(self.monitor) else value
        if self._best is None or value > self._best:
            self._best, self.validation, self.epoch = value, pl_module.validation, trainer.current_epoch + 1


class SaveConfig(Callback):
    """Every value that was used, beside the run (`config.yaml`) and inside its checkpoints (`config`).

    Args:
        text: the configuration as YAML.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        folder = trainer.log_dir  # asks all devices
        if folder is not None and trainer.is_global_zero:
            write_text(Path(folder) / "config.yaml", self.text)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["config"] = self.text


class LogDetections(Callback):
    """The first validation images every few epochs, as the network sees them: predicted boxes, true boxes, heatmap.

    Small images are enlarged first, so that lines and letters hide little of them.

    They are written to `images/` of the run's folder, and handed to TensorBoard, Weights & Biases or MLflow where the
    run has such a logger.

    Args:
        every_n_epochs: 0 for never.
        num_images: images a sheet.
        score_threshold: boxes below it are not drawn.
    """

    def __init__(self, every_n_epochs: int = 5, num_images: int = 6, score_threshold: float = 0.3) -> None:
        self.every_n_epochs, self.num_images, self.score_threshold = every_n_epochs, num_images, score_threshold
        self._folder: Path | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        folder = trainer.log_dir  # asks all devices, so not where only the first one draws
        self._folder = None if folder is None else Path(folder) / "images"

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: DetectionModule,  # type: ignore[override]
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        due = self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0
        if batch_idx or not due or trainer.sanity_checking or not trainer.is_global_zero or self._folder is None:
            return
        network = pl_module.network
        with torch.no_grad():
            encoded = network(network.normalize(batch.images[: self.num_images]))
        heatmaps = _highest(encoded[network.finder]).sigmoid().cpu().numpy()
        tiles: list[NDArray[np.uint8]] = []
        images = batch.images[: self.num_images].permute(0, 2, 3, 1).contiguous().cpu().numpy()
        for i, (image, heatmap) in enumerate(zip(images, heatmaps, strict=True)):
            found: Detections = outputs["detections"][i].filter(score_threshold=self.score_threshold)
            annotation, rows = batch.annotations[i], int(batch.counts[i])
            boxes = network.preprocessing.to_input(found.bboxes, (annotation.height, annotation.width))
            times = max(1, round(TILE[0] / image.shape[1]))
            large = image.repeat(times, axis=0).repeat(times, axis=1)
            truth = Detections(
                times * batch.boxes[i, :rows].cpu().numpy(),
                batch.labels[i, :rows].clamp(min=0).cpu().numpy(),
                np.ones(rows, np.float32),
                class_names=found.class_names,
            )
            drawn = draw(large, replace(found, bboxes=times * boxes))
            tiles += [drawn, draw(large, truth, with_scores=False), _overlay(large, heatmap)]
        sheet = contact_sheet(tiles, columns=3, tile_width=min(tiles[0].shape[1], TILE[1]))
        path = self._folder / f"epoch_{trainer.current_epoch + 1:04d}.jpg"
        write_bytes(path, cv2.imencode(".jpg", sheet[..., ::-1])[1])
        log_sheet(trainer.loggers, "val/images", sheet, trainer.global_step)


def _highest(output: Tensor | list[Tensor]) -> Tensor:
    """Return the highest logit of each cell over classes, and over levels on the grid of the finest: N×H×W float32."""
    highest = [x.float().amax(1, keepdim=True) for x in (output if isinstance(output, list) else [output])]
    sides = highest[0].shape[-2:]
    return torch.cat([F.interpolate(x, sides) for x in highest], dim=1).amax(1)


def _overlay(image: NDArray[np.uint8], heatmap: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The network's input with the heatmap's maximum over classes in colour."""
    height, width = image.shape[:2]
    levels = cv2.resize((heatmap * 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[..., ::-1]
    return cv2.addWeighted(image, 0.4, np.ascontiguousarray(colours), 0.6, 0).astype(np.uint8)
