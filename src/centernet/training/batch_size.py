"""The largest batch that a memory holds, found by training steps that are measured."""

from __future__ import annotations

import copy
import logging
import math
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch

from centernet.column import Column
from centernet.data import DataModule
from centernet.data.batch import Batch
from centernet.data.mosaic import Mosaic
from centernet.training.module import DetectionModule
from centernet.training.optimization import Optimization

logger = logging.getLogger(__name__)

GB = 1e9
_SHARE = 0.85  # of what is free, where no memory is asked for
_TRIES = 20


def measured_batch_size(
    model: DetectionModule, datamodule: DataModule, trainer: pl.Trainer, memory: float | None = None
) -> int:
    """Return the largest number of images whose training step fits, at most that of the training data.

    The steps are those of a copy of the network, on images of the largest size of the run with as many boxes as the
    data have in one image. Neither weights nor random numbers of the run change.

    Args:
        model: with its `optimization`.
        datamodule: its data.
        trainer: says device and precision.
        memory: GB (10⁹ bytes) of the device, or of this process on a processor; a share of what is free when None.

    Raises:
        ValueError: not even one image fits, or the run is on several devices.
    """
    if trainer.world_size > 1:
        raise ValueError("data.batch_size auto works on one device; give the number of images for each of several")
    device = trainer.strategy.root_device
    limit = _SHARE * free_memory(device) if memory is None else memory * GB
    for head in model.network.every_head:
        head.prepare(datamodule)
    if model.distillation is not None:
        model.distillation.prepare(model.network, model.network.class_names or datamodule.class_names)
    assert model.optimization is not None
    with torch.random.fork_rng():
        measure = _Steps(model, model.optimization, datamodule, trainer, device)
        size, used = largest(measure, limit, len(datamodule.datasets["train"]))
    del measure
    if device.type == "cuda":
        torch.cuda.empty_cache()
    logger.info("batch size %d: a training step takes %.2f of %.2f GB on %s", size, used / GB, limit / GB, device)
    return size


def largest(measure: Callable[[int], float], limit: float, most: int) -> tuple[int, float]:
    """Return the largest number of images that needs no more than a limit, and what it needs.

    Args:
        measure: number of images → bytes; infinite where they are too many. It grows by about as much with each image,
            so that no step is tried of which the ones before say that it does not fit.
        limit: bytes.
        most: images.

    Raises:
        ValueError: one image does not fit.
    """
    measure(1)  # which makes the optimiser's state
    used = measure(1)
    if used > limit:
        takes = "more than there is" if math.isinf(used) else f"{used / GB:.2f} GB"
        raise ValueError(
            f"data.batch_size auto: a training step on one image takes {takes}, the limit is {limit / GB:.2f} GB; give "
            "more by --memory, a smaller model.preprocessing.size, or another model"
        )
    fits, too_many, each, refused = {1: used}, most + 1, 0.0, False
    for _ in range(_TRIES):
        low = max(fits)
        reach = low + int((limit - fits[low]) / each) if each else 2 * low
        size = (low + too_many) // 2 if refused else min(2 * low, reach, too_many - 1)
        if size <= low:
            break
        used = measure(size)
        if math.isinf(used):  # the allocator gave up, so nothing is known of how much is too much
            refused = True
        else:
            each = max((used - fits[low]) / (size - low), 1.0)
        if used <= limit:
            fits[size] = used
        else:
            too_many = size
    return max(fits), fits[max(fits)]


