"""Sheets of images in the loggers of a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from centernet.training.loggers import log_sheet

SHEET = np.zeros((8, 12, 3), np.uint8)


def test_each_kind_of_logger_gets_the_sheet_in_its_own_way() -> None:
    """By the calls of Weights & Biases' logger, TensorBoard's writer and MLflow's client; a table takes none."""
    seen: list[tuple[Any, ...]] = []
    wandb = SimpleNamespace(log_image=lambda name, images, step: seen.append(("wandb", name, images[0].shape, step)))
    writer = SimpleNamespace(
        add_image=lambda name, image, step, dataformats: seen.append(
            ("tensorboard", name, image.shape, step, dataformats)
        )
    )
    client = SimpleNamespace(
        log_image=lambda run, image, artifact_file: seen.append(("mlflow", run, image.shape, artifact_file))
    )
    sinks: Any = [
        wandb,
        SimpleNamespace(experiment=writer),
        SimpleNamespace(experiment=client, run_id="r1"),
        SimpleNamespace(experiment=SimpleNamespace(log_metrics=None)),
    ]
    log_sheet(sinks, "val/images", SHEET, 7)
    assert seen == [
        ("wandb", "val/images", (8, 12, 3), 7),
        ("tensorboard", "val/images", (8, 12, 3), 7, "HWC"),
        ("mlflow", "r1", (8, 12, 3), "val/images/step_00000007.png"),
    ]
