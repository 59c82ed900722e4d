"""Exponential moving average of the weights: evaluated, checkpointed and exported in place of the last ones."""

from __future__ import annotations

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class EMA(WeightAveraging):
    """Lightning's weight averaging with a decay that warms up, so that short runs are not held by their start.

    After n steps the decay is min(`decay`, (1 + n) / (`warmup` + n)).

    Args:
        decay: share of the average that is kept at each step, in the long run.
        warmup: the larger, the slower the decay rises.
    """

    def __init__(self, decay: float = 0.998, warmup: float = 10.0) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"ema.decay is {decay}: it lies between 0 and 1")

        def average(averaged: list[Tensor], current: list[Tensor], num_averaged: Tensor | int) -> None:
            n = int(num_averaged)
            share = 1 - min(decay, (1 + n) / (warmup + n))
            if averaged[0].is_floating_point():
                torch._foreach_lerp_(averaged, current, share)
            else:  # counters of batch norm
                torch._foreach_copy_(averaged, current)

        super().__init__(multi_avg_fn=torch.no_grad()(average))

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        pl_module.setup(stage)  # Lightning calls it later, but the average is to have all parameters that it makes
        super().setup(trainer, pl_module, stage)
