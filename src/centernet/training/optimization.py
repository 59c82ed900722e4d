"""Optimisation: optimiser, parameter groups, and the learning rate at every step."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

if TYPE_CHECKING:
    from centernet.training.module import DetectionModule

logger = logging.getLogger(__name__)


class Optimization:
    """The optimiser of a model, its parameter groups and its learning rate.

    The learning rate is stated for a batch of `reference_batch` images over all devices and accumulation steps, and
    scaled linearly to the batch that is used (https://arxiv.org/abs/1706.02677). Norms and biases have no weight decay.

    Args:
        optimizer: a torch optimiser, by `class_path` and `init_args`; its own lr and weight_decay are set from here.
        lr: the highest learning rate, for `reference_batch` images a step.
        reference_batch: the batch that `lr` is stated for; 0 takes `lr` as it is, whatever the batch.
        weight_decay: of weights that are no norm and no bias.
        backbone_lr_factor: the backbone's learning rate as a share of `lr`.
        warmup: share of the run over which the rate rises linearly from 0; at least one step.
        schedule: after the warm-up `cosine` to 0, `step` by `gamma` at each of `milestones`, or `constant`.
        milestones: shares of the run, for `step`; the original's 90 and 120 of 140 epochs.
        gamma: factor at each milestone.
        frozen_norms: batch norms keep their statistics and normalise by them, as in evaluation; their weights and
            biases still learn. For few images, and for models whose statistics are of many more. Convolutions that such
            norms were multiplied into get an ordinary scale before the first step (`unfold_norms`).

    Attributes:
        offset: steps by which the place in the schedule is before or behind the number of steps that were taken: where
            a run was resumed with more or fewer steps an epoch, its schedule goes on at the same share of the run.
    """

    def __init__(
        self,
        optimizer: Callable[[Iterable[Any]], Optimizer] = torch.optim.AdamW,
        *,
        lr: float = 1e-3,
        reference_batch: int = 64,
        weight_decay: float = 0.05,
        backbone_lr_factor: float = 1.0,
        warmup: float = 0.05,
        schedule: Literal["cosine", "step", "constant"] = "cosine",
        milestones: Sequence[float] = (90 / 140, 120 / 140),
        gamma: float = 0.1,
        frozen_norms: bool = False,
    ) -> None:
        if not lr > 0:
            raise ValueError(f"optimization.lr is {lr}: it must be above 0")
        if not 0 <= warmup < 1:
            raise ValueError(f"optimization.warmup is {warmup}: a share of the run, from 0 to below 1")
        _refuse_own_settings(optimizer, lr=lr, weight_decay=weight_decay)
        self.optimizer, self.lr, self.reference_batch = optimizer, lr, reference_batch
        self.weight_decay, self.backbone_lr_factor = weight_decay, backbone_lr_factor
        self.warmup, self.schedule, self.milestones, self.gamma = warmup, schedule, tuple(milestones), gamma
        self.frozen_norms, self.offset = frozen_norms, 0
        self._steps = 1
        self._settings: list[dict[str, Any]] = []

    def configure(self, model: DetectionModule) -> dict[str, Any]:
        """Return what Lightning's `configure_optimizers` returns, for a model that is attached to a trainer."""
        trainer, lr = model.trainer, self.lr
        batch = getattr(getattr(trainer, "datamodule", None), "batch_size", None)
        if self.reference_batch and batch:
            total = batch * trainer.world_size * trainer.accumulate_grad_batches
            lr *= total / self.reference_batch
            logger.info("learning rate %.3g: %.3g for %d images, %d a step", lr, self.lr, self.reference_batch, total)
        else:
            logger.info("learning rate %.3g: as given, whatever the batch", lr)
        steps = trainer.estimated_stepping_batches
        if math.isinf(steps):
            raise ValueError(
                "the learning rate's schedule needs the length of the run: set trainer.max_epochs or trainer.max_steps"
            )
        self._steps = int(steps)
        optimizer = self.optimizer(self.groups(model.network, lr))
        self._settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
        scheduler = LambdaLR(optimizer, lambda step: self.factor(step + self.offset, self._steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def resume(self, optimizer: Optimizer, scheduler: LambdaLR, place: int | None = None) -> None:
        """Give an optimiser and a schedule whose state is a checkpoint's the settings of this run: rates and decay.

        Nothing changes where they are the checkpoint's.

        Args:
            optimizer: of `configure`.
            scheduler: of `configure`.
            place: the step of this run's schedule at which it goes on; None where it is the number of steps taken, but
                for `offset`.
        """
        if place is not None:
            self.offset = place - scheduler.last_epoch
        factor = self.factor(scheduler.last_epoch + self.offset, self._steps)
        for group, settings in zip(optimizer.param_groups, self._settings, strict=True):
            group.update(settings, initial_lr=settings["lr"], lr=settings["lr"] * factor)
        scheduler.base_lrs = [settings["lr"] for settings in self._settings]
        scheduler._last_lr = [group["lr"] for group in optimizer.param_groups]
        logger.info(
            "resumed at step %d of %d, rate %.3g",
            scheduler.last_epoch + self.offset,
            self._steps,
            max(scheduler._last_lr),
        )

    def set_norms(self, network: nn.Module) -> None:
        """Put the batch norms of a network that is trained into evaluation mode where they are to be frozen."""
        for module in network.modules() if self.frozen_norms else ():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()

    def groups(self, network: nn.Module, lr: float) -> list[dict[str, Any]]:
        """Return the parameter groups: backbone and the rest, each with and without weight decay."""
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                groups.setdefault((name.startswith("backbone."), parameter.ndim > 1), []).append(parameter)
        return [
            {
                "params": parameters,
                "lr": lr * (self.backbone_lr_factor if backbone else 1.0),
                "weight_decay": self.weight_decay if decays else 0.0,
            }
            for (backbone, decays), parameters in groups.items()
        ]

    def factor(self, step: int, steps: int) -> float:
        """Return the share of the highest learning rate at optimiser step `step` of `steps`."""
        warmup = max(round(self.warmup * steps), 1) if self.warmup else 0
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if self.schedule == "constant":
            return 1.0
        if self.schedule == "step":
            passed = sum(step >= milestone * steps for milestone in self.milestones)
            return float(self.gamma**passed)
        share = (step - warmup) / max(steps - warmup, 1)
        return 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def _refuse_own_settings(optimizer: Callable[[Iterable[Any]], Optimizer], **settings: float) -> None:
    """Refuse a rate or a decay that was given to the optimiser itself: it would not be used."""
    made = optimizer([nn.Parameter(torch.zeros(1))])
    known = inspect.signature(type(made)).parameters
    for name, value in settings.items():
        own = made.defaults.get(name, value)
        if own not in (value, getattr(known.get(name), "default", value)):
            raise ValueError(
                f"optimization.optimizer has {name} {own:g}, which is not used: it is that of optimization.{name} "
                f"({value:g}); give it there"
            )
