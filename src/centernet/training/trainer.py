"""Lightning's trainer with a precision that fits the hardware, and checkpoints that are whole or not there."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, Literal

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO

from centernet.training.files import WholeCheckpoints

logger = logging.getLogger(__name__)

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true"]


class Trainer(pl.Trainer):
    """`lightning.pytorch.Trainer`, whose `precision` may be `auto`.

    Args:
        precision: `auto` takes bf16-mixed where the hardware has units for it, 16-mixed on older GPUs, and 32-true
            elsewhere; the run says which, and with --debug why. On a processor it is measured: bf16 without units is
            many times slower.
        kwargs: as Lightning's trainer.
    """

    def __init__(self, *args: Any, precision: Precision = "auto", **kwargs: Any) -> None:
        chosen = choose_precision(kwargs.get("accelerator", "auto")) if precision == "auto" else precision
        given = kwargs.pop("plugins", None) or []
        plugins = [*given] if isinstance(given, (list, tuple)) else [given]
        own = getattr(kwargs.get("strategy"), "_checkpoint_io", None) is not None
        if not own and not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins.append(WholeCheckpoints())
        super().__init__(*args, precision=chosen, plugins=plugins, **kwargs)


def choose_precision(accelerator: Any = "auto") -> Literal["32-true", "bf16-mixed", "16-mixed"]:
    """Choose the precision that trains fastest here without losing accuracy.

    Args:
        accelerator: as the trainer's.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        major = torch.cuda.get_device_capability()[0]
        chosen: Literal["bf16-mixed", "16-mixed"] = "bf16-mixed" if major >= 8 else "16-mixed"
        logger.debug("precision %s: %s, compute capability %d", chosen, torch.cuda.get_device_name(), major)
        return chosen
    if accelerator not in ("auto", "cpu") or (accelerator == "auto" and torch.backends.mps.is_available()):
        logger.debug("precision 32-true on accelerator %s", accelerator)
        return "32-true"
    ratio = bf16_speedup()
    choice: Literal["32-true", "bf16-mixed"] = "bf16-mixed" if ratio > 1.2 else "32-true"
    logger.debug("precision %s: a bf16 training step takes %.2f× the speed of float32 on this processor", choice, ratio)
    return choice


def record_precision(checkpoint: dict[str, Any], precision: str) -> None:
    """Note in a checkpoint in which precision it was trained, and whether that was on a GPU."""
    checkpoint["precision"] = {"chosen": precision, "gpu": torch.cuda.is_available()}


def recorded_precision(checkpoint: Mapping[str, Any]) -> str | None:
    """Return the precision of the run that a checkpoint is from; None where that is not known or had other hardware."""
    recorded = checkpoint.get("precision")
    if not isinstance(recorded, dict) or recorded.get("gpu") != torch.cuda.is_available():
        return None
    chosen = recorded.get("chosen")
    return chosen if chosen in ("32-true", "bf16-mixed", "16-mixed") else None


def bf16_speedup() -> float:
    """Measure a convolution's training step: its speed under bf16 autocast over float32's, in about 0.2 s of processor
    time, which other processes do not take part in."""
    x = torch.randn(4, 64, 40, 40).to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(64, 64, 3, 3, requires_grad=True)

    def seconds(enabled: bool) -> float:
        best = float("inf")
        for _ in range(4):
            start = time.process_time()
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                torch.autograd.backward(F.conv2d(x, weight, padding=1).float().sum())
            best = min(best, time.process_time() - start)
            if best > 1:  # clearly without units
                break
        return best

    plain = seconds(False)
    return plain / seconds(True)