def free_memory(device: torch.device) -> float:
    """Return the bytes that are free: of a GPU, or of the machine or the container that this process runs in."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device))
    own = _own_memory()
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        rows = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        free = 1024.0 * int(rows["MemAvailable"].split()[0])
    else:
        free = 0.5 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    group = Path("/sys/fs/cgroup")
    for most, now in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        if (group / most).is_file() and (text := (group / most).read_text().strip()).isdigit():
            free = min(free, float(text) - float((group / now).read_text()))
    return max(free, 0.0) + own


def _own_memory() -> float:
    """Return the most memory that this process has held since `_forget_peak`, or ever."""
    status = Path("/proc/self/status")
    if status.is_file():
        rows = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return 1024.0 * int(rows["VmHWM"].split()[0])
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)


def _forget_peak() -> None:
    with suppress(OSError):  # without it the peak grows from step to step, as the steps do
        Path("/proc/self/clear_refs").write_text("5")


class _Steps:
    """Training steps on a given number of images; a call returns the most memory that was held in one, in bytes."""

    def __init__(
        self,
        model: DetectionModule,
        optimization: Optimization,
        datamodule: DataModule,
        trainer: pl.Trainer,
        device: torch.device,
    ) -> None:
        self.network = copy.deepcopy(model.network).to(device).train()  # the network itself stands for averaged weights
        self.optimizer = optimization.optimizer(optimization.groups(self.network, 0.0))
        self.distillation = model.distillation
        self.context, self.device = trainer.precision_plugin.forward_context, device
        sizes = datamodule.schedule.sizes or [datamodule.preprocessing.size]
        self.height, self.width = max(sizes, key=lambda size: size[0] * size[1])
        columns = datamodule.datasets["train"].columns
        self.boxes = int(np.diff(columns.offsets).max(initial=1)) * (
            4 if isinstance(datamodule.augmentation, Mosaic) else 1
        )
        self.identities, self.fields = datamodule.num_identities, datamodule.fields

    def __call__(self, images: int) -> float:
        try:
            return self._measured(images)
        except (torch.cuda.OutOfMemoryError, MemoryError):
            return math.inf
        except RuntimeError as error:
            if "memory" in str(error):  # of torch's allocator on a processor
                return math.inf
            raise
        finally:
            self.optimizer.zero_grad(set_to_none=True)

    def _measured(self, images: int) -> float:
        gpu = self.device.type == "cuda"
        if gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            _forget_peak()
        batch = self._batch(images).to(self.device)
        with self.context():
            encoded = self.network(self.network.normalize(batch.images))
            terms = self.network.losses(encoded, batch)
            if self.distillation is not None:
                terms |= self.distillation(self.network, encoded, batch)
        torch.autograd.backward(torch.stack(list(terms.values())).sum())
        self.optimizer.step()
        return float(torch.cuda.max_memory_reserved(self.device)) if gpu else _own_memory()

    def _batch(self, images: int) -> Batch:
        """Return grey images full of boxes."""
        rows = (images, self.boxes)
        centers = torch.rand(*rows, 2) * torch.tensor([self.width, self.height])
        boxes = torch.cat([centers - 16, centers + 16], dim=2).clamp(min=0)
        boxes = boxes.minimum(torch.tensor([self.width, self.height] * 2, dtype=torch.float32))
        ids = torch.arange(images * self.boxes).view(rows) % self.identities if self.identities else None
        return Batch(
            images=torch.full((images, self.height, self.width, 3), 114, dtype=torch.uint8).permute(0, 3, 1, 2),
            boxes=boxes,
            labels=torch.randint(self.network.num_classes, rows),
            ids=torch.full(rows, -1) if ids is None else ids,
            ignore=torch.zeros(rows, dtype=torch.bool),
            counts=torch.full((images,), self.boxes),
            annotations=[],
            data={field.name: _points(field, centers) for field in self.fields},
            fields=self.fields,
        )


def _points(field: Column, centers: torch.Tensor) -> torch.Tensor:
    """Return B×M×… of a field: points in the middle of their boxes (B×M×2), visible; zeros for all else."""
    values = torch.zeros(*centers.shape[:2], *field.shape, dtype=getattr(torch, field.dtype))
    if field.kind == "points":
        values += 2
        values[..., :2] = centers.reshape(*centers.shape[:2], *[1] * (len(field.shape) - 1), 2)
    return values
